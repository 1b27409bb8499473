"""A disk that fills up, a file that cannot grow, a database another program holds: refused, read from, recovered."""

import asyncio
import os
import resource
import sqlite3
import uuid
from pathlib import Path

from tests.journeys.house import House, open_house
from tests.processes.harness import Reply, callbacks_settled, hurry_callbacks, until

MIB = 1024 * 1024


async def _refused(house: House, code: str, seconds_max: float = 15) -> Reply:
    """Ask until it is refused with this code; gives the answer."""
    last: Reply | None = None

    async def refused() -> bool:
        nonlocal last
        last = await house.api.call("POST", "/v1/messages", house.draft(house.person()))
        return last.status == 503 and last.body["code"] == code

    await until(refused, seconds_max, f"503 {code}", 0.2)
    assert last is not None
    return last


async def _accepted_again(house: House) -> str:
    key, body, taken = str(uuid.uuid4()), house.draft(house.person()), ""

    async def taken_again() -> bool:
        nonlocal taken
        reply = await house.api.call("POST", "/v1/messages", body, key=key)
        taken = str(reply.body.get("id", ""))
        return reply.status == 202

    await until(taken_again, 15, "new work is accepted again", 0.2)
    return taken


async def test_a_disk_nearly_full_refuses_new_work_serves_reads_and_recovers(tmp_path: Path) -> None:
    space = os.statvfs(tmp_path)
    free = space.f_bavail * space.f_frsize
    ballast = tmp_path / "ballast"
    async with open_house(tmp_path / "g", {"store": {"disk_free_bytes_min": free - 1024 * MIB}}) as house:
        before = await house.send(house.person())
        await house.status(before, "read")
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 2048 * MIB)
        try:
            refused = await _refused(house, "disk_full")
            assert "Retry-After" in refused.headers
            assert (await house.api.message(before))["message"]["status"] == "read"
            assert (await house.api.call("GET", "/readyz")).status == 503
            said = house.say(house.person(), type="text", text="said while the disk is full")
            await asyncio.sleep(1.2)
            assert not house.sink.of("inbound.received")
        finally:
            ballast.unlink()
        await house.status(await _accepted_again(house), "read")
        assert (await house.api.call("GET", "/readyz")).status == 200
        hurry_callbacks(house.emulator)
        await house.told("inbound.received", provider_message_id=said.wamid)


async def test_a_file_that_cannot_grow_loses_no_outcome_and_no_receipt(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        process = house.gateway.process
        assert process is not None
        person = house.person()
        with house.trouble(kind="latency", seconds=1.5, recipient=person):
            under_way = await house.send(person)
            await house.status(under_way, "sending")
            # Every file of the process may grow no further: what a full disk does, without one.
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            try:
                refused = await house.api.call("POST", "/v1/messages", house.draft(house.person()))
                assert refused.status == 503, refused.body
                assert refused.body["code"] in ("disk_full", "database_unwritable")
                assert (await house.api.message(under_way))["message"]["status"] == "sending"
                await asyncio.sleep(2.0)
            finally:
                resource.prlimit(
                    process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                )
        await house.status(await _accepted_again(house), "read")

        async def settled() -> bool:
            hurry_callbacks(house.emulator)
            return callbacks_settled(house.emulator)

        await until(settled, 15, "the provider has repeated its callbacks", 0.2)
        detail = await house.status(under_way, "read")
        assert len(house.ledger_of(detail)) == 1
        assert "message.unknown" not in [line["type"] for line in detail["timeline"]]


async def test_a_database_held_by_another_program_refuses_serves_reads_and_recovers(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        before = await house.send(house.person())
        await house.status(before, "read")
        foreign = sqlite3.connect(
            tmp_path / "data" / "waypost.sqlite", isolation_level=None, check_same_thread=False
        )
        try:
            foreign.execute("BEGIN IMMEDIATE")
            refused = await _refused(house, "database_locked")
            assert "Retry-After" in refused.headers
            assert (await house.api.message(before))["message"]["status"] == "read"
            foreign.execute("ROLLBACK")
        finally:
            foreign.close()
        await house.status(await _accepted_again(house), "read")


async def test_sigterm_ends_the_process_even_when_nothing_can_be_written(tmp_path: Path) -> None:
    async with open_house(tmp_path, {"http": {"drain_seconds": 2}}) as house:
        process = house.gateway.process
        assert process is not None
        person = house.person()
        with house.trouble(kind="latency", seconds=0.5, recipient=person):
            under_way = await house.send(person)
            await house.status(under_way, "sending")
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            await house.gateway.stop()
        await house.gateway.start()
        hurry_callbacks(house.emulator)
        detail = await house.status(under_way, "read")
        assert len(house.ledger_of(detail)) == 1
