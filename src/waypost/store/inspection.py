"""Looking at the database without being its writer, for `waypost doctor`: also while gateways serve."""

from pathlib import Path

import apsw
from msgspec import Struct

from waypost.domain.errors import Unavailable
from waypost.store import schema
from waypost.store.connection import Connection

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


class SharedInspection(Struct, frozen=True):
    """What was found. `risks` are server settings under which an acknowledged commit could be lost."""

    server: str
    schema_version: int
    schema_contracted: int
    schema_version_wanted: int
    journal_lines: int
    processes: int
    risks: tuple[str, ...]


def inspect_shared(url: str) -> SharedInspection | str:
    """Ask the shared database; a text tells why it can't be asked."""
    from waypost.store.postgres_connection import PostgresConnection, faults_told

    connection = PostgresConnection(url, "inspect")
    try:
        with faults_told():
            return _asked(connection)
    except Unavailable as fault:
        return f"{fault.message} ({fault.code})"
    finally:
        connection.close()


def _asked(connection: Connection) -> SharedInspection | str:
    (server,) = connection.one("SELECT current_setting('server_version')") or ("",)
    if connection.one("SELECT to_regclass('meta')") == (None,):
        return "it is empty: the first `waypost serve` fills it"
    meta: dict[str, str] = dict(connection.rows("SELECT key, value FROM meta WHERE key LIKE 'schema_%'"))
    version = schema.version_of(lambda key: meta.get(key))
    (lines,) = connection.one("SELECT coalesce(max(position), 0) FROM journal") or (0,)
    (processes,) = connection.one(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waypost-write'"
    ) or (0,)
    settings: dict[str, str] = dict(
        connection.rows("SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes')")
    )
    risks = tuple(f"{name} is off" for name, setting in sorted(settings.items()) if setting == "off")
    return SharedInspection(
        server, version.expanded, version.contracted, schema.wanted(), int(lines), int(processes), risks
    )
