"""What an operation sees: `Reading` for queries, `Transaction` for changes and their journal lines.

SQL is portable between SQLite and PostgreSQL; parameters are positional `?`. Journal lines are collected during the
transaction and written with it: a change without its line cannot be committed by forgetting a second call, because
every operation in this room appends beside its change.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from waypost.domain.ids import IdSource
from waypost.domain.times import to_ms
from waypost.store.codec import Codec
from waypost.store.connection import Connection
from waypost.store.connection import Row as Row

R = TypeVar("R")
T = TypeVar("T")
_encode = msgspec.json.Encoder().encode

# What a commit can say beside its journal lines: callbacks to read, media to fetch, lanes or roles that changed hands,
# API keys or a number's access that changed.
Word = Literal["callbacks", "media", "lanes", "keys", "access"]

_INSERT_LINE = """
INSERT INTO journal (position, timeline, tenant_id, kind, aggregate_id, version, number_id, contact_id, content_id,
                     actor, reason, facts, at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class Line(Struct, frozen=True):
    """One journal line to be. `facts` holds no message content and no secret."""

    tenant_id: str
    kind: str
    aggregate_id: str
    version: int
    actor: str
    at: datetime
    reason: str | None = None
    number_id: str | None = None
    contact_id: str | None = None
    content_id: str | None = None
    facts: dict[str, Any] = {}


class Reading:
    """A consistent view of the rows."""

    def __init__(self, connection: Connection, codec: Codec, timeline: str) -> None:
        self._connection = connection
        self.codec = codec
        self.timeline = timeline

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run a named query and give all its rows."""
        return self._connection.rows(sql, parameters)

    def snapshot(self, query: Callable[["Reading"], R], slow: bool = False) -> R:
        """Run `query` on one state of the rows, however many statements it takes.

        `slow`: between them it waits for something else (a disk, another database), for as long as that takes.
        """
        self._connection.begin_reading(slow)
        try:
            return query(self)
        finally:
            self._connection.end_reading()

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Run a named query and give its first row, or None."""
        return self._connection.one(sql, parameters)

    def rows_beside(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[Row]:
        """Run a query from `%s`, which stands for the table `s` of `rows`: its columns are `column1`, `column2`, …"""
        return self._connection.rows_beside(sql, rows) if rows else []

    def rows_for_each(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[Row]:
        """Run a query of one row of parameters for each of `rows`, which hold no NULL; gives all answers together."""
        return self._connection.rows_for_each(sql, rows) if rows else []

    def rows_in(self, sql: str, keys: Iterable[str]) -> list[Row]:
        """Run a query with `IN (%s)` for all of `keys`."""
        wanted = sorted(set(keys))
        return self._connection.rows_in(sql, wanted) if wanted else []


class Transaction(Reading):
    """One transaction on the writer's connection; `position` is the journal's last one so far, `began_at` what it was
    before."""

    def __init__(self, connection: Connection, codec: Codec, ids: IdSource, timeline: str) -> None:
        super().__init__(connection, codec, timeline)
        self.ids = ids
        self._lines: list[Row] = []
        self.due_numbers: set[str] = set()
        self.waiting: set[str] = set()
        self.began_at = int((self.one("SELECT max(position) FROM journal") or (0,))[0] or 0)
        self.position = self.began_at

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run a change and give the number of rows it touched."""
        return self._connection.run(sql, parameters)

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a change once per row of parameters, in few statements; no two of them change the same row."""
        wanted = rows if isinstance(rows, list) else list(rows)
        if wanted:
            self._connection.run_many(sql, wanted)

    def journal(self, line: Line) -> int:
        """Append `line`; gives its position."""
        self.position += 1
        self._lines.append(
            (
                self.position,
                self.timeline,
                line.tenant_id,
                line.kind,
                line.aggregate_id,
                line.version,
                line.number_id,
                line.contact_id,
                line.content_id,
                line.actor,
                line.reason,
                _encode(line.facts),
                to_ms(line.at),
            )
        )
        return self.position

    def wake(self, number_id: str) -> None:
        """Say that the lane of `number_id` may have something to claim once this is committed."""
        self.due_numbers.add(number_id)

    def announce(self, work: Word) -> None:
        """Say that there is work of this kind, or a change to what processes remember, once this is committed."""
        self.waiting.add(work)

    def mark(self) -> int:
        """Open a savepoint and give its mark."""
        self._connection.run("SAVEPOINT operation")
        return len(self._lines)

    def release(self) -> None:
        """Keep what was done since the mark."""
        self._connection.run("RELEASE operation")

    def undo(self, mark: int) -> None:
        """Take back what was done since the mark, journal lines too."""
        self._connection.run("ROLLBACK TO operation")
        self._connection.run("RELEASE operation")
        self.position -= len(self._lines) - mark
        del self._lines[mark:]

    def flush(self) -> None:
        """Write the collected journal lines; the engine calls it right before COMMIT."""
        if self._lines:
            self.many(_INSERT_LINE, self._lines)
            self._lines = []


def in_powers_of_two(items: Sequence[T], most: int = 64) -> Iterator[Sequence[T]]:
    """Cut `items` into pieces whose sizes are powers of two, so that few texts of statements have to stay prepared."""
    start = 0
    while start < len(items):
        size = min(most, 1 << (len(items) - start).bit_length() - 1)
        yield items[start : start + size]
        start += size
