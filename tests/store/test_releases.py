"""A database written by each earlier release is opened, brought up to date, and sending goes on where it was."""

from pathlib import Path

import apsw
import pytest
from tests.support import FakeClock, ScriptedTransport, new_sender, new_store, settle

from waypost.domain.outcomes import Sent
from waypost.outbox.sweeper import Sweeper
from waypost.store import journal, schema

# The first release knew the embedded engine only; each release adds its file here, and from the second on PostgreSQL's.
ONE_ENGINE = True
RELEASES = sorted((Path(__file__).parent / "releases").glob("schema_*.sql"))

_TEXTS = {file: file.read_text() for file in RELEASES}


def test_each_earlier_schema_with_a_release_has_its_database() -> None:
    assert RELEASES
    assert all(int(file.stem.removeprefix("schema_")) < schema.wanted() for file in RELEASES)


@pytest.mark.parametrize("file", RELEASES, ids=lambda file: file.stem)
async def test_a_database_of_an_earlier_release_goes_on(tmp_path: Path, file: Path) -> None:
    old = apsw.Connection(str(tmp_path / "w.sqlite"))
    old.execute(_TEXTS[file])
    ids = [row[0] for row in old.execute("SELECT id FROM messages ORDER BY id")]
    lines = old.execute("SELECT count(*) FROM journal").fetchall()[0][0]
    old.close()

    store, clock = new_store(tmp_path, seed=5), FakeClock()
    clock.advance(40)

    async def statuses() -> list[str]:
        return await store.read(
            lambda reading: [row[0] for row in reading.rows("SELECT status FROM messages ORDER BY id")]
        )

    assert await statuses() == ["sent", "sent", "unknown", "accepted"]
    transport = ScriptedTransport(Sent("wamid.9"))
    sender = new_sender(store, transport, clock)
    await settle(sender)
    assert len(transport.spoken) <= 1
    # The unknown one holds its conversation back for its class's bound, then it is the waiting one's turn.
    clock.advance(600)
    await Sweeper(store, clock, 1.0).step()
    await settle(sender)
    assert (await statuses())[3] == "sent"
    assert len(transport.spoken) == 1
    found = await store.read(journal.of_aggregate, "ten_1", ids[3])
    assert [event.version for event in found] == list(range(1, len(found) + 1))
    assert await store.read(journal.position_now) > lines
