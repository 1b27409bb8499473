"""Looking at the database file without being its writer, for `waypost doctor`: also while a gateway serves."""

from pathlib import Path

import apsw
from msgspec import Struct

from waypost.store import schema

_FAULTS_MAX = 5
_BUSY_TIMEOUT_MS = 2_000


class Inspection(Struct, frozen=True):
    """What was found. `faults` is empty when SQLite's quick check found the file sound."""

    schema_version: int
    schema_version_wanted: int
    journal_lines: int
    faults: tuple[str, ...]


def sqlite_version() -> str:
    """Give the version of SQLite in use."""
    return apsw.sqlite_lib_version()


def inspect(path: Path) -> Inspection | str:
    """Open the file for reading, compare its schema and run SQLite's quick check; a text tells why it can't be read."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as error:
        return f"it cannot be opened: {error}"
    try:
        connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        rows = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchall()
        lines = connection.execute("SELECT coalesce(max(position), 0) FROM journal").fetchall()
        found = [str(row[0]) for row in connection.execute(f"PRAGMA quick_check({_FAULTS_MAX})")]
    except apsw.Error as error:
        return f"it cannot be read: {error}"
    finally:
        connection.close()
    faults = () if found == ["ok"] else tuple(found)
    return Inspection(int(str(rows[0][0])) if rows else 0, schema.wanted(), int(str(lines[0][0])), faults)
