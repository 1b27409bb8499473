"""A shared database that is read while nobody may write it: one session holds the writers' lock and one snapshot.

The lock lives as long as the session. A session that breaks is not opened again: whoever reads begins anew.
"""

from collections.abc import Callable
from typing import TypeVar

import psycopg

from waypost.domain.errors import Unavailable
from waypost.store import schema
from waypost.store.codec import Codec
from waypost.store.copying import refuse_served
from waypost.store.postgres import HOLD
from waypost.store.postgres_connection import PostgresConnection, faults_told
from waypost.store.transaction import Reading

R = TypeVar("R")
_NOW_MS = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"


class _OneSession(PostgresConnection):
    def _open(self) -> psycopg.Connection[tuple[object, ...]]:
        if self._raw is not None and self._raw.closed:
            raise psycopg.OperationalError("the session that held the database has ended")
        return super()._open()


class HeldDatabase:
    """A database held for reading alone.

    Raises `Unavailable` when this release cannot read it, `Conflict` while a gateway serves it.
    """

    shared = True

    def __init__(self, url: str, codec: Codec) -> None:
        self._codec = codec
        self._session = _OneSession(url, "copy")
        try:
            with faults_told():
                self.timeline = self._held()
        except BaseException:
            self._session.close()
            raise

    def _held(self) -> str:
        session = self._session
        if session.one("SELECT to_regclass('meta')") == (None,):
            raise Unavailable(
                "there is no store in this database",
                code="database_missing",
                remedy="name the database to be copied",
            )
        schema.refuse_unservable(schema.version_of(self._meta))
        if self._meta("key_fingerprint") is not None:
            schema.refuse_other_key(session, self._codec.fingerprint)
        session.run(HOLD)
        refuse_served(self._reading(), int((session.one(_NOW_MS) or (0,))[0]))
        return str(self._meta("timeline"))

    def _meta(self, key: str) -> str | None:
        row = self._session.one("SELECT value FROM meta WHERE key = ?", (key,))
        return None if row is None else str(row[0])

    def _reading(self) -> Reading:
        return Reading(self._session, self._codec, "")

    def reading(self) -> Reading:
        """Give the one session, for queries."""
        return _HeldReading(self._session, self._codec, self.timeline)

    def close(self) -> None:
        """Let go of the database."""
        self._session.close()


class _HeldReading(Reading):
    """Says in our words that the session broke."""

    def snapshot(self, query: Callable[[Reading], R], slow: bool = False) -> R:
        """Run `query` on one state of the rows; raises `Unavailable`."""
        with faults_told():
            return super().snapshot(query, slow)
