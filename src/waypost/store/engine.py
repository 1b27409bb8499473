"""The embedded engine: SQLite through apsw, WAL, `synchronous=FULL`, one writer, grouped commits.

`commit_batch` is a plain step: it takes what is queued, runs it in one transaction and gives the results. A batch
that fails is split until the culprit stands alone; a disk or lock fault fails all of it as `Unavailable`, nothing
is half written, and the next batch tries again by itself.
"""

import fcntl
import os
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from operator import attrgetter
from pathlib import Path
from typing import Any

import apsw
from msgspec import Struct

from waypost.domain.errors import Unavailable, WaypostError
from waypost.domain.ids import IdSource
from waypost.store.codec import Codec
from waypost.store.transaction import Reading, Transaction

# An operation takes every item of one batch that asks for it and gives one result per item. A result that is a
# WaypostError is raised to that item's caller alone.
Operation = Callable[[Transaction, Sequence[Any]], Sequence[Any]]

SCHEMA_VERSION = 1
# SQLite's change log names a WAL-reset corruption fixed in 3.51.3: an older library is refused.
_SQLITE_VERSION_MIN = 3051003
_BUSY_TIMEOUT_MS = 5_000


class Committed(Struct, frozen=True):
    """What a commit brought: the journal's last position, the numbers whose lanes may have work, and the other work
    that waits now (`callbacks` to read, `media` to fetch)."""

    position: int
    due_numbers: frozenset[str]
    waiting: frozenset[str]


class Write(Struct):
    """One queued write and, after its batch, its result (a value, or the exception for its caller).

    `late` writes run after the others of their batch: a claim then finds what was accepted in the same commit.
    """

    operation: Operation
    item: Any
    late: bool = False
    result: Any = None


_is_late = attrgetter("late")


def single(change: Callable[[Transaction, Any], Any]) -> Operation:
    """Make an operation of a function of one item; a WaypostError it raises undoes that item alone."""

    def operation(tx: Transaction, items: Sequence[Any]) -> Sequence[Any]:
        results: list[Any] = []
        for item in items:
            mark = tx.mark()
            try:
                results.append(change(tx, item))
            except WaypostError as error:
                tx.undo(mark)
                results.append(error)
            else:
                tx.release()
        return results

    operation.__name__ = change.__name__
    operation.__doc__ = change.__doc__
    return operation


class Engine:
    """Owns the database file: exclusive by a lock beside it, so that there is never a second writer."""

    def __init__(self, path: Path, codec: Codec, ids: IdSource, timeline: Callable[[], str]) -> None:
        if apsw.SQLITE_VERSION_NUMBER < _SQLITE_VERSION_MIN:
            raise Unavailable(
                "this SQLite has a known corruption bug in WAL mode",
                code="sqlite_too_old",
                remedy="install apsw 3.51.3 or newer",
            )
        self.path = path
        self._codec = codec
        self.ids = ids
        path.parent.mkdir(parents=True, exist_ok=True)
        # Let go when closed, or when nothing holds the engine any more.
        self._let_go = weakref.finalize(self, os.close, _lock(path))
        # Made for this user alone; SQLite gives its WAL files the rights of the database.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._writer = self._connect()
        self._migrate(timeline)
        self.timeline = str(self._meta("timeline"))

    def commit_batch(self, writes: Sequence[Write]) -> Sequence[Committed]:
        """Run `writes` in one durable transaction (more when a fault splits it) and fill in their results."""
        try:
            return [self._attempt(writes)]
        except (
            apsw.FullError,
            apsw.IOError,
            apsw.BusyError,
            apsw.LockedError,
            apsw.ReadOnlyError,
            apsw.CantOpenError,
        ) as e:
            self._rollback()
            fault = _fault_of(e)
            for write in writes:
                write.result = fault
        except Exception as error:
            self._rollback()
            if len(writes) == 1:
                writes[0].result = error
                return []
            middle = len(writes) // 2
            return [*self.commit_batch(writes[:middle]), *self.commit_batch(writes[middle:])]
        return []

    def _attempt(self, writes: Sequence[Write]) -> Committed:
        groups: dict[Operation, list[Write]] = {}
        for write in sorted(writes, key=_is_late):
            groups.setdefault(write.operation, []).append(write)
        self._writer.execute("BEGIN IMMEDIATE")
        tx = Transaction(self._writer, self._codec, self.ids, self.timeline)
        for operation, group in groups.items():
            results = operation(tx, [write.item for write in group])
            if len(results) != len(group):
                raise AssertionError(
                    f"{operation.__name__} gave {len(results)} results for {len(group)} items"
                )
            for write, result in zip(group, results, strict=True):
                write.result = result
        tx.flush()
        self._writer.execute("COMMIT")
        return Committed(tx.position, frozenset(tx.due_numbers), frozenset(tx.waiting))

    def _rollback(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def reading(self) -> Reading:
        """Open a connection of its own for queries; one thread at a time may use it."""
        connection = self._connect(readonly=True)
        return Reading(connection, self._codec, self.timeline)

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

    def _meta(self, key: str) -> Any:
        for (value,) in self._writer.execute("SELECT value FROM meta WHERE key = ?", (key,)):
            return value
        return None

    def _migrate(self, timeline: Callable[[], str]) -> None:
        known = self._writer.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchall()[0][
            0
        ]
        if known:
            version = int(self._meta("schema_version"))
            if version != SCHEMA_VERSION:
                raise Unavailable(
                    f"the database has schema {version}, this release serves {SCHEMA_VERSION}",
                    code="schema_version",
                    remedy="start the release that wrote it",
                )
            return
        schema = (files("waypost.store") / "schema.sql").read_text()
        with self._writer:
            self._writer.execute(schema)
            self._writer.executemany(
                "INSERT INTO meta (key, value) VALUES (?, ?)",
                [("schema_version", str(SCHEMA_VERSION)), ("timeline", timeline())],
            )


def _lock(path: Path) -> int:
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
    return descriptor


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
