"""The embedded engine: SQLite through apsw, WAL, `synchronous=FULL`, one writer, grouped commits."""

import fcntl
import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import apsw

from waypost.domain.errors import Unavailable
from waypost.domain.ids import IdSource
from waypost.store import schema
from waypost.store.codec import Codec
from waypost.store.connection import Row
from waypost.store.engine import Committed, Engine, Write, brought
from waypost.store.transaction import Reading, in_powers_of_two

R = TypeVar("R")
# SQLite's change log names a WAL-reset corruption fixed in 3.51.3: an older library is refused.
_SQLITE_VERSION_MIN = 3051003
_BUSY_TIMEOUT_MS = 5_000
# apsw prepares a statement of more than 16,384 bytes each time anew.
_SELECTS_A_STATEMENT_MAX = 32
_STEPS_A_PERIOD, _PERIODS_MAX = 1_000_000, 200
_OUTSIDE = (
    apsw.FullError,
    apsw.IOError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
)


@lru_cache(maxsize=256)
def _of_rows(sql: str, count: int) -> str:
    """Give an INSERT of one row of marks as one of `count` rows."""
    head, _, rest = sql.partition("VALUES (")
    row, end, tail = rest.partition(")")
    return head + "VALUES " + ", ".join([f"({row}{end}"] * count) + tail


@lru_cache(maxsize=256)
def _of_selects(sql: str, count: int) -> str:
    return " UNION ALL ".join(f"SELECT * FROM ({sql}) AS each_{turn}" for turn in range(count))


def _flat(rows: Sequence[Sequence[Any]]) -> list[Any]:
    return [value for row in rows for value in row]


