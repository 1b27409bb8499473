"""The kill story over PostgreSQL: several processes, many numbers, kill -9 of any of them, and of the database."""

import asyncio
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.postgres import Postgres, server
from tests.processes.cluster import (
    LEASE_SECONDS,
    Cluster,
    Death,
    died,
    fell_asleep,
    now_ms,
    open_cluster,
    percentile,
    takeovers,
)
from tests.processes.harness import hurry_callbacks
from tests.processes.kill_story import Plan, Run, new_emulator, new_run, play
from tests.processes.sink import open_sinks

PROCESSES = 3
# How long a process stays away: longer than its lease, so that its lanes are taken over, or shorter.
_AWAY_SECONDS = (0.5, 1.5 * LEASE_SECONDS)
# Every so many are paused for twice their lease instead of killed: they wake up and believe they hold their lanes.
_PAUSED_EVERY = 4
_REACH_MS = int((LEASE_SECONDS + 2) * 1000)
_CUT_OFF_MS = 1000  # store/postgres_connection: idle_in_transaction_session_timeout


@dataclass(frozen=True)
class Storm:
    """How long processes are killed, how often, and at which shares of that time the database is."""

    seconds: float
    between_kills_seconds: tuple[float, float]
    database_kills: tuple[float, ...] = (0.3, 0.7)


@dataclass
class Fates:
    """What befell processes and the database (ms)."""

    deaths: list[Death] = field(default_factory=list)
    outages: list[tuple[int, int]] = field(default_factory=list)

    def disturbance(self, death: Death) -> str:
        """Say what else went wrong while successors should have come: `database`, `pause`, or nothing."""
        until = death.at_ms + _REACH_MS
        if any(began <= until and death.at_ms <= ended + _REACH_MS for began, ended in self.outages):
            return "database"
        # A process that is paused within a transaction keeps the others from writing until the server cuts it off.
        pauses = [each.at_ms for each in self.deaths if each.kind == "paused"]
        return "pause" if any(death.at_ms - _CUT_OFF_MS <= at <= until for at in pauses) else ""


async def storm_story(folder: Path, plan: Plan, storm: Storm) -> dict[str, Any]:
    """Run it; raises AssertionError with every broken promise. Gives the figures, takeover times among them."""
    with server() as postgres:
        emulator = new_emulator(plan)
        await emulator.start()
        emulator.webhooks.try_timeout_seconds = 3.0
        sinks = await open_sinks()
        caller = None
        try:
            async with open_cluster(folder, emulator, postgres, count=PROCESSES) as cluster:
                caller = await cluster.caller()
                run = await new_run(plan, emulator, cluster.gateways, sinks, caller)
                await cluster.settled()
                fates = Fates()

                async def trouble(_: Run) -> None:
                    await _storm(cluster, run, storm, fates)

                figures = await play(run, trouble)
                figures |= await _takeover_figures(cluster, fates)
                for gateway in cluster.gateways:
                    assert await gateway.stop() == 0
                return figures
        finally:
            if caller is not None:
                await caller.close()
            await sinks.close()
            await emulator.stop()


async def _storm(cluster: Cluster, run: Run, storm: Storm, fates: Fates) -> None:
    """Kill processes at random instants, and the database at its times; at the end all live."""
    clock = asyncio.get_running_loop().time
    began = clock()
    deaths = fates.deaths
    database = asyncio.create_task(_database_dies(cluster.postgres, began, storm))
    returns: dict[int, asyncio.Task[None]] = {}
    try:
        while clock() < began + storm.seconds:
            await asyncio.sleep(run.chance.uniform(*storm.between_kills_seconds))
            for turn in [turn for turn, task in returns.items() if task.done()]:
                await returns.pop(turn)
            # One at least stays: with nobody alive nothing is proved about taking over.
            alive = sorted(cluster.owners.keys() - returns.keys())
            # A server that has just been started recovers first: who held what cannot be asked for yet.
            if len(alive) < 2 or not await asyncio.to_thread(cluster.database_answers):
                continue
            turn, away = run.chance.choice(alive), run.chance.uniform(*_AWAY_SECONDS)
            if len(deaths) % _PAUSED_EVERY == 3:
                deaths.append(await fell_asleep(cluster, turn))
                returns[turn] = asyncio.create_task(_wakes(cluster, turn, 2 * LEASE_SECONDS))
            else:
                deaths.append(await died(cluster, turn))
                returns[turn] = asyncio.create_task(_comes_back(cluster, turn, away))
            hurry_callbacks(run.emulator)
    finally:
        fates.outages += await database
        await asyncio.gather(*returns.values())
    await cluster.settled(30)


async def _wakes(cluster: Cluster, turn: int, asleep_seconds: float) -> None:
    try:
        await asyncio.sleep(asleep_seconds)
    finally:
        cluster.gateways[turn].signal(signal.SIGCONT)


async def _comes_back(cluster: Cluster, turn: int, away_seconds: float) -> None:
    await asyncio.sleep(away_seconds)
    await cluster.start_one(turn)


async def _database_dies(postgres: Postgres, began: float, storm: Storm) -> list[tuple[int, int]]:
    """kill -9 the database at its times and start it a little later; gives the outages in ms."""
    loop = asyncio.get_running_loop()
    outages = []
    for share in storm.database_kills:
        await asyncio.sleep(max(0.0, began + share * storm.seconds - loop.time()))
        before = now_ms()
        await asyncio.to_thread(postgres.kill)
        await asyncio.sleep(1.5)
        await asyncio.to_thread(postgres.start)
        outages.append((before, now_ms()))
    return outages


async def _takeover_figures(cluster: Cluster, fates: Fates) -> dict[str, Any]:
    """Takeover times of processes that died alone, and of those whose successors were disturbed."""
    books = {
        cause: await takeovers(cluster, [each for each in fates.deaths if fates.disturbance(each) == cause])
        for cause in ("", "pause", "database")
    }
    for book in books.values():
        # How soon is printed, and judged where the ten minutes are run: a busy machine is slow, and wrong in nothing.
        assert not book.never, f"lanes nobody took over: {book.never}"
    calm = books[""]
    assert calm.claimed, "a run without a takeover proves too little"
    return {
        "lease_s": LEASE_SECONDS,
        "deaths": len(fates.deaths),
        "database_kills": len(fates.outages),
        "orphaned_lanes": sum(len(book.taken) for book in books.values()),
        "orphaned_lanes_undisturbed": len(calm.taken),
        "taken_p50_s": percentile(calm.taken, 0.5),
        "taken_p99_s": percentile(calm.taken, 0.99),
        "takeover_p50_s": percentile(calm.claimed, 0.5),
        "takeover_p99_s": percentile(calm.claimed, 0.99),
        "takeover_p99_beside_a_pause_s": percentile(books["pause"].claimed, 0.99),
        "takeover_p99_with_the_database_away_s": percentile(books["database"].claimed, 0.99),
    }
