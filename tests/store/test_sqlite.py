"""What only the embedded engine promises: its file is its own."""

from pathlib import Path

import pytest
from tests.support import FakeClock, accept_text, new_store, seed_number

from waypost.domain.errors import Unavailable
from waypost.store import sqlite

ONE_ENGINE = True


def test_a_second_writer_on_the_same_file_is_refused(tmp_path):
    first = new_store(tmp_path)

    with pytest.raises(Unavailable) as told:
        new_store(tmp_path)

    assert told.value.code == "database_in_use"
    first.engine.close()
    new_store(tmp_path).engine.close()


async def test_the_database_is_open_to_its_owner_alone(tmp_path):
    store = new_store(tmp_path)
    await accept_text(store, await seed_number(store), FakeClock())
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()} == {
        name: "0o600" for name in ("w.sqlite", "w.sqlite-wal", "w.sqlite-shm", "w.sqlite.lock")
    }


async def test_a_query_that_takes_too_long_is_ended_and_the_next_one_has_its_own_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_PERIODS_MAX", 2)
    store = new_store(tmp_path)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    with pytest.raises(Unavailable) as told:
        await store.read(lambda reading: reading.one(endless))
    assert told.value.code == "database_slow"
    some = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50000) SELECT max(i) FROM n"
    for _ in range(5):
        assert await store.read(lambda reading: reading.one(some)) == (50000,)
    patient = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500000) SELECT max(i) FROM n"
    )
    assert store.engine.reading().snapshot(lambda reading: reading.one(patient), slow=True) == (500000,)
