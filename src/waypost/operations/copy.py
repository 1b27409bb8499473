"""Copies a store into another place, on either engine: resumable, in the same life of the journal, proven exact.

The source is held all the while, so that it is one moment and nobody sends from it. It is read once before anything is
written: what its tables sum up to names the copy that an interrupted run goes on with, and is what the target must
sum up to in the end.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from waypost.domain.errors import Conflict
from waypost.store import copying
from waypost.store.archive import Sum, commit, refuse_difference, summed
from waypost.store.copying import Begin
from waypost.store.engine import Engine
from waypost.store.journal import position_now
from waypost.store.tables import PAGE_ROWS, Readable, Table, count, last_key, pages, tables_of
from waypost.store.transaction import Reading

Step = Literal["reading", "copying", "verifying"]
# Hears how far a step is: rows done, rows in all.
Told = Callable[[Step, int, int], None]


class Copied(Struct, frozen=True):
    """A copy that is exact: the journal it goes on with, and what each table sums up to on both sides."""

    timeline: str
    position: int
    rows: int
    resumed: bool
    sums: dict[str, Sum]


def copy(source: Readable, target: Engine, told: Told, page_rows: int = PAGE_ROWS) -> Copied:
    """Bring all rows of `source`, which nobody may write meanwhile, into `target`, a page in each transaction.

    Raises `Conflict` when the target is used or of another schema, `Unavailable` when it is not exact in the end.
    """
    # Between two pages it waits for the target.
    return source.reading().snapshot(
        lambda reading: _copied(source, reading, target, told, page_rows), slow=True
    )


def _copied(source: Readable, reading: Reading, target: Engine, told: Told, page_rows: int) -> Copied:
    tables = tuple(tables_of(source, reading))
    _refuse_other_tables(tables, target.reading().snapshot(lambda there: tables_of(target, there)))
    in_all = sum(count(reading, table) for table in tables)
    sums = summed(reading, tables, _Counting(told, "reading", in_all))
    beginning = Begin(reading.timeline, position_now(reading), sums, tables, target.time_ms())
    resumed = commit(target, copying.begin, beginning)
    _fill(reading, target, tables, page_rows, _Counting(told, "copying", in_all))
    verifying = _Counting(told, "verifying", in_all)
    found = target.reading().snapshot(lambda there: summed(there, tables, verifying))
    refuse_difference(sums, found, "something else wrote there: empty the target and begin again")
    commit(target, copying.finish, None)
    return Copied(reading.timeline, beginning.position, in_all, resumed, sums)


def _fill(
    reading: Reading, target: Engine, tables: Sequence[Table], page_rows: int, told: Callable[[int], None]
) -> None:
    there = target.reading()
    for table in tables:
        if behind := there.snapshot(lambda found, table=table: last_key(found, table)):  # type: ignore[misc]
            told(there.snapshot(lambda found, table=table: count(found, table)))  # type: ignore[misc]
        for rows in pages(reading, table, behind, page_rows):
            commit(target, copying.put, (table, rows))
            told(len(rows))


class _Counting:
    """Adds up the rows of one step."""

    def __init__(self, told: Told, step: Step, in_all: int) -> None:
        self._told, self._step, self._in_all = told, step, in_all
        self._done = 0

    def __call__(self, rows: int) -> None:
        self._done += rows
        self._told(self._step, self._done, self._in_all)


def _refuse_other_tables(ours: Sequence[Table], theirs: Sequence[Table]) -> None:
    mine, other = {each.name: each for each in ours}, {each.name: each for each in theirs}
    if differing := sorted(name for name in mine | other if mine.get(name) != other.get(name)):
        raise Conflict(
            f"source and target have different tables: {', '.join(differing[:5])}",
            code="schema_differs",
            remedy="copy with the release that serves the source, into a place that holds nothing else",
        )
