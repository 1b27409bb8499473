"""Releases change under load: process by process to the next one and back, side by side on both schemas."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from tests.postgres import server
from tests.processes.cluster import Cluster, open_cluster
from tests.processes.harness import Api, add_number, hurry_callbacks, until
from tests.processes.kill_story import Plan, new_emulator
from tests.processes.metronome import Metronome, longest_gaps, sent_twice
from tests.processes.verdict import TAKEN

import waypost
from waypost.store.schema import wanted

_LEASE_SECONDS = 10.0
# What a next release may do: more columns in busy tables, new tables; and later the old ones go.
_EXPAND = """
ALTER TABLE messages ADD COLUMN rehearsed TEXT;
ALTER TABLE numbers ADD COLUMN rehearsed INTEGER;
ALTER TABLE journal ADD COLUMN rehearsed BLOB;
CREATE TABLE rehearsed_new (id TEXT PRIMARY KEY, at INTEGER NOT NULL);
CREATE TABLE rehearsed_old (id TEXT PRIMARY KEY);
"""
_CONTRACT = "DROP TABLE rehearsed_old;\n"


def next_release(folder: Path) -> Path:
    """Make the release after this one: the same package with one more migration; gives its PYTHONPATH."""
    package = folder / "next" / "waypost"
    ours = Path(waypost.__file__).parent
    shutil.copytree(ours, package, ignore=shutil.ignore_patterns("__pycache__"))
    name = f"{wanted() + 1:04}_rehearsed"
    (package / "store" / "migrations" / f"{name}.sql").write_text(_EXPAND)
    (package / "store" / "migrations" / f"{name}.contract.sql").write_text(_CONTRACT)
    return package.parent


async def migrate(cluster: Cluster, package: Path, *more: str) -> str:
    """Run `waypost migrate` of a release; gives what it said."""
    gateway = cluster.gateways[0]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WAYPOST_")}
    environment |= {"WAYPOST_STORE_URL": cluster.url, "PYTHONPATH": str(package)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "waypost", "migrate", "--config", str(gateway.folder / "waypost.toml"), *more,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment, cwd=cluster.folder,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def roll(cluster: Cluster, package: Path | None) -> None:
    """Replace every process, one after the other, by one of another release."""
    for turn, gateway in enumerate(cluster.gateways):
        cluster.owners.pop(turn)
        assert await gateway.stop() == 0, gateway.log[-2000:]
        gateway.package = package
        await cluster.start_one(turn)
        await cluster.settled()


async def test_an_upgrade_with_a_migration_and_its_rollback_leave_no_gap_and_refuse_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator = new_emulator(Plan(0, 1, numbers=12))
    await emulator.start()
    with server() as postgres:
        try:
            over = {"outbox": {"lease_seconds": _LEASE_SECONDS, "provider_timeout_seconds": 3}}
            async with open_cluster(tmp_path, emulator, postgres, count=3, over=over) as cluster:
                figures = await _upgrade_and_back(cluster, next_release(tmp_path))
        finally:
            await emulator.stop()
    with capsys.disabled():
        print("\nupgrade and rollback:", json.dumps(figures))


async def _upgrade_and_back(cluster: Cluster, following: Path) -> dict[str, object]:
    caller, emulator = await cluster.caller(), cluster.emulator
    try:
        numbers = [
            (await add_number(caller, emulator, cluster.gateways[0], number_id))["id"]
            for number_id in list(emulator.world.numbers)
        ]
        await cluster.settled()
        load = Metronome(caller, numbers, 0.3)
        async with load.ticking():
            await asyncio.sleep(1.0)
            since = emulator.stage.clock.now()
            assert "rehearsed" in await migrate(cluster, following)
            await roll(cluster, following)
            # Not contracted yet: back to this release, on the schema of the next.
            await roll(cluster, None)
            until_ = emulator.stage.clock.now()
        gaps = longest_gaps(emulator, since, until_)
        assert not load.refused, load.refused[:5]
        # No hand-over waits for a lease to end. The longest gap itself is printed: on a calm machine it is under 2 s.
        assert max(gaps.values()) < _LEASE_SECONDS / 2, gaps
        await _all_sent(cluster, load, caller)
        await _the_way_back_is_closed_by_contracting(cluster, following)
        return {
            "sent": len(load.accepted),
            "cut_connections": sum(load.cut.values()),
            "longest_gap_s": round(max(gaps.values()), 3),
            "slowest_accept_s": round(load.slowest_seconds, 3),
        }
    finally:
        await caller.close()


async def _all_sent(cluster: Cluster, load: Metronome, caller: Api) -> None:
    left: set[str] = set()

    async def sent() -> bool:
        hurry_callbacks(cluster.emulator)
        rows = await cluster.rows("SELECT id, status FROM messages")
        left.clear()
        left.update(load.accepted - {str(each) for each, status in rows if status in TAKEN})
        return not left

    await until(sent, 30, "every accepted message is sent", 0.2)
    events = await caller.events()
    assert sent_twice(cluster.emulator, events) == []


async def _the_way_back_is_closed_by_contracting(cluster: Cluster, following: Path) -> None:
    gateway = cluster.gateways[0]
    await gateway.stop()
    assert "rehearsed" in await migrate(cluster, following, "--contract")
    await gateway.spawn()
    assert gateway.process is not None
    assert await asyncio.wait_for(gateway.process.wait(), 20) != 0
    assert "start the newer release" in gateway.log
    gateway.package = following
    await gateway.start()
