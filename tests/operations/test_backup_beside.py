"""A backup is taken beside a writer that has the embedded file open."""

from pathlib import Path

from tests.support import START, FakeClock, SeededRandomness, accept_text, new_store, seed_number

from waypost.operations.backup import take
from waypost.store.beside import Beside
from waypost.store.codec import Codec
from waypost.store.journal import position_now


async def test_a_file_is_backed_up_while_its_writer_has_it_open(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    await accept_text(store, await seed_number(store), FakeClock())
    beside = Beside(tmp_path / "w.sqlite", Codec(b"k" * 32, SeededRandomness()))
    taken = take(beside, tmp_path / "b.waypost", b"k" * 32, b"s" * 16, START)
    beside.close()
    assert taken.position == await store.read(position_now) > 0