class SqliteConnection:
    """A connection of apsw's."""

    def __init__(self, raw: apsw.Connection) -> None:
        self._raw = raw

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run a query and give all its rows."""
        return self._raw.execute(sql, parameters).fetchall()

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Run a query and give its first row, or None."""
        for row in self._raw.execute(sql, parameters):
            return tuple(row)
        return None

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run a change and give the number of rows it touched."""
        self._raw.execute(sql, parameters)
        return self._raw.changes()

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a change once per row of parameters; an `INSERT … VALUES (…)` takes many rows in one statement.

        Every statement hands the interpreter's lock over, which costs more than most of them do.
        """
        if " VALUES (" not in sql and "\nVALUES (" not in sql:
            self._raw.executemany(sql, rows)
            return
        for some in in_powers_of_two(list(rows)):
            self._raw.execute(_of_rows(sql, len(some)), _flat(some))

    def rows_in(self, sql: str, keys: Sequence[Any]) -> list[Row]:
        """Run a query with `IN (%s)` for all of `keys`."""
        found: list[Row] = []
        for some in in_powers_of_two(keys, 256):
            found += self.rows(sql % ", ".join("?" * len(some)), some)
        return found

    def rows_beside(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[Row]:
        """Run a query from `%s`, which stands for the table `s` of `rows`."""
        found: list[Row] = []
        mark = f"({', '.join('?' * len(rows[0]))})"
        for some in in_powers_of_two(rows, 128):
            found += self.rows(sql % f"(VALUES {', '.join([mark] * len(some))}) AS s", _flat(some))
        return found

    def rows_for_each(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[Row]:
        """Run a query of one row of parameters for each of `rows`; gives all answers together."""
        found: list[Row] = []
        for some in in_powers_of_two(rows, _SELECTS_A_STATEMENT_MAX):
            found += self.rows(_of_selects(sql, len(some)), _flat(some))
        return found

    def begin_reading(self, slow: bool = False) -> None:
        """Begin to see one state of the rows, whatever others commit."""
        self._raw.execute("BEGIN")

    def end_reading(self) -> None:
        """End what `begin_reading` began."""
        self._raw.execute("ROLLBACK")


class _ReadingConnection(SqliteConnection):
    """A connection for queries, each of which may take so many steps of SQLite's machine: a bound without a clock.

    A step of a scan takes some tens of nanoseconds, so this is several seconds of one core; a page of any list takes a
    thousandth of it.
    """

    def __init__(self, raw: apsw.Connection) -> None:
        super().__init__(raw)
        self._periods, self._is_patient = 0, True
        raw.set_progress_handler(self._is_too_long, _STEPS_A_PERIOD)

    def _is_too_long(self) -> bool:
        self._periods += 1
        return self._periods > _PERIODS_MAX and not self._is_patient

    def begin_reading(self, slow: bool = False) -> None:
        """Begin to see one state of the rows; `slow` takes whatever it takes."""
        self._periods, self._is_patient = 0, slow
        super().begin_reading(slow)

    def end_reading(self) -> None:
        """End what `begin_reading` began."""
        self._is_patient = True
        super().end_reading()


class _BoundedReading(Reading):
    """Tells a query that took too long as `Unavailable`."""

    def snapshot(self, query: Callable[[Reading], R], slow: bool = False) -> R:
        """Run `query` on one state of the rows; raises `Unavailable` (`database_slow`)."""
        try:
            return super().snapshot(query, slow)
        except apsw.InterruptError as error:
            raise Unavailable(
                "this took too long and was ended",
                code="database_slow",
                remedy="ask for less: a number, a contact or a period",
                retry_after_seconds=5,
            ) from error


class SqliteEngine(Engine):
    """Owns the database file: exclusive by a lock beside it, so that there is never a second writer.

    A fresh file gets this release's schema; an older one is expanded here, for nobody else can be using it.
    """

    def __init__(
        self,
        path: Path,
        codec: Codec,
        ids: IdSource,
        timeline: Callable[[], str],
        *,
        owner: str = "gateway",
        may_be_loading: bool = False,
    ) -> None:
        if apsw.SQLITE_VERSION_NUMBER < _SQLITE_VERSION_MIN:
            raise Unavailable(
                "this SQLite has a known corruption bug in WAL mode",
                code="sqlite_too_old",
                remedy="install apsw 3.51.3 or newer",
            )
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # Let go when closed, or when nothing holds the engine any more.
        self._let_go = weakref.finalize(self, lock_file(path).close)
        try:
            # Made for this user alone; SQLite gives its WAL files the rights of the database.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._writer = self._connect()
            self._connection = SqliteConnection(self._writer)
            self._migrate(timeline)
            with self._writer:
                schema.refuse_other_key(self._connection, codec.fingerprint, may_be_loading)
        except BaseException:
            self._let_go()
            raise
        super().__init__(codec, ids, str(self._meta("timeline")), owner)

    def _attempt(self, writes: Sequence[Write]) -> Committed:
        self._writer.execute("BEGIN IMMEDIATE")
        tx = self._run(self._connection, writes)
        self._writer.execute("COMMIT")
        return brought(tx)

    def _rollback(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def reading(self) -> Reading:
        """Open a connection of its own for queries; one thread at a time may use it."""
        return _BoundedReading(_ReadingConnection(self._connect(readonly=True)), self.codec, self.timeline)

    def close(self) -> None:
        """Checkpoint, close and let go of the lock."""
        # Not needed for durability: what a full disk keeps from being checkpointed, the next start reads from the WAL.
        with suppress(apsw.FullError, apsw.IOError, apsw.BusyError):
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._writer.close()
        self._let_go()

    def _connect(self, readonly: bool = False) -> apsw.Connection:
        flags = (
            apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        )
        connection = apsw.Connection(str(self.path), flags=flags, statementcachesize=400)
        connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        # A plan is kept whatever the parameters: this build of SQLite would else make a new one for every new value
        # compared in a range, which took twenty times as long as running it (measured on `store/claims`).
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        if not readonly:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA wal_autocheckpoint=4000")
        connection.execute("PRAGMA cache_size=-65536")
        connection.execute("PRAGMA temp_store=MEMORY")
        return connection

    def _meta(self, key: str) -> str | None:
        for (value,) in self._writer.execute("SELECT value FROM meta WHERE key = ?", (key,)):
            return str(value)
        return None

    def _migrate(self, timeline: Callable[[], str]) -> None:
        has_meta = self._writer.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchall()
        version = schema.version_of(self._meta) if has_meta else schema.Version(0, 0)
        with self._writer:
            for migration in schema.expansions(version):
                schema.expand(self._connection, migration, str)
            if not has_meta:
                self._writer.execute("INSERT INTO meta (key, value) VALUES ('timeline', ?)", (timeline(),))
        schema.refuse_unservable(schema.version_of(self._meta))

    def _fault_of(self, error: Exception) -> Unavailable | None:
        return _fault_of(error) if isinstance(error, _OUTSIDE) else None


class FileLock:
    """The right to write a database file, until closed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        """Let go."""
        os.close(self._descriptor)


def lock_file(path: Path) -> FileLock:
    """Take the right to write the file at `path`; raises `Unavailable` when another process has it."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Unavailable(
            f"another process has {path.name} open for writing",
            code="database_in_use",
            remedy="stop it, or talk to it: command-line writes go through its socket while it serves",
        ) from None
    return FileLock(descriptor)


def _fault_of(error: Exception) -> Unavailable:
    if isinstance(error, apsw.FullError):
        return Unavailable(
            "the disk is full: nothing was changed",
            code="disk_full",
            remedy="free space; it recovers by itself",
            retry_after_seconds=5,
        )
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return Unavailable(
            "the database is locked by another program",
            code="database_locked",
            remedy="close what holds it; it recovers by itself",
            retry_after_seconds=1,
        )
    return Unavailable(
        "the database cannot be written",
        code="database_unwritable",
        remedy="check the disk and the file's permissions; it recovers by itself",
        retry_after_seconds=5,
    )
