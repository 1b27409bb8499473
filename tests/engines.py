"""Which engine a test's stores stand on. Tests of the rooms that use the store run once on each, unchanged."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import apsw
import psycopg
from tests import postgres

from waypost.domain.ids import IdSource
from waypost.domain.ports import Randomness
from waypost.store.codec import Codec
from waypost.store.engine import Engine
from waypost.store.postgres import PostgresEngine
from waypost.store.schema import Migration
from waypost.store.sqlite import SqliteEngine
from waypost.store.upgrade import Upgrade, upgrade_of_database, upgrade_of_file

NAMES = ("sqlite", "postgres")
# Emptying a database takes a tenth of the time of making one, so a test gives its back, emptied.
_spare: list[str] = []


class Sqlite:
    """Stores on files; the same folder is the same store."""

    name = "sqlite"
    # How a store that cannot be written at all says so.
    unwritable_code = "disk_full"

    def open(
        self, folder: Path, randomness: Randomness, timeline: str = "t1", master_key: bytes = b"k" * 32
    ) -> Engine:
        return SqliteEngine(
            folder / "w.sqlite", Codec(master_key, randomness), IdSource(randomness), lambda: timeline
        )

    def run(self, engine: Engine, sql: str) -> None:
        """Change rows behind the product's back."""
        _sqlite(engine)._writer.execute(sql)

    @contextlib.contextmanager
    def unwritable(self, engine: Engine, room_pages: int = 0) -> Iterator[None]:
        """The database has room for so many more pages."""
        writer = _sqlite(engine)._writer
        pages = writer.execute("PRAGMA page_count").fetchall()[0][0]
        writer.execute(f"PRAGMA max_page_count={pages + room_pages}")
        try:
            yield
        finally:
            writer.execute("PRAGMA max_page_count=1000000")

    @contextlib.contextmanager
    def locked(self, engine: Engine) -> Iterator[None]:
        """Another program is in the middle of a write; ours waits a moment only."""
        ours = _sqlite(engine)
        ours._writer.set_busy_timeout(10)
        other = apsw.Connection(str(ours.path))
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()

    def upgrade(self, folder: Path, migrations: Sequence[Migration]) -> AbstractContextManager[Upgrade]:
        """Open the store of `folder` for migration."""
        return upgrade_of_file(folder / "w.sqlite", migrations)

    def all_bytes(self, engine: Engine) -> bytes:
        """Everything as it is kept."""
        return b"".join(file.read_bytes() for file in _sqlite(engine).path.parent.iterdir())

    def close(self) -> None:
        """Nothing to do: files go with their folder."""


class Postgres:
    """Stores in databases of the session's server; the same folder is the same database."""

    name = "postgres"
    unwritable_code = "database_read_only"

    def __init__(self) -> None:
        self._urls: dict[Path, str] = {}
        self._opened: list[PostgresEngine] = []
        self._spoilt: set[str] = set()  # migrated by a test: of no use to another

    def open(
        self, folder: Path, randomness: Randomness, timeline: str = "t1", master_key: bytes = b"k" * 32
    ) -> Engine:
        if folder not in self._urls:
            self._urls[folder] = _spare.pop() if _spare else postgres.migrated_database()
        engine = PostgresEngine(
            self._urls[folder],
            Codec(master_key, randomness),
            IdSource(randomness),
            lambda: timeline,
            owner=f"test-{len(self._opened)}",
            pause=time.sleep,
        )
        self._opened.append(engine)
        return engine

    def run(self, engine: Engine, sql: str) -> None:
        """Change rows behind the product's back."""
        _postgres(engine)._writer.run(sql)

    @contextlib.contextmanager
    def unwritable(self, engine: Engine, room_pages: int = 0) -> Iterator[None]:
        """The server takes no changes, as a standby does."""
        url = _postgres(engine)._url
        self._set(url, "SET default_transaction_read_only = on")
        try:
            yield
        finally:
            self._set(url, "RESET default_transaction_read_only")

    def _set(self, url: str, setting: str) -> None:
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("SET default_transaction_read_only = off")
            other.execute(f"ALTER DATABASE {other.info.dbname} {setting}")  # type: ignore[arg-type]
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    @contextlib.contextmanager
    def locked(self, engine: Engine) -> Iterator[None]:
        """Another process is in the middle of a write; ours waits a moment only."""
        ours = _postgres(engine)
        ours._writer.run("SET lock_timeout = 10")
        with psycopg.connect(ours._url) as other:
            other.execute("SELECT pg_advisory_xact_lock(1465481584, 1)")
            yield
            other.rollback()

    def upgrade(self, folder: Path, migrations: Sequence[Migration]) -> AbstractContextManager[Upgrade]:
        """Open the store of `folder` for migration."""
        self._spoilt.add(self._urls[folder])
        return upgrade_of_database(self._urls[folder], migrations)

    def all_bytes(self, engine: Engine) -> bytes:
        """Everything as it is kept."""
        found = []
        with psycopg.connect(_postgres(engine)._url) as other:
            for (table,) in other.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall():
                for row in other.execute(f"SELECT * FROM {table}"):  # type: ignore[arg-type]
                    found += [value if isinstance(value, bytes) else str(value).encode() for value in row]
        return b" ".join(found)

    def close(self) -> None:
        """Close what is open and give the databases back, emptied."""
        for engine in self._opened:
            engine.close()
        for url in self._urls.values():
            if url in self._spoilt:
                postgres.session_server().drop(url)
            else:
                postgres.empty(url)
                _spare.append(url)


def _sqlite(engine: Engine) -> SqliteEngine:
    assert isinstance(engine, SqliteEngine)
    return engine


def _postgres(engine: Engine) -> PostgresEngine:
    assert isinstance(engine, PostgresEngine)
    return engine


def named(name: str) -> Any:
    """Give the engine of this name."""
    return Postgres() if name == "postgres" else Sqlite()


current: Any = Sqlite()
