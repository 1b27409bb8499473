"""The database lives and does not do its part: sessions cut, locks held, conflicts, a full disk. It recovers."""

import asyncio
import contextlib
import errno
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.journeys.house import open_house
from tests.postgres import Postgres
from tests.postgres_failures.patient import Patient
from tests.processes.harness import until

_WRITERS_LOCK = "SELECT pg_advisory_xact_lock(1465481584, 1)"
_CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'waypost%'"


async def test_every_connection_cut_again_and_again_in_the_middle_of_transactions_loses_nothing(
    patient: Patient,
) -> None:
    await patient.works()
    for _ in range(25):
        await patient.sql(_CUT)
        await asyncio.sleep(0.05)
    await patient.works()
    # The same, but only while a change is under way.
    in_the_middle = 0
    for _ in range(60):
        cut = await patient.sql(f"{_CUT} AND application_name = 'waypost-write' AND backend_xid IS NOT NULL")
        in_the_middle += len(cut)
        await asyncio.sleep(0.01)
    await patient.works()
    await patient.lost_nothing()
    assert in_the_middle > 0, "no transaction was cut in its middle"


@contextlib.asynccontextmanager
async def _held(patient: Patient, statement: str) -> AsyncIterator[None]:
    """A foreign session holds a lock for as long as the block lasts."""
    foreign = await patient.session()
    try:
        await foreign.execute(statement.encode())
        yield
    finally:
        await foreign.close()


async def test_a_writers_lock_held_by_another_refuses_serves_reads_and_recovers(patient: Patient) -> None:
    await patient.works()
    known = next(iter(patient.load.accepted.values()))
    async with _held(patient, _WRITERS_LOCK):
        await patient.refused("database_locked")
        await patient.ready(503)
        assert (await patient.probe.message(known))["message"]["id"] == known
    await patient.works()
    await patient.lost_nothing()


async def test_a_table_held_by_another_stops_nobody_for_ever(patient: Patient) -> None:
    await patient.works()
    async with _held(patient, "LOCK TABLE messages IN ACCESS EXCLUSIVE MODE"):
        refused = await patient.refused("database_locked", "database_slow")
        assert refused.body["remedy"]
    await patient.works()
    await patient.lost_nothing()


async def test_a_deadlock_with_another_session_is_survived(patient: Patient) -> None:
    await patient.works()
    foreign = await patient.session()
    try:
        # The product, which came first, is to be the one that finds out and is cut.
        await foreign.execute("SET deadlock_timeout = '20s'")
        await foreign.commit()
        for _ in range(3):
            await foreign.execute("LOCK TABLE journal IN EXCLUSIVE MODE")
            await asyncio.sleep(0.05)
            await foreign.execute(_WRITERS_LOCK)
            await foreign.rollback()
    finally:
        await foreign.close()
    assert "deadlock detected" in patient.database.log
    await patient.works()
    await patient.lost_nothing()


# Two tries in three fail, at the first row they write: sequences count on although the transaction is undone.
_INJECTED = """
CREATE SEQUENCE injected;
CREATE SEQUENCE injected_into;
CREATE FUNCTION inject() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE this bigint := pg_current_xact_id()::text::bigint;
BEGIN
  IF this = (SELECT last_value FROM injected_into) THEN RETURN NEW; END IF;
  PERFORM setval('injected_into', this);
  IF nextval('injected') % 3 <> 0 THEN RAISE EXCEPTION 'injected' USING ERRCODE = '{code}'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER inject BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION inject();
"""
_REMOVED = "DROP TRIGGER inject ON {table}; DROP FUNCTION inject; DROP SEQUENCE injected, injected_into"


async def test_conflicts_the_server_reports_are_tried_again_unseen(patient: Patient) -> None:
    await patient.works()
    for code, table in (
        ("40001", "messages"),
        ("40P01", "messages"),
        ("40001", "commits"),
        ("40P01", "commits"),
    ):
        await patient.sql(_INJECTED.format(code=code, table=table))
        before = patient.load.answers["503"]

        async def met() -> bool:
            return bool((await patient.sql("SELECT last_value FROM injected"))[0][0] > 7)

        await until(met, 15, f"{code} was met at {table}", 0.2)
        assert patient.load.answers["503"] == before, (code, table, patient.load.answers)
        await patient.sql(_REMOVED.format(table=table))
        # A batch that met the end of this series is through before the next begins: both together are four tries.
        await patient.works()
    await patient.lost_nothing()


async def test_a_disk_without_room_and_a_statement_that_takes_too_long_are_told_and_survived(
    patient: Patient,
) -> None:
    await patient.works()
    for code, told in (("53100", "disk_full"), ("57014", "database_slow")):
        injected = _INJECTED.format(code=code, table="messages").replace("% 3 <> 0", ">= 0")
        await patient.sql(injected)
        await patient.refused(told)
        await patient.sql(_REMOVED.format(table="messages"))
        await patient.works()
    await patient.lost_nothing()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | None]:
    """A file system of its own with little room; None where this user may not mount one."""
    place = Path("/tmp") / f"waypost-small-{os.getpid()}"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160m,mode=0755", "tmpfs", str(place)]
    mounted = subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield place if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def fill(ballast: Path) -> None:
    """Write until there is no room; not allocated at once, for the server grows meanwhile."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(64 * 1024))
        except OSError as fault:
            if fault.errno != errno.ENOSPC:
                raise


async def test_a_full_disk_of_the_database_is_told_and_survived(
    tmp_path: Path, small_disk: Path | None
) -> None:
    """Where no small file system can be mounted, the test before this one stands in for it."""
    if small_disk is None:
        return
    settings = {"max_wal_size": "32MB", "wal_recycle": "off"}
    database = await asyncio.to_thread(lambda: Postgres(parent=small_disk, settings=settings).start())
    try:
        url = await asyncio.to_thread(database.new_database)
        async with open_house(tmp_path / "g", {"store": {"url": url}}) as house:
            patient = Patient(house, database, url)
            try:
                await patient.works()
                ballast = small_disk / "ballast"
                fill(ballast)
                # The server refuses to extend files, or ends altogether when its log has no room.
                await patient.refused("disk_full", "database_unreachable", "commit_in_doubt")
                ballast.unlink()
                if not database.is_running:
                    await asyncio.to_thread(database.restart)
                await patient.works(30)
                await patient.lost_nothing()
            finally:
                await patient.close()
    finally:
        await asyncio.to_thread(database.remove)
