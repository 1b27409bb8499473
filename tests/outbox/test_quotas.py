"""Quotas: shared by whoever writes, spent once per draft, refused with when to come again; a flood is not even read."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.support import FakeClock, SeededNumber, accept_text, new_store, seed_number

from waypost.domain.errors import NotFound
from waypost.store import journal, quotas
from waypost.store.database import Store
from waypost.store.quotas import QuotaExceeded, QuotaScope, SetQuota


async def _limit(
    store: Store, number: SeededNumber, scope: QuotaScope, per_second: int | None, burst: int = 1
) -> quotas.Quota:
    whose = number.tenant_id if scope == "tenant" else number.number_id
    item = SetQuota(scope, whose, number.tenant_id, per_second, burst, "operator", FakeClock().now())
    set_: quotas.Quota = await store.write(quotas.put, item)
    return set_


async def _taken(store: Store, number: SeededNumber, clock: FakeClock, tries: int) -> int:
    taken = 0
    for _ in range(tries):
        try:
            await accept_text(store, number, clock)
        except QuotaExceeded:
            continue
        taken += 1
    return taken


@pytest.mark.parametrize("scope", ["tenant", "number"])
async def test_a_quota_lets_its_burst_through_and_then_its_rate(tmp_path: Path, scope: QuotaScope) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    await _limit(store, number, scope, 10, burst=5)
    assert await _taken(store, number, clock, 50) == 5
    clock.advance(1.0)
    assert await _taken(store, number, clock, 50) == 5
    for _ in range(20):
        clock.advance(0.1)
        assert await _taken(store, number, clock, 3) == 1


async def test_a_refusal_says_whose_quota_and_when_to_come_again(tmp_path: Path) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    await _limit(store, number, "number", 1)
    await accept_text(store, number, clock)
    with pytest.raises(QuotaExceeded) as told:
        await accept_text(store, number, clock)
    assert (told.value.status, told.value.code, told.value.field) == (429, "quota_exceeded", "from")
    assert told.value.retry_after_seconds == 1
    clock.advance(1.0)
    await accept_text(store, number, clock)


async def test_a_number_that_is_full_spends_nothing_of_its_tenants_quota(tmp_path: Path) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    other = await seed_number(store, suffix="2")
    await _limit(store, number, "tenant", 10, burst=10)
    await _limit(store, number, "number", 1)
    assert await _taken(store, number, clock, 9) == 1
    assert await _taken(store, other, clock, 20) == 9


async def test_another_tenant_is_not_touched(tmp_path: Path) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    greedy = await seed_number(store)
    other = await seed_number(store, suffix="2", tenant_id="ten_2")
    await _limit(store, greedy, "tenant", 1)
    assert await _taken(store, greedy, clock, 30) == 1
    assert await _taken(store, other, clock, 30) == 30


async def test_two_processes_spend_from_one_quota(tmp_path: Path) -> None:
    first, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(first)
    await _limit(first, number, "tenant", 10, burst=10)
    second = Store(first.engine)
    taken = [await _taken(store, number, clock, 8) for store in (first, second)]
    assert taken == [8, 2]


async def test_a_lifted_quota_limits_nothing_and_its_history_is_in_the_journal(tmp_path: Path) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    await _limit(store, number, "tenant", 1)
    assert [each.accepts_per_second for each in await store.read(quotas.of_tenant, number.tenant_id)] == [1]
    await _limit(store, number, "tenant", None)
    assert await store.read(quotas.of_tenant, number.tenant_id) == []
    assert await _taken(store, number, clock, 20) == 20
    await _limit(store, number, "tenant", 2)
    lines = [event for event in await store.read(journal.after, 0, 1000) if event.kind == "quota.changed"]
    assert [line.version for line in lines] == [1, 2, 3]
    assert [line.facts["accepts_per_second"] for line in lines] == [1, None, 2]


async def test_a_quota_of_another_tenants_number_cannot_be_set(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    number = await seed_number(store)
    item = SetQuota("number", number.number_id, "ten_2", 1, 1, "operator", FakeClock().now())
    with pytest.raises(NotFound):
        await store.write(quotas.put, item)


async def test_quotas_long_unspent_are_forgotten_without_giving_more(tmp_path: Path) -> None:
    from waypost.store import pacing

    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    await _limit(store, number, "tenant", 10, burst=5)
    assert await _taken(store, number, clock, 9) == 5
    clock.advance(timedelta(hours=2).total_seconds())
    assert await store.write(pacing.forget, clock.now()) >= 1
    assert await _taken(store, number, clock, 9) == 5
