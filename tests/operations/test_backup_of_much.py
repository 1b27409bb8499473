"""Backups of more than fits one page: memory stays flat, writers go on, and a slow disk is waited for."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import engines
from tests.support import START, FakeClock, accept_text, new_store, seed_number

from waypost.operations.backup import take
from waypost.store.archive import Foot, Page, frames_of, sums_of
from waypost.store.engine import Engine
from waypost.store.tables import PAGE_ROWS, tables_of
from waypost.store.transaction import Reading

on_both = pytest.mark.parametrize("engine", engines.NAMES, indirect=True)
KEY, SALT = b"k" * 32, b"s" * 16
_MESSAGES = 50_000
# Measured: 2 MiB, the rows of a page in their three forms (rows, msgpack, sealed); twice that is room enough.
_PEAK_BYTES_MAX = 4 << 20


def _multiply(engine: Engine, table: str, times: int) -> None:
    """Fill a table with copies of its one row, each under an id of its own."""
    columns = next(t.columns for t in tables_of(engine, engine.reading()) if t.name == table)
    values = ", ".join("'x' || n.i" if each == "id" else f"t.{each}" for each in columns)
    engines.current.run(
        engine,
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {times})"
        f" INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM n, {table} AS t",
    )


@on_both
async def test_a_backup_of_50_000_messages_keeps_memory_flat(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    await accept_text(store, await seed_number(store), FakeClock())
    _multiply(store.engine, "messages", _MESSAGES)
    tracemalloc.start()
    try:
        taken = take(store.engine, tmp_path / "b.waypost", KEY, SALT, START)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken.rows > _MESSAGES
    assert peak < _PEAK_BYTES_MAX < taken.size_bytes / 2


@on_both
async def test_a_backup_of_many_pages_is_exact_while_a_writer_goes_on(tmp_path: Path) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    await accept_text(store, number, clock)
    _multiply(store.engine, "messages", 3 * PAGE_ROWS)
    before = sums_of(store.engine, tables_of(store.engine, store.engine.reading()))
    reading = store.engine.reading()
    reading._connection.begin_reading(slow=True)
    of_messages = 0
    for turn, frame in enumerate(frames_of(store.engine, reading, START), 1):
        # Before, within and behind the pages that are read, in key order.
        await accept_text(store, number, clock, to=f"+49155500{turn:05}")
        engines.current.run(store.engine, f"UPDATE messages SET version = version + 1 WHERE id = 'x{turn}'")
        of_messages += isinstance(frame, Page) and frame.table == "messages"
    reading._connection.end_reading()
    assert isinstance(frame, Foot)
    assert frame.sums == before
    assert of_messages == 4
    assert sums_of(store.engine, tables_of(store.engine, reading)) != before


class Watched:
    """A store whose readings note a limit of the session, as a backup's queries have it."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.shared = engine, engine.shared
        self.limits: list[Any] = []

    def reading(self) -> Reading:
        return _WatchedReading(self._engine.reading(), self.limits)

    def close(self) -> None:
        """Nothing of its own."""


class _WatchedReading(Reading):
    def __init__(self, inner: Reading, limits: list[Any]) -> None:
        super().__init__(inner._connection, inner.codec, inner.timeline)
        self.inner, self._limits = inner, limits

    def snapshot(self, query: Callable[[Reading], Any], slow: bool = False) -> Any:
        def noted(reading: Reading) -> Any:
            self._limits.append(_limits(reading))
            return query(reading)

        return self.inner.snapshot(noted, slow)


def _limits(reading: Reading) -> tuple[str, ...]:
    names = ("idle_in_transaction_session_timeout", "statement_timeout")
    return tuple(reading.rows(f"SELECT current_setting('{name}')")[0][0] for name in names)


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
async def test_no_limit_of_the_session_ends_a_backup_that_waits_for_its_disk(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    await seed_number(store)
    usual = store.engine.reading().snapshot(_limits)
    assert "0" not in usual
    watched = Watched(store.engine)
    take(watched, tmp_path / "b.waypost", KEY, SALT, START)
    assert watched.limits == [("0", "0")]
    # Nobody else's reading has them, nor the same session's afterwards.
    reading = store.engine.reading()
    assert reading.snapshot(_limits) == usual
    assert reading.snapshot(_limits, slow=True) == ("0", "0")
    assert reading.snapshot(_limits) == usual
