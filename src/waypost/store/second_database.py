"""A second place in another PostgreSQL database, with two tables of its own."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import psycopg

from waypost.domain.withdrawals import Copied, Heartbeat
from waypost.store.postgres_connection import LOST, PostgresConnection
from waypost.store.second_place import unreachable

R = TypeVar("R")
# "Wayp" in ASCII, as the gateway's own locks: two processes that make a table at once would trip over each other.
_MAKE = """
BEGIN; SELECT pg_advisory_xact_lock(1465481584, 3);
CREATE TABLE IF NOT EXISTS waypost_withdrawals (
  id TEXT COLLATE "C" PRIMARY KEY, tenant_id TEXT NOT NULL, aliases TEXT NOT NULL, purpose TEXT NOT NULL,
  at BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS waypost_heartbeats (
  name TEXT PRIMARY KEY, timeline TEXT NOT NULL, position BIGINT NOT NULL, at BIGINT NOT NULL
);
COMMIT
"""
_PUT = (
    "INSERT INTO waypost_withdrawals (id, tenant_id, aliases, purpose, at) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (id) DO NOTHING"
)
_BEAT = (
    "INSERT INTO waypost_heartbeats (name, timeline, position, at) VALUES ('journal', ?, ?, ?)"
    " ON CONFLICT (name) DO UPDATE SET timeline = excluded.timeline, position = excluded.position, at = excluded.at"
    " WHERE waypost_heartbeats.at < excluded.at"
)
_PAGE_ROWS = 500


class SecondDatabase:
    """The database at `url`. One call at a time; a lost connection is opened again at the next one."""

    def __init__(self, url: str) -> None:
        self._connection = PostgresConnection(url, "second-place")
        self._is_made = False

    def _tried(self, work: Callable[[], R]) -> R:
        """Do `work`, a second time when the connection turned out to be dead: all of it can be repeated."""
        try:
            try:
                return self._done(work)
            except LOST:
                if not self._connection.is_lost:
                    raise
                return self._done(work)
        except psycopg.Error as error:
            self._connection.undo()
            # Its words may name the address with what stands in it; its class says enough.
            raise unreachable(type(error).__name__) from None

    def _done(self, work: Callable[[], R]) -> R:
        if not self._is_made:
            self._connection.run(_MAKE)
            self._is_made = True
        return work()

    def put(self, entries: Sequence[Copied]) -> None:
        """Insert what is not there, in one transaction."""
        rows = [(each.id, each.tenant_id, " ".join(each.aliases), each.purpose, each.at) for each in entries]

        def insert() -> None:
            self._connection.run("BEGIN")
            self._connection.run_many(_PUT, rows)
            self._connection.run("COMMIT")

        self._tried(insert)

    def withdrawals(self) -> Iterator[Copied]:
        """Give all rows, page by page."""
        sql = (
            "SELECT id, tenant_id, aliases, purpose, at FROM waypost_withdrawals WHERE id > ?"
            f" ORDER BY id LIMIT {_PAGE_ROWS}"
        )
        after = ""
        while rows := self._rows(sql, (after,)):
            for row in rows:
                yield Copied(row[0], row[1], tuple(row[2].split()), row[3], row[4])
            after = rows[-1][0]

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self._tried(lambda: self._connection.rows(sql, parameters))

    def beat(self, heartbeat: Heartbeat) -> None:
        """Replace the heartbeat by a later one."""
        row = (heartbeat.timeline, heartbeat.position, heartbeat.at)
        self._tried(lambda: self._connection.run(_BEAT, row))

    def last_beat(self) -> Heartbeat | None:
        """Read the heartbeat."""
        rows = self._rows("SELECT timeline, position, at FROM waypost_heartbeats WHERE name = 'journal'")
        return Heartbeat(*rows[0]) if rows else None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
