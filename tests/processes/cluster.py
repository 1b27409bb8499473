"""Several gateway processes on one PostgreSQL, as on several machines: folders, ports and doors of their own.

What a load balancer does in front of them is done here by the callers (each request to the next process) and by
turning the provider's callback URL from process to process.
"""

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psycopg
from tests.postgres import Postgres, name_of, steady_port
from tests.processes.harness import Api, Gateway, Reply, Wire, until

from waypost.emulator import DEMO, Emulator

# A takeover waits for the lease: short, so that a test sees many. Calls must end within it.
LEASE_SECONDS = 4.0
_OUTBOX: Wire = {"lease_seconds": LEASE_SECONDS, "provider_timeout_seconds": 2}
_TURN_SECONDS = 0.25


class RoundRobin(Api):
    """A caller that asks the next process each time, and holds no process for dead."""

    def __init__(self, bases: Sequence[str], key: str) -> None:
        super().__init__(bases[0], key)
        self._turns = itertools.cycle(bases)

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        """One request to the process whose turn it is."""
        self.base = next(self._turns)
        return await super().call(method, path, body, **options)


@dataclass
class Cluster:
    """Processes that share a database, a master key and a folder of media."""

    folder: Path
    emulator: Emulator
    postgres: Postgres
    url: str
    gateways: list[Gateway]
    # The name under which each gateway's present life holds lanes.
    owners: dict[int, str] = field(default_factory=dict)

    async def start(self) -> None:
        """Start all; the first makes the schema and the key."""
        for turn in range(len(self.gateways)):
            await self.start_one(turn)

    async def start_one(self, turn: int) -> None:
        """Start one, wait until it is ready, and learn its name: the newest that nobody else has.

        One that ends because the database is away is started again, as whatever supervises processes would.
        """
        gateway = self.gateways[turn]
        for _ in range(20):
            await gateway.spawn()
            try:
                await gateway.ready()
                break
            except AssertionError:
                assert gateway.process is not None
                if gateway.process.returncode is None or await asyncio.to_thread(self.database_answers):
                    raise
                await asyncio.sleep(0.5)
        rows = await self.rows("SELECT id FROM processes ORDER BY started_at DESC")
        others = set(self.owners.values())
        self.owners[turn] = next(str(each) for (each,) in rows if each not in others)

    def database_answers(self) -> bool:
        """Say whether one can connect now."""
        try:
            self.postgres.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    async def rows(self, sql: str) -> list[Any]:
        """Look into the database past the product."""
        return await asyncio.to_thread(self.postgres.run, sql, name_of(self.url))

    async def caller(self) -> RoundRobin:
        """A client with a fresh key that asks all processes in turn."""
        one = await self.gateways[0].caller()
        key = one.http.headers["Authorization"].removeprefix("Bearer ")
        await one.close()
        return RoundRobin([gateway.base for gateway in self.gateways], key)

    async def turn_callbacks(self) -> None:
        """Have the provider call the next process every moment, dead ones too: it repeats what was refused."""
        for gateway in itertools.cycle(self.gateways):
            await asyncio.sleep(_TURN_SECONDS)
            app = self.emulator.world.apps[DEMO.app_id]
            if app.callback_url is not None:
                app.callback_url = gateway.base + "/" + app.callback_url.split("/", 3)[3]

    async def spread(self) -> dict[str, int]:
        """How many lanes each owner has."""
        rows = await self.rows("SELECT owner, count(*) FROM lanes WHERE owner IS NOT NULL GROUP BY owner")
        return {str(owner): int(count) for owner, count in rows}

    async def settled(self, seconds_max: float = 20) -> None:
        """Wait until every process has its share of the lanes."""

        async def fair() -> bool:
            counts = await self.spread()
            mine = [counts.get(owner, 0) for owner in self.owners.values()]
            return sum(mine) > 0 and max(mine) - min(mine) <= 1 and set(counts) <= set(self.owners.values())

        try:
            await until(fair, seconds_max, "the lanes are spread", 0.1)
        except AssertionError as fault:
            raise AssertionError(f"{fault}: {await self.spread()} over {self.owners}") from None

    async def stop(self) -> None:
        """Leave nothing behind."""
        for gateway in self.gateways:
            if gateway.process is not None:
                await gateway.kill()


