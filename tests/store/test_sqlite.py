"""What only the embedded engine promises: its file is its own."""

import pytest
from tests.support import FakeClock, accept_text, new_store, seed_number

from waypost.domain.errors import Unavailable

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
