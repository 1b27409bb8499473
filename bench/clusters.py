"""Gateways that share one PostgreSQL database, as on several machines, and what the benchmark asks them and the server.

The server is started for the benchmark alone, waits for the disk at each commit, and runs beside everything else.
"""

import os
import random
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg

import machine
import seeding
from children import HERE
from history import PostgresDatabase, fill
from rounds import Gateway

sys.path.insert(0, str(HERE.parent))
from tests.postgres import Postgres, name_of
from tests.postgres import run_program as run_program

from waypost.domain.ids import encode

# As one would set a small machine of its own; the rest are PostgreSQL's defaults.
SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "1min",
}
# The writers' lock: store/postgres.py.
_LOCK = 1465481584
_LOCKS = """
SELECT count(*) FILTER (WHERE granted), count(*) FILTER (WHERE NOT granted) FROM pg_locks
WHERE locktype = 'advisory' AND classid = %s AND objid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_WAIT_SECONDS_MAX = 120.0
_POLL_SECONDS = 0.01


def start_server(**settings: str) -> Postgres:
    """Start a PostgreSQL that keeps its promises: fsync, synchronous commit and full pages are on."""
    return Postgres(durable=True, settings=SETTINGS | settings).start()


def server_cpu_seconds(server: Postgres) -> float:
    """Give the CPU time of all the server's processes, those that have ended included."""
    assert server._process is not None
    first = server._process.pid
    total = 0.0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(entry.name) == first:
            # With its children that have ended.
            total += sum(int(each) for each in fields[11:15])
        elif int(fields[1]) == first:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


class Cluster:
    """`count` gateways on one database, each with a folder and a port of its own."""

    def __init__(
        self, folder: Path, url: str, base_url: str, key: str, over: Mapping[str, str] | None = None
    ) -> None:
        self._folder, self._base_url, self._key = folder, base_url, key
        self._over = {"WAYPOST_STORE_URL": url, "WAYPOST_INBOX_MEDIA_DIR": str(folder / "media")}
        self._over |= over or {}
        self._started = 0
        self.gateways: list[Gateway] = []
        self.owners: list[str] = []
        self._database = psycopg.connect(url, autocommit=True)
        # Looking at it must not cost a pass over a large table.
        self._database.execute("SET enable_seqscan = off")

    def add(self, count: int = 1) -> None:
        """Start `count` more and learn the names they hold lanes by (which is whose, only when one is added)."""
        known = {row[0] for row in self.rows("SELECT id FROM processes")}
        for _ in range(count):
            folder = self._folder / f"process-{self._started}"
            folder.mkdir(parents=True)
            self._started += 1
            self.gateways.append(Gateway(folder, self._base_url, self._key, self._over))
        for gateway in self.gateways[-count:]:
            gateway.wait_until_ready()
        ends_at = time.monotonic() + 20
        while len(new := {row[0] for row in self.rows("SELECT id FROM processes")} - known) < count:
            if time.monotonic() > ends_at:
                raise RuntimeError("a gateway does not say that it lives")
            time.sleep(_POLL_SECONDS)
        self.owners += sorted(new)

    @property
    def ports(self) -> list[int]:
        """Give where they listen."""
        return [each.port for each in self.gateways]

    def rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Look into the database past the product."""
        return self._database.execute(sql.encode(), parameters or None).fetchall()

    def wait_until_spread(self) -> None:
        """Return once every process has its share of the lanes."""
        ends_at = time.monotonic() + _WAIT_SECONDS_MAX
        while True:
            held = dict(self.rows("SELECT owner, count(*) FROM lanes WHERE owner IS NOT NULL GROUP BY owner"))
            shares = [held.get(owner, 0) for owner in self.owners]
            # A share is rounded up: of 40 lanes, three processes hold 14, 14 and 12 at rest.
            if set(held) == set(self.owners) and max(shares) <= -(-sum(shares) // len(shares)):
                return
            if time.monotonic() > ends_at:
                raise RuntimeError(f"the lanes are not spread: {shares}")
            time.sleep(0.05)

    def wait_until_none(self, *queries: str) -> float:
        """Return when none of the queries finds anything; gives the time on the monotonic clock."""
        ends_at = time.monotonic() + _WAIT_SECONDS_MAX
        while any(self.rows(sql) for sql in queries):
            if time.monotonic() > ends_at:
                raise RuntimeError("the gateways do not come to an end with their work")
            time.sleep(_POLL_SECONDS)
        return time.monotonic()

    def cpu_seconds(self) -> float:
        """Give the CPU time of all gateways together."""
        return sum(machine.cpu_seconds(each.pid) for each in self.gateways)

    def kill(self, turn: int) -> tuple[int, dict[str, int]]:
        """End one with kill -9; gives when (milliseconds) and the lanes it held with their epochs."""
        held = dict(
            self.rows("SELECT number_id, epoch FROM lanes WHERE owner = %s", (self.owners.pop(turn),))
        )
        at_ms = int(time.time() * 1000)
        self.gateways.pop(turn).kill()
        return at_ms, held

    def first_claims(self, killed_ms: int, held: Mapping[str, int]) -> list[float]:
        """Wait until a successor has claimed from each of these lanes; gives the seconds from the kill to each."""
        ends_at = time.monotonic() + _WAIT_SECONDS_MAX
        found: dict[str, float] = {}
        while len(found) < len(held):
            for number_id, epoch in held.items():
                row = self.rows(
                    "SELECT min(started_at) FROM attempts WHERE number_id = %s AND epoch > %s AND id > %s",
                    (number_id, epoch, _id_floor(killed_ms)),
                )[0]
                if number_id not in found and row[0] is not None:
                    found[number_id] = (row[0] - killed_ms) / 1000
            if time.monotonic() > ends_at:
                raise RuntimeError(f"nobody took over {sorted(set(held) - set(found))}")
            time.sleep(0.2)
        return list(found.values())

    def stop(self) -> None:
        """Let all drain."""
        self._database.close()
        with ThreadPoolExecutor(len(self.gateways) or 1) as pool:
            list(pool.map(Gateway.stop, self.gateways))


def _id_floor(at_ms: int) -> str:
    """Give what every attempt's id of that time or later is above."""
    return "att_" + encode(at_ms - 1000 << 80)