@contextlib.asynccontextmanager
async def open_cluster(
    folder: Path,
    emulator: Emulator,
    postgres: Postgres,
    *,
    count: int,
    over: Mapping[str, Wire] | None = None,
) -> AsyncIterator[Cluster]:
    """Start `count` processes on a fresh database of `postgres`, whose address they are given."""
    shared = folder / "shared"
    shared.mkdir(parents=True)
    url = await asyncio.to_thread(postgres.new_database)
    places: dict[str, Wire] = {
        "store": {"url": url},
        "secrets": {"key_file": str(shared / "master.key")},
        "inbox": {"media_dir": str(shared / "media")},
        "outbox": dict(_OUTBOX),
    }
    for name, values in (over or {}).items():
        places.setdefault(name, {}).update(values)
    emulator_url = emulator.stage.base_url
    gateways = [
        Gateway(folder / f"process-{turn}", emulator_url, places, steady_port()) for turn in range(count)
    ]
    cluster = Cluster(folder, emulator, postgres, url, gateways)
    turning = asyncio.create_task(cluster.turn_callbacks())
    try:
        await cluster.start()
        yield cluster
    finally:
        turning.cancel()
        await asyncio.gather(turning, return_exceptions=True)
        await cluster.stop()


@dataclass(frozen=True)
class Death:
    """A process killed or paused: when (ms), and the lanes it held with their epochs."""

    kind: Literal["killed", "paused"]
    at_ms: int
    lanes: dict[str, int]


@dataclass(frozen=True)
class Takeovers:
    """Seconds from kills to the new holder, and to the first claim where something waited."""

    taken: list[float]
    claimed: list[float]
    never: list[str]


async def died(cluster: Cluster, turn: int) -> Death:
    """kill -9 one process; gives what it held."""
    owner = cluster.owners.pop(turn)
    held = await _held_by(cluster, owner)
    await cluster.gateways[turn].kill()
    return Death("killed", now_ms(), held)


async def fell_asleep(cluster: Cluster, turn: int) -> Death:
    """Stop one process in its tracks, as a machine that is paused; gives what it held. It does not know."""
    held = await _held_by(cluster, cluster.owners[turn])
    cluster.gateways[turn].signal(signal.SIGSTOP)
    return Death("paused", now_ms(), held)


async def _held_by(cluster: Cluster, owner: str) -> dict[str, int]:
    rows = await cluster.rows(f"SELECT number_id, epoch FROM lanes WHERE owner = '{owner}'")
    return {str(number): int(epoch) for number, epoch in rows}


async def takeovers(cluster: Cluster, deaths: Sequence[Death]) -> Takeovers:
    """Read from the database's own books when each orphaned lane was taken and first claimed from."""
    taken: list[float] = []
    claimed: list[float] = []
    never: list[str] = []
    for death in deaths:
        for number, epoch in death.lanes.items():
            rows = await cluster.rows(
                "SELECT min(at) FROM journal WHERE kind = 'lane.taken'"
                f" AND aggregate_id = 'lane:{number}' AND version > {epoch}"
            )
            at = rows[0][0]
            if at is None:
                never.append(number)
                continue
            taken.append(max(0.0, (at - death.at_ms) / 1000))
            first = await cluster.rows(
                "SELECT a.started_at, m.accepted_at FROM attempts a JOIN messages m ON m.id = a.message_id"
                f" WHERE a.number_id = '{number}' AND a.epoch > {epoch} ORDER BY a.started_at LIMIT 1"
            )
            if first and first[0][1] <= at:
                claimed.append((first[0][0] - death.at_ms) / 1000)
    return Takeovers(taken, claimed, never)


def now_ms() -> int:
    """The machine's time, which the database here shares."""
    return int(time.time() * 1000)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
