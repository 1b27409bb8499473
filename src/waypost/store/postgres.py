"""The engine to scale out: PostgreSQL 15 or newer, any number of gateway processes.

Writers of several processes take turns: each group commit holds one transaction-level advisory lock, so an operation
is as alone here as on SQLite, and journal positions are gap-free in commit order (decision 0008). Readers never wait
for it. A process that is paused while it holds the lock is disconnected by the server, and its transaction undone.

A lost connection is opened again at the next use. When the answer to COMMIT was lost, the id that each batch commits is
looked up before anybody is told anything.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import psycopg
from psycopg import errors

from waypost.domain.errors import Unavailable
from waypost.domain.ids import IdSource
from waypost.store import schema
from waypost.store.codec import Codec
from waypost.store.engine import Committed, Engine, Write, brought
from waypost.store.postgres_connection import LOST, PostgresConnection, fault_of, faults_told
from waypost.store.transaction import Reading, Transaction

R = TypeVar("R")
# Ours alone in the database, whatever else uses advisory locks there: "Wayp" in ASCII.
_BEGIN = "BEGIN; SELECT pg_advisory_xact_lock(1465481584, 1)"
# The same lock, held by a session: until it ends nobody else writes.
HOLD = "SELECT pg_advisory_lock(1465481584, 1)"
BEGIN_MIGRATION = "BEGIN; SELECT pg_advisory_xact_lock(1465481584, 2)"
# A step that changes tables in use takes the writers' turn first: it then waits for no half-done transaction of theirs,
# and none of theirs for it.
BEGIN_STEP = f"{BEGIN_MIGRATION}; SELECT pg_advisory_xact_lock(1465481584, 1)"
_CHANNEL = "waypost_commits"
# PostgreSQL refuses a NOTIFY of 8,000 bytes; the names of this many numbers fit.
_NUMBERS_A_NOTE_MAX = 200
# A batch that another transaction was in the way of, or whose connection was lost before COMMIT, is run again.
_TRIES_MAX = 4
_IN_THE_WAY = (errors.SerializationFailure, errors.DeadlockDetected)
# How long a lost COMMIT is looked up before its callers are told that it is in doubt. Nothing can be written meanwhile
# anyway, and "refused" would be a lie.
_LOOK_UPS_MAX, _LOOK_UP_PAUSE_SECONDS = 40, 0.5


class PostgresEngine(Engine):
    """This process's connections to the shared database. `owner` names this life of the process.

    An empty database gets this release's schema. An older one is refused: other processes may be running on it, and
    `waypost migrate` is somebody's decision.
    """

    shared = True

    def __init__(
        self,
        url: str,
        codec: Codec,
        ids: IdSource,
        timeline: Callable[[], str],
        *,
        owner: str,
        pause: Callable[[float], None],
        may_be_loading: bool = False,
    ) -> None:
        self._url, self._pause = url, pause
        self._batch = 0
        self._writer = PostgresConnection(url, "write")
        self._clock = PostgresConnection(url, "time")
        self._ears: PostgresConnection | None = None
        self._readings: list[PostgresConnection] = []
        try:
            known = self._found(timeline, codec.fingerprint, may_be_loading)
        except BaseException as error:
            self._writer.close()
            raise fault_of(error) or error from error
        super().__init__(codec, ids, known, owner)

    def _found(self, timeline: Callable[[], str], fingerprint: str, may_be_loading: bool) -> str:
        writer = self._writer
        writer.run(BEGIN_MIGRATION)
        if writer.one("SELECT to_regclass('meta')") == (None,):
            for migration in schema.migrations():
                schema.expand(writer, migration, writer.translated)
            writer.run("INSERT INTO meta (key, value) VALUES ('timeline', ?)", (timeline(),))
        schema.refuse_unservable(schema.version_of(self._meta))
        schema.refuse_other_key(writer, fingerprint, may_be_loading)
        writer.run("COMMIT")
        return str(self._meta("timeline"))

    def _meta(self, key: str) -> str | None:
        row = self._writer.one("SELECT value FROM meta WHERE key = ?", (key,))
        return None if row is None else str(row[0])

    def _attempt(self, writes: Sequence[Write]) -> Committed:
        tries = 0
        while True:
            tries += 1
            connection = self._begin()
            try:
                tx = self._run(connection, writes)
            except LOST as error:
                # Nothing of it is committed. A connection that broke is replaced; a slow or full database is not asked
                # again at once.
                if tries == _TRIES_MAX or not (isinstance(error, _IN_THE_WAY) or self._writer.is_lost):
                    raise
                self._rollback()
                continue
            self._batch += 1
            batch = f"{self._batch}"
            try:
                self._end(tx, batch)
            except LOST as error:
                in_the_way = isinstance(error, _IN_THE_WAY)
                if tries == _TRIES_MAX or not (in_the_way or self._writer.is_lost):
                    raise
                if in_the_way:
                    # The server has taken it back already.
                    self._rollback()
                    continue
                if not self._is_committed(batch):
                    continue
            return brought(tx)

    def _begin(self) -> PostgresConnection:
        self._writer.run_fresh(_BEGIN)
        return self._writer

    def _end(self, tx: Transaction, batch: str) -> None:
        """Mark the batch, say what it brought, commit: one way there and back."""
        literal = psycopg.sql.quote
        notes = [
            f"SELECT pg_notify('{_CHANNEL}', {literal(note)})" for note in _notes(self.owner, brought(tx))
        ]
        mark = (
            f"INSERT INTO commits (owner, batch, at) VALUES ({literal(self.owner)}, {literal(batch)},"
            " (extract(epoch FROM clock_timestamp()) * 1000)::bigint)"
            " ON CONFLICT (owner) DO UPDATE SET batch = excluded.batch, at = excluded.at"
        )
        self._writer.run("; ".join([mark, *notes, "COMMIT"]))

    def _is_committed(self, batch: str) -> bool:
        """Find out whether a batch whose COMMIT got no answer went through.

        The writers' lock is taken first: while the lost transaction still lives, it holds it.
        """
        for _ in range(_LOOK_UPS_MAX):
            try:
                self._writer.run_fresh(_BEGIN)
                row = self._writer.one("SELECT batch FROM commits WHERE owner = ?", (self.owner,))
                self._writer.run("ROLLBACK")
                return row == (batch,)
            except psycopg.Error:
                self._writer.close()
                self._pause(_LOOK_UP_PAUSE_SECONDS)
        raise Unavailable(
            "the database went away while committing, and has not come back",
            code="commit_in_doubt",
            remedy="send again with the same Idempotency-Key: it may or may not be stored",
            retry_after_seconds=5,
        )

    def _rollback(self) -> None:
        self._writer.undo()

    def _fault_of(self, error: Exception) -> Unavailable | None:
        if isinstance(error, errors.ReadOnlySqlTransaction):
            # Another server may be the primary by now, at the same address.
            self._writer.close()
        return error if isinstance(error, Unavailable) else fault_of(error)

    def time_ms(self) -> int | None:
        """Give the database's time, which all its processes share, in milliseconds; raises `Unavailable`."""
        with faults_told():
            row = self._clock.one_fresh("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        assert row is not None
        return int(row[0])

    def heard(self, seconds: float) -> list[Committed]:
        """Wait up to `seconds` for commits of other processes; raises `Unavailable`.

        After a (re)connection something may have been missed: then it tells of `callbacks` and `media` and the
        journal's end, and everything else is found by polling.
        """
        try:
            if self._ears is None or self._ears.is_lost:
                self._ears = PostgresConnection(self._url, "listen")
                self._ears.run(f"LISTEN {_CHANNEL}")
                (position,) = self._ears.one("SELECT coalesce(max(position), 0) FROM journal") or (0,)
                return [Committed(int(position), frozenset(), frozenset({"callbacks", "media"}))]
            return [each for note in self._ears.notes(seconds) if (each := _heard(note, self.owner))]
        except psycopg.Error as error:
            raise fault_of(error) or error from error

    def reading(self) -> Reading:
        """Open a connection of its own for queries; one thread at a time may use it."""
        connection = PostgresConnection(self._url, "read")
        self._readings.append(connection)
        return _PatientReading(connection, self.codec, self.timeline)

    def close(self) -> None:
        """Forget this writer's mark and close."""
        try:
            self._writer.run_fresh("SELECT 1")
            self._writer.run("DELETE FROM commits WHERE owner = ?", (self.owner,))
        except psycopg.Error:
            # The mark of a process that ended without the database is one small row, swept by age.
            self._writer.undo()
        for connection in (self._writer, self._clock, self._ears, *self._readings):
            if connection is not None:
                connection.close()


class _PatientReading(Reading):
    """Runs a query again on a new connection when the old one turns out to be dead: reading changes nothing."""

    def __init__(self, connection: PostgresConnection, codec: Codec, timeline: str) -> None:
        super().__init__(connection, codec, timeline)
        self._lasting = connection

    def snapshot(self, query: Callable[[Reading], R], slow: bool = False) -> R:
        """Run `query` on one state of the rows, however many statements it takes; raises `Unavailable`."""
        try:
            try:
                return super().snapshot(query, slow)
            except LOST:
                if not self._lasting.is_lost:
                    raise
                return super().snapshot(query, slow)
        except psycopg.Error as error:
            self._lasting.undo()
            fault = fault_of(error)
            raise fault or error from error


def _notes(owner: str, commit: Committed) -> Iterator[str]:
    if not commit.is_news:
        # Beats and marks would wake every process for nothing, many times a second.
        return
    numbers = sorted(commit.due_numbers)
    for start in range(0, max(1, len(numbers)), _NUMBERS_A_NOTE_MAX):
        some = numbers[start : start + _NUMBERS_A_NOTE_MAX]
        yield json.dumps([owner, commit.position, some, sorted(commit.waiting)], separators=(",", ":"))


def _heard(note: str, owner: str) -> Committed | None:
    """Read a note; None for one of our own, which this process knows already."""
    by, position, numbers, waiting = json.loads(note)
    return None if by == owner else Committed(position, frozenset(numbers), frozenset(waiting))
