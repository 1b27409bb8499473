"""Bringing a database to this release's schema, and leaving the old one behind: what `waypost migrate` does.

Each step is one transaction, noted with it, so an interrupted run goes on where it stopped. Nothing here needs the
gateway to be stopped on PostgreSQL; SQLite's file belongs to one process.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw

from waypost.domain.errors import Conflict, Unavailable
from waypost.store import schema
from waypost.store.connection import Connection
from waypost.store.schema import Migration, Version
from waypost.store.sqlite import SqliteConnection, lock_file

_INDEX = re.compile(r"CREATE INDEX IF NOT EXISTS (\w+) (.*)", re.DOTALL)


class Upgrade:
    """The steps between a database and a list of migrations; `begin` opens a transaction nobody else migrates in."""

    def __init__(
        self,
        connection: Connection,
        begin: str,
        has_meta: Callable[[], bool],
        translate: Callable[[str], str],
        migrations: Sequence[Migration] | None = None,
        prepare: Callable[[Migration], None] = lambda migration: None,
    ) -> None:
        # Does beforehand, outside the step's transaction, what would keep others from writing within it.
        self._prepare = prepare
        self._connection, self._begin, self._has_meta, self._translate = (
            connection,
            begin,
            has_meta,
            translate,
        )
        self._migrations = schema.migrations() if migrations is None else migrations

    def version(self) -> Version:
        """Give what the database has now."""
        return schema.version_of(self._meta) if self._has_meta() else Version(0, 0)

    def _meta(self, key: str) -> str | None:
        row = self._connection.one("SELECT value FROM meta WHERE key = ?", (key,))
        return None if row is None else str(row[0])

    def expansions(self) -> list[Migration]:
        """Give the expansions still to be run."""
        return schema.expansions(self.version(), self._migrations)

    def contractions(self) -> list[Migration]:
        """Give what could be contracted, once everything is expanded."""
        return schema.contractions(self.version(), self._migrations)

    def expand(self) -> Iterator[Migration]:
        """Run what is to be expanded, giving each step once it is committed."""
        for migration in self.expansions():
            self._prepare(migration)
            with self._alone():
                if migration in self.expansions():
                    schema.expand(self._connection, migration, self._translate)
            yield migration

    def contract(self) -> Iterator[Migration]:
        """Run what can be contracted, giving each step once it is committed. There is no way back from these."""
        if waiting := self.expansions():
            raise Conflict(
                f"{len(waiting)} expansions are still to be run",
                code="not_expanded",
                remedy="run `waypost migrate` first, and let every process run this release",
            )
        for migration in self.contractions():
            with self._alone():
                if migration in self.contractions():
                    schema.contract(self._connection, migration, self._translate)
            yield migration

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._connection.run(self._begin)
        try:
            yield
        except BaseException:
            self._connection.run("ROLLBACK")
            raise
        self._connection.run("COMMIT")


@contextmanager
def upgrade_of_file(path: Path, migrations: Sequence[Migration] | None = None) -> Iterator[Upgrade]:
    """Open an embedded database for migration; raises `Unavailable` while a gateway serves it."""
    if not path.exists():
        raise Unavailable(
            f"there is no database at {path}",
            code="database_missing",
            remedy="the first `waypost serve` makes one, with this release's schema",
        )
    lock = lock_file(path)
    try:
        raw = apsw.Connection(str(path))
        raw.execute("PRAGMA synchronous=FULL")
        connection = SqliteConnection(raw)

        def has_meta() -> bool:
            return connection.one("SELECT 1 FROM sqlite_master WHERE name = 'meta'") is not None

        try:
            yield Upgrade(connection, "BEGIN IMMEDIATE", has_meta, str, migrations)
        finally:
            raw.close()
    finally:
        lock.close()


@contextmanager
def upgrade_of_database(url: str, migrations: Sequence[Migration] | None = None) -> Iterator[Upgrade]:
    """Open a shared database for migration, beside its processes; raises `Unavailable`."""
    from waypost.store.postgres import BEGIN_STEP
    from waypost.store.postgres_connection import PostgresConnection, faults_told

    with faults_told():
        connection = PostgresConnection(url, "migrate")
        try:
            # A step over a large table takes its time; waiting for a lock stays bounded, so that it never queues
            # everybody else up behind it.
            connection.run("SET statement_timeout = 0")

            def has_meta() -> bool:
                return connection.one("SELECT to_regclass('meta')") != (None,)

            def prepare(migration: Migration) -> None:
                _build_indexes(connection, schema.statements(migration.expand))

            yield Upgrade(connection, BEGIN_STEP, has_meta, connection.translated, migrations, prepare)
        finally:
            connection.close()


def _build_indexes(connection: Connection, statements: Sequence[str]) -> None:
    """Build the indexes of a step that has nothing else while others write: the step then finds them there."""
    wanted = [_INDEX.fullmatch(statement) for statement in statements]
    connection.run("SELECT pg_advisory_lock(1465481584, 2)")  # as within a step: nobody else migrates
    try:
        for index in wanted if all(wanted) else ():
            assert index is not None
            name, rest = index.groups()
            # One whose building was cut short is there, and is not used.
            if connection.one(
                "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(?)", (name,)
            ) == (False,):
                connection.run(f"DROP INDEX CONCURRENTLY {name}")
            connection.run(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} {rest}")
    finally:
        connection.run("SELECT pg_advisory_unlock(1465481584, 2)")
