"""The kill story over PostgreSQL: several processes, many numbers, kill -9 of any of them, and of the database."""

import asyncio
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.postgres import Postgres, server
from tests.processes.cluster import (
    LEASE_SECONDS,
    Cluster,
    Death,
    died,
    fell_asleep,
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


@dataclass(frozen=True)
class Storm:
    """How long processes are killed, how often, and at which shares of that time the database is."""

    seconds: float
    between_kills_seconds: tuple[float, float]
    database_kills: tuple[float, ...] = (0.3, 0.7)


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
                deaths: list[Death] = []

                async def trouble(_: Run) -> None:
                    deaths.extend(await _storm(cluster, run, storm))

                figures = await play(run, trouble)
                figures |= await _takeover_figures(cluster, deaths, storm)
                for gateway in cluster.gateways:
                    assert await gateway.stop() == 0
                return figures
        finally:
            if caller is not None:
                await caller.close()
            await sinks.close()
            await emulator.stop()


async def _storm(cluster: Cluster, run: Run, storm: Storm) -> list[Death]:
    """Kill processes at random instants, and the database at its times; at the end all live."""
    clock = asyncio.get_running_loop().time
    began = clock()
    deaths: list[Death] = []
    database = asyncio.create_task(_database_dies(cluster.postgres, began, storm))
    returns: dict[int, asyncio.Task[None]] = {}
    try:
        while clock() < began + storm.seconds:
            await asyncio.sleep(run.chance.uniform(*storm.between_kills_seconds))
            for turn in [turn for turn, task in returns.items() if task.done()]:
                await returns.pop(turn)
            # One at least stays: with nobody alive nothing is proved about taking over.
            alive = sorted(cluster.owners.keys() - returns.keys())
            if len(alive) < 2 or not cluster.postgres.is_running:
                continue
            turn, away = run.chance.choice(alive), run.chance.uniform(*_AWAY_SECONDS)
            if len(deaths) % _PAUSED_EVERY == 2:
                deaths.append(await fell_asleep(cluster, turn))
                returns[turn] = asyncio.create_task(_wakes(cluster, turn, 2 * LEASE_SECONDS))
            else:
                deaths.append(await died(cluster, turn))
                returns[turn] = asyncio.create_task(_comes_back(cluster, turn, away))
            hurry_callbacks(run.emulator)
    finally:
        outages = await database
        await asyncio.gather(*returns.values())
    await cluster.settled(30)
    reach = (LEASE_SECONDS + 2) * 1000
    return [
        Death(each.at_ms, each.lanes, any(a - reach <= each.at_ms <= b + reach for a, b in outages))
        for each in deaths
    ]


async def _wakes(cluster: Cluster, turn: int, asleep_seconds: float) -> None:
    try:
        await asyncio.sleep(asleep_seconds)
    finally:
        cluster.gateways[turn].signal(signal.SIGCONT)


async def _comes_back(cluster: Cluster, turn: int, away_seconds: float) -> None:
    await asyncio.sleep(away_seconds)
    await cluster.start_one(turn)


async def _database_dies(postgres: Postgres, began: float, storm: Storm) -> list[tuple[float, float]]:
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


async def _takeover_figures(cluster: Cluster, deaths: list[Death], storm: Storm) -> dict[str, Any]:
    calm = await takeovers(cluster, [each for each in deaths if not each.disturbed])
    rest = await takeovers(cluster, [each for each in deaths if each.disturbed])
    assert not calm.never, f"lanes nobody took over: {calm.never}"
    assert not rest.never, f"lanes nobody took over: {rest.never}"
    assert calm.claimed, "a run without a takeover proves too little"
    figures = {
        "lease_s": LEASE_SECONDS,
        "deaths": len(deaths),
        "deaths_with_the_database_away": sum(each.disturbed for each in deaths),
        "orphaned_lanes": len(calm.taken) + len(rest.taken),
        "taken_p50_s": percentile(calm.taken, 0.5),
        "taken_p99_s": percentile(calm.taken, 0.99),
        "takeover_p50_s": percentile(calm.claimed, 0.5),
        "takeover_p99_s": percentile(calm.claimed, 0.99),
        "takeover_p99_with_the_database_away_s": percentile(rest.claimed, 0.99),
        "database_kills": len(storm.database_kills),
    }
    assert figures["takeover_p99_s"] < LEASE_SECONDS + 2, figures
    return figures


def now_ms() -> float:
    """The machine's time, which the database here shares."""
    return time.time() * 1000
