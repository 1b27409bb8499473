"""Who floods waits for himself: turns at the writer and at the reading threads, as bookkeeping and through threads."""

import asyncio
import threading
from collections import Counter

import pytest
from tests.support import FakeClock, accept_text, new_store, seed_number

from waypost.app.execution import ThreadedExecution
from waypost.app.turns import OWN, ReadTurns, WriteTurns
from waypost.domain.errors import Busy
from waypost.store import journal
from waypost.store.database import Store
from waypost.store.engine import single
from waypost.web.memory import ASKING


def lined_up(rows_max, *lines):
    turns = WriteTurns(rows_max)
    for tenant_id, count, rows in lines:
        for turn in range(count):
            turns.add(tenant_id, rows, (tenant_id, turn))
    return turns


def whose(batch):
    return Counter(tenant_id for tenant_id, _ in batch)


def test_a_flood_before_it_delays_a_tenants_write_by_no_batch():
    turns = lined_up(100, ("greedy", 10_000, 1), ("modest", 1, 1))
    assert whose(turns.next_batch()) == {"greedy": 99, "modest": 1}


@pytest.mark.parametrize(
    ("greedy_rows", "modest_rows", "greedy", "modest"),
    [(1, 1, 50, 50), (10, 1, 5, 50), (10, 10, 5, 5)],
    ids=["single messages", "batches against single messages", "batches against batches"],
)
def test_two_that_wait_share_a_batch_by_rows(greedy_rows, modest_rows, greedy, modest):
    turns = lined_up(100, ("greedy", 1000, greedy_rows), ("modest", 1000, modest_rows))
    found = whose(turns.next_batch())
    assert abs(found["greedy"] - greedy) <= 1
    assert abs(found["modest"] - modest) <= greedy_rows


def test_shares_stay_even_over_many_batches_of_three():
    turns = lined_up(64, ("a", 5000, 1), ("b", 5000, 4), ("c", 5000, 16))
    rows = {"a": 1, "b": 4, "c": 16}
    served = Counter()
    for _ in range(50):
        for tenant_id, _ in turns.next_batch():
            served[tenant_id] += rows[tenant_id]
    assert max(served.values()) - min(served.values()) <= 16


def test_who_comes_back_is_not_paid_for_having_been_away():
    turns = lined_up(10, ("greedy", 1000, 1))
    for _ in range(20):
        turns.next_batch()
    for turn in range(100):
        turns.add("late", 1, ("late", turn))
    assert whose(turns.next_batch()) == {"greedy": 5, "late": 5}


def test_a_tenants_own_order_is_kept():
    turns = lined_up(7, ("a", 20, 1), ("b", 20, 3))
    found = []
    while turns:
        found += turns.next_batch()
    assert [turn for tenant_id, turn in found if tenant_id == "a"] == list(range(20))
    assert [turn for tenant_id, turn in found if tenant_id == "b"] == list(range(20))


def test_own_work_goes_first_and_leaves_a_quarter_to_who_waits():
    turns = lined_up(100, ("greedy", 1000, 1), (OWN, 10, 1))
    assert whose(turns.next_batch()) == {OWN: 10, "greedy": 90}
    turns = lined_up(100, (OWN, 1000, 1), ("modest", 1000, 1))
    assert whose(turns.next_batch()) == {OWN: 75, "modest": 25}
    assert whose(lined_up(100, (OWN, 1000, 1)).next_batch()) == {OWN: 100}


def test_more_rows_than_a_batch_has_go_alone():
    turns = lined_up(100, ("modest", 1, 1), ("greedy", 2, 1000))
    assert [whose(turns.next_batch()) for _ in range(3)] == [{"modest": 1}, {"greedy": 1}, {"greedy": 1}]
    assert not turns
    assert turns.next_batch() == []


async def begun(turns, tenant_id):
    waiting = asyncio.create_task(turns.begin(tenant_id))
    for _ in range(3):
        await asyncio.sleep(0)
    return waiting


async def test_one_tenant_has_half_of_the_reading_threads_at_most():
    turns = ReadTurns(4)
    first, second, third, other = [await begun(turns, each) for each in ("a", "a", "a", "b")]
    assert [each.done() for each in (first, second, third, other)] == [True, True, False, True]
    turns.end("a")
    await asyncio.wait_for(third, 1)


async def test_those_who_wait_for_a_reading_thread_take_turns():
    turns = ReadTurns(2)
    for each in ("a", "b"):
        await turns.begin(each)
    order = []

    async def ask(tenant_id):
        await turns.begin(tenant_id)
        order.append(tenant_id)
        await asyncio.sleep(0)
        turns.end(tenant_id)

    asked = [asyncio.create_task(ask(each)) for each in ("a", "a", "a", "b", "c")]
    await asyncio.sleep(0)
    turns.end("a")
    turns.end("b")
    await asyncio.wait_for(asyncio.gather(*asked), 1)
    assert Counter(order) == {"a": 3, "b": 1, "c": 1}
    assert set(order[:3]) == {"a", "b", "c"}


