"""A copy into another place, on either engine, is exact, and goes on after any interruption."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import engines, postgres
from tests.support import (
    FakeClock,
    SeededNumber,
    SeededRandomness,
    accept_text,
    new_store,
    seed_number,
    status_of,
)

from waypost.domain.errors import Conflict, Unavailable
from waypost.domain.ids import IdSource
from waypost.operations.copy import Copied, copy
from waypost.store import archive
from waypost.store.archive import sums_of
from waypost.store.codec import Codec
from waypost.store.database import Store
from waypost.store.engine import Engine
from waypost.store.held_database import HeldDatabase
from waypost.store.held_file import HeldFile
from waypost.store.postgres import PostgresEngine
from waypost.store.sqlite import SqliteEngine
from waypost.store.tables import Readable, tables_of

KEY = b"k" * 32
PAIRS = [(source, target) for source in engines.NAMES for target in engines.NAMES]


def _codec(key: bytes = KEY) -> Codec:
    return Codec(key, SeededRandomness())


def _held(engine: Engine, codec: Codec | None = None) -> Readable:
    """The place of a closed engine, held."""
    if isinstance(engine, PostgresEngine):
        return HeldDatabase(engine._url, codec or _codec())
    assert isinstance(engine, SqliteEngine)
    return HeldFile(engine.path, codec or _codec())


class Move:
    """A source to be copied, and a target that is opened for each try."""

    def __init__(self, folder: Path, target: str) -> None:
        self._folder, self._target = folder, engines.named(target)
        (folder / "source").mkdir()
        (folder / "target").mkdir()
        self.store = new_store(folder / "source")
        self._opened: list[Engine] = []
        self._url = ""

    async def live(self, messages: int) -> None:
        """Let the source have messages that wait, then end its life."""
        number = await seed_number(self.store)
        for turn in range(messages):
            await accept_text(self.store, number, FakeClock(), to=f"+49155500{turn:05}")
        self.store.engine.close()

    def open(self) -> Engine:
        """Open the target as a copy does."""
        if self._target.name == "sqlite":
            engine: Engine = SqliteEngine(
                self._folder / "target" / "w.sqlite",
                _codec(),
                IdSource(SeededRandomness(9)),
                lambda: "t9",
                may_be_loading=True,
            )
        else:
            self._url = (
                self._url or self._target.open(self._folder / "target", SeededRandomness(9), "t9")._url
            )
            engine = PostgresEngine(
                self._url, _codec(), IdSource(SeededRandomness(9)), lambda: "t9", owner="copy", pause=time.sleep,
                may_be_loading=True,
            )  # fmt: skip
        self._opened.append(engine)
        return engine

    def serve(self) -> Store:
        """Open the target as a gateway does."""
        return Store(self._target.open(self._folder / "target", SeededRandomness(9), "t9"))

    def run(self, told: Callable[[str, int, int], None] = lambda *_: None, page_rows: int = 500) -> Copied:
        """Copy, or go on."""
        with (
            contextlib.closing(_held(self.store.engine)) as source,
            contextlib.closing(self.open()) as target,
        ):
            return copy(source, target, told, page_rows)

    def close(self) -> None:
        self._target.close()


Make = Callable[[str], Move]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Move] = []

    def move(target: str) -> Move:
        made.append(Move(tmp_path, target))
        return made[-1]

    yield move
    for each in made:
        each.close()


@pytest.mark.parametrize(("engine", "target"), PAIRS, indirect=["engine"])
async def test_a_copy_has_every_row_the_timeline_and_the_key(make: Make, target: str) -> None:
    move = make(target)
    await move.live(3)
    steps: dict[str, tuple[int, int]] = {}
    found = move.run(lambda step, done, in_all: steps.update({step: (done, in_all)}))
    assert list(steps) == ["reading", "copying", "verifying"]
    assert set(steps.values()) == {(found.rows, found.rows)}
    assert (found.timeline, found.resumed) == ("t1", False)
    there = move.serve()
    assert there.engine.timeline == "t1"
    tables = tables_of(there.engine, there.engine.reading())
    assert sums_of(there.engine, tables) == found.sums
    assert found.sums["messages"].rows == 3
    number = await _number(there)
    (message_id,) = there.engine.reading().one("SELECT min(id) FROM messages") or ("",)
    assert await status_of(there, number, message_id) == "accepted"
    there.engine.close()


async def _number(store: Store) -> SeededNumber:
    row = await store.read(lambda r: r.one("SELECT tenant_id, id FROM numbers"))
    return SeededNumber(row[0], row[1], "", "", "", "")


class _Cut(Exception):
    """The copy is interrupted here."""


@pytest.mark.parametrize(("engine", "target"), PAIRS, indirect=["engine"])
async def test_a_copy_interrupted_after_any_page_goes_on(make: Make, target: str) -> None:
    move = make(target)
    await move.live(5)
    cuts = 0

    def cut(step: str, done: int, in_all: int) -> None:
        nonlocal cuts
        if step == "copying" and done > reached:
            cuts += 1
            raise _Cut

    reached = 0
    while True:
        try:
            found = move.run(cut, page_rows=2)
            break
        except _Cut:
            # Each try gets at least a page further than all before.
            reached += 2
    assert cuts > 10
    assert found.resumed
    there = move.serve()
    assert sums_of(there.engine, tables_of(there.engine, there.engine.reading())) == found.sums
    there.engine.close()


@pytest.mark.parametrize("target", engines.NAMES)
async def test_a_half_copied_target_is_not_served(make: Make, target: str) -> None:
    move = make(target)
    await move.live(1)
    with pytest.raises(_Cut):
        move.run(_cut_at_once)
    with pytest.raises(Unavailable) as told:
        move.serve()
    assert told.value.code == "half_copied"
    move.run()
    move.serve().engine.close()


def _cut_at_once(step: str, done: int, in_all: int) -> None:
    if step == "copying":
        raise _Cut


@pytest.mark.parametrize("target", engines.NAMES)
async def test_a_source_that_has_changed_is_not_mixed_with_what_was_copied(make: Make, target: str) -> None:
    move = make(target)
    await move.live(1)
    with pytest.raises(_Cut):
        move.run(_cut_at_once)
    engine = engines.current.open(move._folder / "source", SeededRandomness(2))
    # No journal line tells of it: what the rows sum up to does.
    engines.current.run(engine, "UPDATE numbers SET label = 'other'")
    engine.close()
    with pytest.raises(Conflict) as told:
        move.run()
    assert told.value.code == "another_copy"


@pytest.mark.parametrize("target", engines.NAMES)
async def test_a_used_or_half_restored_target_is_refused(make: Make, target: str) -> None:
    move = make(target)
    await move.live(1)
    engine = move.open()
    archive.commit(engine, archive.begin_loading, None)
    engine.close()
    with pytest.raises(Conflict) as told:
        move.run()
    assert told.value.code == "another_copy"
    engine = move.open()
    move._target.run(engine, "DELETE FROM meta WHERE key = 'loading'")
    move._target.run(engine, "INSERT INTO tenants VALUES ('ten_1', 'Other', 1)")
    engine.close()
    with pytest.raises(Conflict, match="tenants has rows") as told:
        move.run()
    assert told.value.code == "place_not_empty"


async def test_a_target_that_differs_in_the_end_is_never_opened(make: Make) -> None:
    move = make("sqlite")
    await move.live(1)

    def spoil(step: str, done: int, in_all: int) -> None:
        if step == "copying" and done == in_all:
            move._target.run(move._opened[-1], "UPDATE numbers SET label = 'other'")

    with pytest.raises(Unavailable) as told:
        move.run(spoil)
    assert (told.value.code, "numbers" in told.value.message) == ("digests_differ", True)
    with pytest.raises(Unavailable, match="has begun and not ended"):
        move.serve()


@pytest.mark.parametrize("engine", engines.NAMES, indirect=True)
async def test_a_source_is_held_while_it_is_copied(tmp_path: Path, engine: str) -> None:
    store = new_store(tmp_path)
    number = await seed_number(store)
    if engine == "sqlite":
        with pytest.raises(Unavailable) as told:
            _held(store.engine)
        store.engine.close()
        with contextlib.closing(_held(store.engine)), pytest.raises(Unavailable) as told:
            new_store(tmp_path)
        assert told.value.code == "database_in_use"
    else:
        with contextlib.closing(_held(store.engine)):
            store.engine._writer.run("SET lock_timeout = 10")  # type: ignore[attr-defined]
            with pytest.raises(Unavailable) as told:
                await accept_text(store, number, FakeClock())
        assert told.value.code == "database_locked"
        await accept_text(store, number, FakeClock())


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
async def test_a_source_that_processes_serve_is_refused(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    beats = "INSERT INTO processes VALUES ('p', 1, 1, 9999999999999, 0, 1, 'r')"
    engines.current.run(store.engine, beats)
    with pytest.raises(Conflict) as told:
        _held(store.engine)
    assert told.value.code == "database_served"
    engines.current.run(store.engine, "UPDATE processes SET seen_until = 1")
    _held(store.engine).close()


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
async def test_a_session_that_lost_the_lock_reads_no_further(make: Make) -> None:
    move = make("sqlite")
    await move.live(1)

    def break_it(step: str, done: int, in_all: int) -> None:
        if step == "copying":
            postgres.session_server().run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'waypost-copy'"
            )

    with pytest.raises(Unavailable) as told:
        move.run(break_it)
    assert told.value.code == "database_unreachable"
    assert move.run().resumed


@pytest.mark.parametrize("engine", engines.NAMES, indirect=True)
async def test_another_master_key_is_refused(tmp_path: Path, engine: str) -> None:
    store = new_store(tmp_path)
    store.engine.close()
    codec = _codec(b"z" * 32)
    with pytest.raises(Unavailable) as told:
        _held(store.engine, codec)
    assert told.value.code == "wrong_master_key"
    # Nothing of it is held any more.
    _held(store.engine).close()


_KILLED = """
import os, sys, time
from pathlib import Path
from tests.support import SeededRandomness
from waypost.domain.ids import IdSource
from waypost.operations.copy import copy
from waypost.store.codec import Codec
from waypost.store.held_file import HeldFile
from waypost.store.postgres import PostgresEngine
codec = Codec(b"k" * 32, SeededRandomness())
source = HeldFile(Path(sys.argv[1]), codec)
target = PostgresEngine(sys.argv[2], codec, IdSource(SeededRandomness(9)), lambda: "t9", owner="killed",
                        pause=time.sleep, may_be_loading=True)