class WriterTurns:
    """Looks again and again whether somebody holds the writers' lock of a database; a context around a load."""

    def __init__(self, server: Postgres, url: str) -> None:
        self._connection = psycopg.connect(server.socket_url(name_of(url)), autocommit=True)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.looks = self.held = self.waiting = 0

    def __enter__(self) -> "WriterTurns":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._connection.close()

    def _look(self) -> None:
        # Uneven steps, so that it cannot fall in with the commits.
        chance = random.Random(1)
        while not self._ended.wait(chance.uniform(0.002, 0.018)):
            row = self._connection.execute(_LOCKS, (_LOCK,)).fetchone()
            assert row is not None
            self.looks += 1
            self.held += row[0] > 0
            self.waiting += row[1]

    @property
    def share(self) -> float:
        """Give the share of the time in which the lock was held."""
        return self.held / max(1, self.looks)


class Takeovers:
    """Kills one of three under an even load, again and again."""

    def __init__(self, cluster: Cluster, load: Any, per_second: int, lease_seconds: float) -> None:
        self._cluster, self._load = cluster, load
        self._per_second, self._lease = per_second, lease_seconds

    def one(self, turn: int) -> tuple[list[float], list[str]]:
        """Kill one, wait for its successors, start another in its place; gives the times and what must be said."""
        cluster = self._cluster
        cluster.wait_until_spread()
        victim = turn % len(cluster.gateways)
        # A balancer keeps new requests from the dead: what is measured is what becomes of its lanes.
        ports = [port for place, port in enumerate(cluster.ports) if place != victim]
        self._load.start("evenly", port=ports, per_second=self._per_second, seconds=self._lease + 2.5)
        time.sleep(1.0)
        killed_ms, held = cluster.kill(victim)
        seconds = cluster.first_claims(killed_ms, held)
        told = self._load.wait()
        cluster.add()
        answers = told["statuses"]
        return seconds, [] if set(answers) == {"202"} else [f"answers during a takeover: {answers}"]


def databases(server: Postgres, template: str, count: int) -> list[str]:
    """Copy a prepared database `count` times; gives the addresses."""
    return [server.new_database(name_of(template)) for _ in range(count)]


def prepared(server: Postgres, folder: Path, history: int = 0) -> str:
    """Copy what `seeding.seed` made into PostgreSQL, with finished messages; gives the address, to be copied from."""
    url = server.new_database()
    seeding.copy_to_postgres(folder, url)
    if history:
        fill(PostgresDatabase(url), history, lambda line: None)
    return url
