"""One connection to PostgreSQL: opened when used, opened again when lost; and what its errors mean.

Parameters have the schema's types whatever their values (text, bigint, bytea): a statement is prepared once.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import errors
from psycopg.adapt import Buffer
from psycopg.types.numeric import Int8Dumper, NumericBinaryLoader, NumericLoader
from psycopg.types.string import StrDumper

from waypost.domain.errors import Unavailable
from waypost.store.connection import Row
from waypost.store.dialect import schema_to_postgres, to_postgres
from waypost.store.sets import array_of, change_of_many, for_each_of, lists_for, turned, type_of

_VERSION_MIN = 150000
_CONNECT_SECONDS = 3
_PREPARED_MAX = 400
# How long a writer waits for its turn, a statement may run, and a process may sleep within a transaction: the last one
# bounds how long a paused process keeps the others from writing. Every statement of this room has its index: a plan
# made while a table was young, and kept by its prepared statement, would read all of it for hours (measured: six times
# the cost of an update by id).
_SESSION = (
    "SET lock_timeout = 5000; SET statement_timeout = 15000; SET idle_in_transaction_session_timeout = 1000;"
    " SET client_connection_check_interval = 1000; SET enable_seqscan = off"
)
# A writer's statements are all look-ups by an index, and the planner has to take the index that each was written for:
# of what is open it knows nothing (when statistics are made there may be a million open messages or none), so that any
# partial index looks as good as another, and it would read everything open for every message claimed. Where a statement
# asks for the order of its index and nothing may be sorted, there is one choice. So: a writer's ORDER BY follows the
# index its WHERE is found by, or else the rows are sorted here.
_WRITER = "; SET enable_sort = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
# What the driver raises when the database cannot do its part; the SQL itself is fine.
LOST = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)


class PostgresConnection:
    """A connection that comes back; `purpose` names it in the database's list of sessions."""

    def __init__(self, url: str, purpose: str) -> None:
        self._url, self._purpose = url, purpose
        self._raw: psycopg.Connection[Row] | None = None
        self._changes: dict[str, str | None] = {}
        self.translated: Callable[[str], str] = schema_to_postgres

    @property
    def is_lost(self) -> bool:
        """Say whether there is no live connection now."""
        return self._raw is None or self._raw.closed

    def _open(self) -> psycopg.Connection[Row]:
        if self._raw is None or self._raw.closed:
            raw = psycopg.connect(
                self._url,
                autocommit=True,
                cursor_factory=psycopg.RawCursor,
                connect_timeout=_CONNECT_SECONDS,
                application_name=f"waypost-{self._purpose}",
                keepalives_idle=5,
                keepalives_interval=2,
                keepalives_count=3,
                tcp_user_timeout=10_000,
            )
            try:
                self._prepare(raw)
            except BaseException:
                raw.close()
                raise
            self._raw = raw
        return self._raw

    def _prepare(self, raw: psycopg.Connection[Row]) -> None:
        if raw.info.server_version < _VERSION_MIN:
            raise Unavailable(
                f"PostgreSQL {raw.info.server_version // 10000} is too old",
                code="postgres_too_old",
                remedy="use PostgreSQL 15 or newer",
            )
        raw.prepared_max = _PREPARED_MAX
        raw.adapters.register_dumper(int, Int8Dumper)
        raw.adapters.register_dumper(str, StrDumper)
        raw.adapters.register_loader("numeric", _SumLoader)
        raw.adapters.register_loader("numeric", _SumBinaryLoader)
        raw.execute(_SESSION + _WRITER if self._purpose == "write" else _SESSION)
        # A `202` promises the disk: whatever the server's default, our commits wait for it.
        raw.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') = 'off'"
        )

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run a query and give all its rows."""
        return self._open().execute(to_postgres(sql), parameters, binary=True).fetchall()

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Run a query and give its first row, or None."""
        return self._open().execute(to_postgres(sql), parameters, binary=True).fetchone()

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run a change and give the number of rows it touched."""
        if not parameters:
            return self._open().execute(sql).rowcount
        return self._open().execute(to_postgres(sql), parameters).rowcount

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a change once per row of parameters: as one statement where it has that form, else in a pipeline."""
        if sql not in self._changes:
            self._changes[sql] = change_of_many(sql, self._types_of)
        of_many, wanted = self._changes[sql], list(rows)
        if of_many is None:
            with self._open().cursor() as cursor:
                cursor.executemany(to_postgres(sql), wanted)
        elif wanted:
            self._open().execute(to_postgres(of_many), turned(wanted))

    def _types_of(self, table: str) -> dict[str, str]:
        found = self.rows(
            "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute"
            " WHERE attrelid = to_regclass(?) AND attnum > 0",
            (table,),
        )
        return {row[0]: row[1] for row in found}

    def rows_in(self, sql: str, keys: Sequence[Any]) -> list[Row]:
        """Run a query with `IN (%s)` for all of `keys`."""
        return self.rows(sql.replace("IN (%s)", f"= ANY(?::{type_of(keys[0])}[])"), (array_of(keys),))

    def rows_beside(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[Row]:
        """Run a query from `%s`, which stands for the table `s` of `rows`."""
        return self.rows(sql % lists_for(rows, "s"), turned(rows))

    def rows_for_each(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[Row]:
        """Run a query of one row of parameters for each of `rows`; gives all answers together."""
        return self.rows(for_each_of(sql, rows), turned(rows))

    def run_fresh(self, sql: str) -> None:
        """Run what begins something, on a new connection if the old one turns out to be dead."""
        was_open = not self.is_lost
        try:
            self.run(sql)
        except LOST:
            if not (was_open and self.is_lost):
                raise
            self.run(sql)

    def one_fresh(self, sql: str) -> Row | None:
        """Run a query outside any transaction, on a new connection if the old one turns out to be dead."""
        was_open = not self.is_lost
        try:
            return self.one(sql)
        except LOST:
            if not (was_open and self.is_lost):
                raise
            return self.one(sql)

    def begin_reading(self, slow: bool = False) -> None:
        """Begin to see one state of the rows, whatever others commit; `slow`: with long pauses between queries."""
        self.run_fresh("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if slow:
            # It holds no lock that anybody waits for. Both limits are back when the transaction ends.
            self.run("SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0")

    def end_reading(self) -> None:
        """End what `begin_reading` began."""
        self.run("ROLLBACK")

    def undo(self) -> None:
        """Roll back whatever is open; a connection that cannot even do that is dropped."""
        if self.is_lost:
            self._raw = None
            return
        try:
            self.run("ROLLBACK")
        except psycopg.Error:
            self.close()

    def notes(self, seconds: float) -> list[str]:
        """Wait up to `seconds` for notes to this session, and give them."""
        return [note.payload for note in self._open().notifies(timeout=seconds, stop_after=1)]

    def close(self) -> None:
        """Close; it opens again when used."""
        if self._raw is not None:
            self._raw.close()
            self._raw = None


@contextlib.contextmanager
def faults_told() -> Iterator[None]:
    """Raise the database's faults as `Unavailable`."""
    try:
        yield
    except psycopg.Error as error:
        raise fault_of(error) or error from error


class _SumLoader(NumericLoader):
    """A sum of bigints is `numeric` in PostgreSQL and an integer to us."""

    def load(self, raw: Buffer) -> Any:
        """Give an int when it is one."""
        return _plain(super().load(raw))


class _SumBinaryLoader(NumericBinaryLoader):
    """The same, from the binary form."""

    def load(self, raw: Buffer) -> Any:
        """Give an int when it is one."""
        return _plain(super().load(raw))


def _plain(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def fault_of(error: BaseException) -> Unavailable | None:
    """Say which fault outside `error` is; None when it speaks of the statement or its values."""
    if not isinstance(error, LOST):
        return None
    code, said, remedy = "database_unreachable", "the database cannot be reached", "check that it runs"
    if isinstance(error, errors.DiskFull):
        code, said, remedy = "disk_full", "the database's disk is full: nothing was changed", "free space"
    elif isinstance(error, errors.ReadOnlySqlTransaction):
        code, said, remedy = (
            "database_read_only",
            "the database is a standby",
            "point `store.url` at the primary",
        )
    elif isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected | errors.SerializationFailure):
        code, said, remedy = "database_locked", "another transaction is in the way", "find and end it"
    elif isinstance(error, errors.QueryCanceled):
        code, said, remedy = "database_slow", "the database took too long", "look at its load"
    return Unavailable(said, code=code, remedy=f"{remedy}; it recovers by itself", retry_after_seconds=2)
