"""A real PostgreSQL 18 for tests and benches: started, killed, restarted and failed over as a machine's own would be.

The server's programs are run directly, so that the process is ours to kill. No pytest is needed for any of this.
"""

import atexit
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
from tests.postgres_programs import (
    PASSWORD,
    USER,
    attic,
    children_of,
    is_alive,
    other_user,
    own,
    pristine,
    programs,
    run_program,
    steady_port,
)

START_SECONDS_MAX = 30.0
# What a test never waits for: disks. Killed processes lose nothing that the kernel has.
_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "32MB",
    "wal_level": "replica",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "autovacuum_naptime": "10s",
    "log_line_prefix": "%m %a ",
    "log_lock_waits": "on",
    "timezone": "UTC",
}
_HASTY = {"fsync": "off", "synchronous_commit": "on", "full_page_writes": "off"}


class Postgres:
    """One server with a folder and an address of its own, which it keeps over every death.

    `durable`: wait for the disk as production does. `parent`: where its folder is made (a small file system, say).
    `settings`: more lines for postgresql.conf.
    """

    def __init__(
        self,
        *,
        durable: bool = False,
        parent: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        _cluster: Path | None = None,
    ) -> None:
        self.port = port or steady_port()
        self.folder = Path(tempfile.mkdtemp(prefix="server-", dir=parent or attic()))
        self.cluster, self.sockets = self.folder / "cluster", self.folder / "sockets"
        self.settings = {**_SETTINGS, **({} if durable else _HASTY), **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self.sockets.mkdir()
        if _cluster is None:
            shutil.copytree(pristine(), self.cluster, symlinks=True)
        else:
            shutil.move(_cluster, self.cluster)
        own(self.folder)

    # Life

    def start(self) -> "Postgres":
        """Start and return once it takes connections."""
        assert not self.is_running, "it runs already"
        # On the command line: a standby's copied configuration must not speak.
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.sockets),
            **self.settings,
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(programs() / "postgres"), "-D", str(self.cluster), *flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, **other_user(),
            )  # fmt: skip
        # Ends the server should this process be killed: its end of the pipe closes then.
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", 'read _; kill -QUIT "$0"', str(self._process.pid)],
            stdin=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        atexit.register(self.remove)
        self._await_ready()
        return self

    def _await_ready(self) -> None:
        end = time.monotonic() + START_SECONDS_MAX
        while True:
            assert self._process is not None
            assert self._process.poll() is None, f"PostgreSQL ended:\n{self.log[-2000:]}"
            try:
                self.connect("template1").close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < end, f"PostgreSQL does not start:\n{self.log[-2000:]}"
                time.sleep(0.02)

    @property
    def is_running(self) -> bool:
        """Say whether its first process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """Everything it has said."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self) -> None:
        """End it as an operator does in a hurry: connections are cut, nothing is lost."""
        if self.is_running:
            assert self._process is not None
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
        self._ended()

    def kill(self) -> None:
        """kill -9 of the first process and all its children at one instant, as when the machine dies."""
        assert self._process is not None
        if self.is_running:
            first = self._process.pid
            # Stopped first: it must not answer the death of a child.
            os.kill(first, signal.SIGSTOP)
            children = children_of(first)
            for pid in (*children, first):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(10)
            end = time.monotonic() + 10
            while any(is_alive(pid) for pid in children):
                assert time.monotonic() < end, "a killed server process lives on"
                time.sleep(0.002)
        self._ended()

    def restart(self) -> None:
        """Stop if need be, and start at the same address."""
        self.stop()
        self.start()

    def _ended(self) -> None:
        if self._watch is not None:
            self._watch.kill()
            self._watch.wait(10)
            assert self._watch.stdin is not None
            self._watch.stdin.close()
            self._watch = None

    def remove(self) -> None:
        """Stop and delete its folder."""
        atexit.unregister(self.remove)
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Databases

    def url(self, database: str = "template1") -> str:
        """Give the address of a database, over TCP."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str) -> str:
        """Give the address of a database, over the Unix socket."""
        return f"postgresql://{USER}:{PASSWORD}@/{database}?host={self.sockets}&port={self.port}"

    def connect(self, database: str = "template1") -> psycopg.Connection[Any]:
        """Open a connection of a superuser that commits each statement."""
        return psycopg.connect(self.socket_url(database), autocommit=True, connect_timeout=10)

    def run(self, sql: str, database: str = "postgres") -> list[Any]:
        """Run one statement as superuser; gives its rows."""
        with self.connect(database) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self, template: str | None = None) -> str:
        """Make a database (a copy of `template`) and give its address."""
        self._databases += 1
        name = f"w{self._databases}"
        self.run(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is connected."""
        self.run(f"DROP DATABASE IF EXISTS {name_of(url)} WITH (FORCE)")

    # A second machine

    def new_standby(self, *, synchronous: bool = True) -> "Postgres":
        """Copy this server into a standby that follows it (started, at another address).

        `synchronous`: from now on a commit here waits until the standby has it on disk, so a failover loses nothing.
        """
        folder = Path(tempfile.mkdtemp(prefix="base-", dir=attic()))
        own(folder)
        run_program(
            "pg_basebackup", "-d", f"{self.socket_url('postgres')}&application_name=standby", "-D",
            str(folder / "cluster"), "-R", "-X", "stream", "-c", "fast", "--no-sync",
        )  # fmt: skip
        standby = Postgres(settings=self.settings, _cluster=folder / "cluster")
        folder.rmdir()
        # The address in it is this server's socket, which lives as long as this server's folder.
        standby.start()
        if synchronous:
            self.run("ALTER SYSTEM SET synchronous_standby_names = '*'")
            self.run("SELECT pg_reload_conf()")
            end = time.monotonic() + 10
            while self.run("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != [(1,)]:
                assert time.monotonic() < end, "the standby does not follow"
                time.sleep(0.02)
        return standby

    def take_over(self, address_of: "Postgres") -> None:
        """Become the primary at the address of a dead one: a standby there for a moment, then promoted."""
        assert not address_of.is_running, "there must not be two primaries"
        self.stop()
        self.port = address_of.port
        self.start()
        self.run("SELECT pg_promote()")


def name_of(url: str) -> str:
    """Give the database's name in an address."""
    return url.rpartition("/")[2].partition("?")[0]


# One server for a whole test run.


@functools.cache
def session_server() -> Postgres:
    """Start the server that all tests of this run share, once; it ends with the run."""
    return Postgres().start()


@functools.cache
def migrated_template() -> str:
    """Make a database with this release's schema, once; gives its name, to be copied."""
    # Imported here: the server is of use to those who have no Waypost in their path.
    from waypost.domain.ids import IdSource
    from waypost.store.codec import Codec
    from waypost.store.postgres import PostgresEngine

    class Nothing:
        def token_bytes(self, count: int) -> bytes:
            return bytes(count)

        def random(self) -> float:
            return 0.0

    server = session_server()
    server.run("CREATE DATABASE migrated")
    ids = IdSource(Nothing())
    url = server.url("migrated")
    PostgresEngine(
        url, Codec(b"k" * 32, Nothing()), ids, lambda: "t1", owner="template", pause=time.sleep
    ).close()
    server.run("VACUUM ANALYZE", "migrated")
    return "migrated"


def migrated_database() -> str:
    """Make a database with this release's schema on the session's server; gives its address."""
    return session_server().new_database(migrated_template())


@functools.cache
def _first_words() -> list[tuple[str, str]]:
    """The rows of `meta` in a fresh database."""
    return session_server().run("SELECT key, value FROM meta", migrated_template())


def empty(url: str) -> None:
    """Leave a migrated database as it was when new."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_EMPTY)
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO meta (key, value) VALUES (%s, %s)", _first_words())


# Only what has rows is deleted from, and without foreign keys being asked: a third of TRUNCATE's time and less.
_EMPTY = """
SET session_replication_role = replica;
DO $$
DECLARE each text; found boolean;
BEGIN
  FOR each IN SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', each) INTO found;
    IF found THEN EXECUTE format('DELETE FROM %I', each); END IF;
  END LOOP;
END $$;
"""


@contextlib.contextmanager
def server(**options: Any) -> Iterator[Postgres]:
    """Run a server of one's own, to be killed at will."""
    made = Postgres(**options)
    try:
        yield made.start()
    finally:
        made.remove()
