"""Expand first, contract later: two releases on one database, a way back until the contraction, no step run twice."""

from pathlib import Path

import pytest
from tests import engines
from tests.support import FakeClock, accept_text, new_store, seed_number, status_of

from waypost.domain.errors import Conflict, Unavailable
from waypost.store import schema
from waypost.store.schema import Migration, Version

NOW = schema.wanted()
_HUES = "CREATE TABLE hues (id TEXT PRIMARY KEY)"
ADD = Migration(NOW + 1, "labels", f"ALTER TABLE numbers ADD COLUMN colour TEXT; {_HUES}", "")
SWAP = Migration(NOW + 2, "shades", "CREATE TABLE shades (depth INTEGER NOT NULL)", "DROP TABLE hues")
NEXT = [*schema.migrations(), ADD, SWAP]


def _made(folder: Path) -> None:
    new_store(folder).engine.close()


def test_expanding_runs_each_step_once_and_notes_it(tmp_path: Path) -> None:
    _made(tmp_path)
    with engines.current.upgrade(tmp_path, NEXT) as upgrade:
        assert upgrade.version() == Version(NOW, 0)
        assert [step.number for step in upgrade.expand()] == [NOW + 1, NOW + 2]
        assert upgrade.version() == Version(NOW + 2, 0)
        assert list(upgrade.expand()) == []


def test_a_run_that_was_cut_goes_on_where_it_stopped(tmp_path: Path) -> None:
    _made(tmp_path)
    with engines.current.upgrade(tmp_path, NEXT) as upgrade:
        next(upgrade.expand())
    with engines.current.upgrade(tmp_path, NEXT) as upgrade:
        assert [step.number for step in upgrade.expand()] == [NOW + 2]


def test_a_step_that_fails_leaves_nothing_of_itself(tmp_path: Path) -> None:
    _made(tmp_path)
    broken = Migration(NOW + 1, "broken", f"{_HUES}; INSERT INTO nowhere VALUES (1)", "")
    with engines.current.upgrade(tmp_path, [*schema.migrations(), broken]) as upgrade:
        with pytest.raises(Exception, match="nowhere"):
            list(upgrade.expand())
        assert upgrade.version() == Version(NOW, 0)
    with engines.current.upgrade(tmp_path, NEXT) as upgrade:
        assert len(list(upgrade.expand())) == 2


async def test_this_release_serves_a_database_the_next_one_expanded(tmp_path: Path) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    message_id = await accept_text(store, number, clock)
    store.engine.close()
    with engines.current.upgrade(tmp_path, NEXT) as upgrade:
        list(upgrade.expand())
    again = new_store(tmp_path, seed=2)
    assert await status_of(again, number, message_id) == "accepted"
    assert await status_of(again, number, await accept_text(again, number, clock)) == "accepted"


def test_after_the_contraction_the_release_before_is_refused_with_the_remedy(tmp_path: Path) -> None:
    _made(tmp_path)
    with engines.current.upgrade(tmp_path, NEXT) as upgrade:
        list(upgrade.expand())
        assert [step.name for step in upgrade.contract()] == ["shades"]
        assert upgrade.version() == Version(NOW + 2, NOW + 2)
        assert upgrade.contractions() == []
    with pytest.raises(Unavailable) as told:
        new_store(tmp_path)
    assert told.value.code == "schema_too_new"


def test_nothing_is_contracted_before_everything_is_expanded(tmp_path: Path) -> None:
    _made(tmp_path)
    with engines.current.upgrade(tmp_path, NEXT) as upgrade, pytest.raises(Conflict) as told:
        list(upgrade.contract())
    assert told.value.code == "not_expanded"


_BUILT = {
    "sqlite": "SELECT count(*) FROM sqlite_master WHERE name = 'numbers_by_label'",
    "postgres": "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('numbers_by_label') AND indisvalid",
}


async def test_a_step_of_indexes_alone_is_built_beside_the_writers_and_mends_what_was_cut_short(
    tmp_path: Path,
) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    built = "CREATE INDEX IF NOT EXISTS numbers_by_label ON numbers (label)"
    if store.engine.shared:
        # What a build that was cut leaves: it is there, and no query may use it.
        engines.current.run(store.engine, built)
        engines.current.run(
            store.engine,
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass('numbers_by_label')",
        )
    else:
        store.engine.close()
    indexes = Migration(NOW + 1, "indexes", f"-- Why.\n{built};\n", "")
    with engines.current.upgrade(tmp_path, [*schema.migrations(), indexes]) as upgrade:
        assert [step.name for step in upgrade.expand()] == ["indexes"]
        assert upgrade.version() == Version(NOW + 1, 0)
    again = store if store.engine.shared else new_store(tmp_path, seed=2)
    assert again.engine.reading().rows(_BUILT[engines.current.name]) == [(1,)]
    await accept_text(again, number, clock)