async def test_a_caller_that_went_away_while_waiting_takes_no_turn():
    turns = ReadTurns(2)
    await turns.begin("a")
    gone, stays = [await begun(turns, "a") for _ in range(2)]
    gone.cancel()
    turns.end("a")
    await asyncio.wait_for(stays, 1)
    turns.end("a")
    for _ in range(3):
        await asyncio.wait_for(turns.begin("a"), 1)
        turns.end("a")


async def test_a_caller_that_went_away_in_the_moment_of_its_turn_gives_it_back():
    turns = ReadTurns(2)
    await turns.begin("a")
    gone = await begun(turns, "a")
    turns.end("a")
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await asyncio.wait_for(turns.begin("a"), 1)


async def test_reads_beyond_the_bound_are_told_to_come_again_and_others_are_not():
    turns = ReadTurns(2)
    await turns.begin("a")
    waiting = [asyncio.create_task(turns.begin("a")) for _ in range(200)]
    await asyncio.sleep(0)
    with pytest.raises(Busy) as told:
        await turns.begin("a")
    assert (told.value.status, told.value.code) == (429, "reads_waiting")
    await asyncio.wait_for(turns.begin("b"), 1)
    for each in waiting:
        each.cancel()


@pytest.fixture
async def threaded(tmp_path):
    plain = new_store(tmp_path)
    execution = ThreadedExecution(plain.engine, batch_max=20, queue_max=40, readers=2)
    yield Store(plain.engine, execution)
    await execution.close()


def asked_by(tenant_id, work):
    async def ask():
        ASKING.set(tenant_id)
        return await work()

    return asyncio.create_task(ask())


async def test_a_slow_query_of_one_tenant_keeps_neither_others_nor_the_gateway_from_reading(threaded):
    released = threading.Event()

    def slow(reading):
        released.wait(10)
        return "slow"

    greedy = [asked_by("greedy", lambda: threaded.read(slow)) for _ in range(10)]
    await asyncio.sleep(0)
    try:
        for tenant_id in ("modest", OWN):
            read = asked_by(tenant_id, lambda: threaded.read(journal.position_now))
            assert await asyncio.wait_for(read, 5) == 0
        assert not any(each.done() for each in greedy)
    finally:
        released.set()
    assert await asyncio.gather(*greedy) == ["slow"] * 10


async def test_a_query_whose_caller_went_away_keeps_its_thread_until_it_ends(threaded):
    released, running = threading.Event(), threading.Event()

    def slow(reading):
        running.set()
        released.wait(10)

    gone = asked_by("greedy", lambda: threaded.read(slow))
    await asyncio.to_thread(running.wait, 5)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    second = asked_by("greedy", lambda: threaded.read(journal.position_now))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not second.done()
    released.set()
    assert await asyncio.wait_for(second, 5) == 0


@single
def touch(tx, item):
    return item


def held(entered, released):
    @single
    def hold(tx, item):
        entered.set()
        released.wait(10)

    return hold


async def test_a_tenant_may_fill_half_of_the_writers_queue_and_is_then_told_to_come_again(threaded):
    entered, released = threading.Event(), threading.Event()
    holding = asyncio.create_task(threaded.write(held(entered, released), None))
    await asyncio.to_thread(entered.wait, 5)
    try:
        greedy = [asked_by("greedy", lambda: threaded.write(touch, 1)) for _ in range(25)]
        await asyncio.sleep(0)
        modest = asked_by("modest", lambda: threaded.write(touch, 2))
        own = asked_by(OWN, lambda: threaded.write(touch, 3))
        await asyncio.sleep(0)
    finally:
        released.set()
    told = await asyncio.gather(*greedy, return_exceptions=True)
    refused = [each for each in told if isinstance(each, Busy)]
    assert (len(refused), {each.code for each in refused}) == (5, {"writes_waiting"})
    assert [each for each in told if each == 1] == [1] * 20
    assert (await modest, await own) == (2, 3)
    await holding
    # What was taken was given back: as many fit again.
    again = [asked_by("greedy", lambda: threaded.write(touch, 1)) for _ in range(20)]
    assert await asyncio.gather(*again) == [1] * 20


async def test_a_message_asked_for_behind_a_flood_is_in_the_next_commit(threaded):
    number = await seed_number(threaded)
    clock = FakeClock()
    entered, released = threading.Event(), threading.Event()
    holding = asyncio.create_task(threaded.write(held(entered, released), None))
    await asyncio.to_thread(entered.wait, 5)
    order = []

    async def done(name, work):
        await work
        order.append(name)

    try:
        flood = [
            asked_by("greedy", lambda: done("greedy", accept_text(threaded, number, clock)))
            for _ in range(20)
        ]
        await asyncio.sleep(0)
        # On SQLite and PostgreSQL alike a batch takes 20 rows at most here.
        more = [asked_by("other", lambda: done("other", threaded.write(touch, 1))) for _ in range(15)]
        await asyncio.sleep(0)
        modest = asked_by("modest", lambda: done("modest", accept_text(threaded, number, clock)))
        await asyncio.sleep(0)
    finally:
        released.set()
    await asyncio.gather(holding, *flood, *more, modest)
    assert order.index("modest") < 20
    assert order[-1] != "modest"
