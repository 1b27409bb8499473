"""Reading an embedded database while a gateway serves it: no lock is taken and nothing can be changed."""

from pathlib import Path

import apsw

from waypost.domain.errors import Unavailable
from waypost.store import schema
from waypost.store.codec import Codec
from waypost.store.sqlite import SqliteConnection
from waypost.store.transaction import Reading

_BUSY_TIMEOUT_MS = 5_000


class Beside:
    """A database file, opened for reading alone; raises `Unavailable` when this release cannot read it."""

    shared = False

    def __init__(self, path: Path, codec: Codec) -> None:
        self._codec = codec
        try:
            self._raw = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            self._raw.set_busy_timeout(_BUSY_TIMEOUT_MS)
            self._connection = SqliteConnection(self._raw)
            rows = self._connection.rows("SELECT key, value FROM meta")
            found: dict[str, str] = {str(key): str(value) for key, value in rows}
        except apsw.Error as error:
            raise Unavailable(
                f"the database at {path} cannot be read: {error}",
                code="database_unreadable",
                remedy="check store.path; the first `waypost serve` makes the database",
            ) from None
        schema.refuse_unservable(schema.version_of(found.get))
        if "key_fingerprint" in found:
            # Without one no gateway of this release has opened it yet, and nothing can be noted here.
            schema.refuse_other_key(self._connection, codec.fingerprint)
        self.timeline = found["timeline"]

    def reading(self) -> Reading:
        """Give the one connection, for queries."""
        return Reading(self._connection, self._codec, self.timeline)

    def close(self) -> None:
        """Let go of the file."""
        self._raw.close()
