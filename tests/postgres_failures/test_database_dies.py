"""The database is killed, or replaced by its standby, under load: refused meanwhile, recovered, nothing lost."""

import asyncio

from tests.postgres_failures.patient import Patient
from tests.processes.harness import until


async def test_a_killed_database_is_told_by_readyz_and_loses_nothing(patient: Patient) -> None:
    await patient.works()
    for _ in range(2):
        await asyncio.sleep(0.5)
        await asyncio.to_thread(patient.database.kill)
        await patient.ready(503)
        refused = await patient.refused("database_unreachable", "commit_in_doubt", "store_busy")
        assert refused.body["remedy"]
        assert (await patient.probe.call("GET", "/healthz")).status == 200
        assert (await patient.probe.call("GET", "/v1/messages")).status == 503
        await asyncio.to_thread(patient.database.start)
        await patient.works()
    await patient.lost_nothing()


async def test_a_process_started_while_the_database_is_away_waits_for_it(patient: Patient) -> None:
    await patient.works()
    gateway = patient.house.gateway
    await asyncio.to_thread(patient.database.kill)
    await gateway.kill()
    starting = asyncio.create_task(gateway.start())

    async def waits() -> bool:
        return "waiting_for_database" in gateway.log

    await until(waits, 15, "the gateway says that it waits", 0.1)
    await asyncio.to_thread(patient.database.start)
    await starting
    await patient.works()
    await patient.lost_nothing()


async def test_a_standby_that_takes_over_the_address_is_found_and_nothing_is_lost(patient: Patient) -> None:
    standby = await asyncio.to_thread(patient.database.new_standby)
    try:
        await patient.works()
        await asyncio.sleep(0.5)
        await asyncio.to_thread(patient.database.kill)
        await patient.ready(503)
        await asyncio.to_thread(standby.take_over, patient.database)
        patient.database = standby
        await patient.works()
        await patient.lost_nothing()
    finally:
        await asyncio.to_thread(standby.remove)


async def test_a_standby_not_yet_promoted_is_not_written_to_and_is_left_by_itself(patient: Patient) -> None:
    await patient.works()
    # A server that takes no changes, at the right address: what stands there between failover and promotion.
    await patient.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    await patient.sql("SELECT pg_reload_conf()")
    await patient.refused("database_read_only")
    await patient.ready(503)
    await patient.sql("ALTER SYSTEM RESET default_transaction_read_only")
    await patient.sql("SELECT pg_reload_conf()")
    await patient.works()
    await patient.lost_nothing()


async def test_nothing_is_read_from_a_replica_that_lags(patient: Patient) -> None:
    replica = await asyncio.to_thread(lambda: patient.database.new_standby(synchronous=False))
    try:
        await asyncio.to_thread(replica.run, "SELECT pg_wal_replay_pause()")
        await patient.works()
        api = patient.probe
        for _ in range(20):
            taken = await patient.house.send(patient.house.person())
            # On a replica it would not be there yet.
            assert (await api.call("GET", f"/v1/messages/{taken}")).status == 200
            patient.load.accepted[taken] = taken
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'waypost%'"
        assert await asyncio.to_thread(replica.run, sessions) == [(0,)]
        assert (await patient.sql(sessions))[0][0] > 0
        await patient.lost_nothing()
    finally:
        await asyncio.to_thread(replica.remove)


async def test_while_a_synchronous_standby_is_away_nothing_is_promised(patient: Patient) -> None:
    standby = await asyncio.to_thread(patient.database.new_standby)
    try:
        await patient.works()
        await asyncio.to_thread(standby.stop)
        await patient.ready(503)
        before = len(patient.load.accepted)
        await asyncio.sleep(1.0)
        assert len(patient.load.accepted) == before, "a 202 for what one disk alone has"
        assert (await patient.probe.call("GET", "/v1/messages")).status == 200
        await asyncio.to_thread(standby.start)
        await patient.works()
        await patient.lost_nothing()
    finally:
        await asyncio.to_thread(standby.remove)