def told(step, done, in_all):
    if (step, done >= int(sys.argv[3])) == ("copying", True):
        os.kill(os.getpid(), 9)
copy(source, target, told, 2)
"""


async def test_a_copy_killed_with_nine_goes_on(make: Make, tmp_path: Path) -> None:
    move = make("postgres")
    await move.live(5)
    move.open().close()
    root = Path(__file__).parents[2]
    for rows in (3, 15):
        ended = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", _KILLED, str(tmp_path / "source" / "w.sqlite"), move._url, str(rows)],
            cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    found = move.run()
    assert found.resumed
    there = move.serve()
    assert sums_of(there.engine, tables_of(there.engine, there.engine.reading())) == found.sums
    there.engine.close()


async def test_nobody_holds_a_lane_of_a_finished_copy(make: Make) -> None:
    move = make("sqlite")
    number = await seed_number(move.store)
    await accept_text(move.store, number, FakeClock())
    engines.current.run(
        move.store.engine,
        "INSERT INTO lanes (number_id, tenant_id, owner, epoch, lease_until, slow_until, slow_count)"
        f" VALUES ('{number.number_id}', '{number.tenant_id}', 'old', 7, 9999999999999, 0, 0)",
    )
    move.store.engine.close()
    move.run()
    there = move.serve()
    assert there.engine.reading().rows("SELECT owner, epoch, lease_until FROM lanes") == [(None, 8, 0)]
    there.engine.close()
