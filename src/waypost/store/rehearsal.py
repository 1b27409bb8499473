"""For seeded runs: SQLite in memory, emptied for each run, and the rows that a run's invariants look at."""

from datetime import datetime
from pathlib import Path

import apsw
from msgspec import Struct

from waypost.domain.ids import IdSource
from waypost.domain.times import to_ms
from waypost.store import schema
from waypost.store.codec import Codec
from waypost.store.engine import single
from waypost.store.sqlite import SqliteConnection, SqliteEngine
from waypost.store.transaction import Reading, Transaction


class _Connection(SqliteConnection):
    """The one connection: between commits nothing changes, so a read needs no transaction of its own."""

    def begin_reading(self, slow: bool = False) -> None:
        """Do nothing."""

    def end_reading(self) -> None:
        """Do nothing."""


class MemoryEngine(SqliteEngine):
    """The embedded engine without a file. Reads share the writer's connection: nothing runs beside anything here."""

    shared = True  # by the processes of a world, which take turns as they do on PostgreSQL

    def __init__(self, codec: Codec, ids: IdSource, timeline: str) -> None:
        self.path = Path(":memory:")
        self._writer = apsw.Connection(":memory:", statementcachesize=1000)
        self._writer.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        self._writer.execute("PRAGMA temp_store=MEMORY")
        self._connection = _Connection(self._writer)
        with self._writer:
            for migration in schema.expansions(schema.Version(0, 0)):
                schema.expand(self._connection, migration, str)
        self.codec, self.ids, self.timeline = codec, ids, timeline
        self._tables = [
            str(name)
            for (name,) in self._writer.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'meta'"
            )
        ]

    def empty(self, ids: IdSource) -> None:
        """Forget every row; statements stay prepared, which is most of what a fresh database would cost."""
        self._writer.execute("BEGIN")
        for table in self._tables:
            self._writer.execute(f"DELETE FROM {table}")
        self._writer.execute("COMMIT")
        self.ids = ids

    def reading(self) -> Reading:
        """Read on the writer's connection."""
        return Reading(self._connection, self.codec, self.timeline)

    def close(self) -> None:
        """Let go of the memory."""
        self._writer.close()


class NewTenant(Struct, frozen=True):
    """A tenant to be there."""

    id: str
    now: datetime


@single
def add_tenant(tx: Transaction, item: NewTenant) -> None:
    """Add a tenant."""
    tx.execute(
        "INSERT INTO tenants (id, name, created_at) VALUES (?, ?, ?)", (item.id, item.id, to_ms(item.now))
    )


class MessageRow(Struct, frozen=True):
    """A message as accepted or as it is now; times in milliseconds."""

    id: str
    number_id: str
    contact_id: str
    rank: int
    status: str
    reason: str | None
    on_unknown: str
    not_before: int
    due_at: int
    expires_at: int
    version: int


class AttemptRow(Struct, frozen=True):
    """An attempt, beside the lane it belongs to; `owner` is who holds the lane now."""

    id: str
    message_id: str
    number_id: str
    ordinal: int
    epoch: int
    state: str
    lane_epoch: int
    owner: str | None


class LaneRow(Struct, frozen=True):
    """Who holds a lane, and until when the provider wants it slower (milliseconds)."""

    number_id: str
    owner: str | None
    slow_until: int


_MESSAGE = (
    "SELECT id, number_id, contact_id, rank, status, reason, on_unknown, not_before, due_at, expires_at, version"
    " FROM messages"
)
_ATTEMPT = (
    "SELECT a.id, a.message_id, a.number_id, a.ordinal, a.epoch, a.state, l.epoch, l.owner"
    " FROM attempts a JOIN lanes l ON l.number_id = a.number_id"
)


def message(reading: Reading, message_id: str) -> MessageRow | None:
    """Give one message."""
    row = reading.one(f"{_MESSAGE} WHERE id = ?", (message_id,))
    return None if row is None else MessageRow(*row)


def all_messages(reading: Reading) -> list[MessageRow]:
    """Give every message."""
    return [MessageRow(*row) for row in reading.rows(f"{_MESSAGE} ORDER BY id")]


def attempt(reading: Reading, attempt_id: str) -> AttemptRow | None:
    """Give one attempt."""
    row = reading.one(f"{_ATTEMPT} WHERE a.id = ?", (attempt_id,))
    return None if row is None else AttemptRow(*row)


def all_attempts(reading: Reading) -> list[AttemptRow]:
    """Give every attempt."""
    return [AttemptRow(*row) for row in reading.rows(f"{_ATTEMPT} ORDER BY a.id")]


def lanes(reading: Reading) -> list[LaneRow]:
    """Give every lane."""
    return [LaneRow(*row) for row in reading.rows("SELECT number_id, owner, slow_until FROM lanes")]


def marks(reading: Reading) -> list[tuple[str, int]]:
    """Give each subscriber's low-water mark."""
    return [(row[0], row[1]) for row in reading.rows("SELECT id, position FROM subscribers")]


def owed(reading: Reading, subscriber_id: str) -> dict[int, str]:
    """Give a subscriber's exceptions: position and state."""
    rows = reading.rows(
        "SELECT position, state FROM subscriber_exceptions WHERE subscriber_id = ?", (subscriber_id,)
    )
    return {row[0]: row[1] for row in rows}


def callbacks_by_state(reading: Reading) -> dict[str, int]:
    """Give how many callbacks are stored, read and parked."""
    return {row[0]: row[1] for row in reading.rows("SELECT state, count(*) FROM callbacks GROUP BY state")}


def inbound_ids(reading: Reading) -> list[str]:
    """Give the provider's id of every message that customers sent, repeats included."""
    return [row[0] for row in reading.rows("SELECT provider_message_id FROM inbound ORDER BY id")]
