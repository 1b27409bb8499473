"""Processes share lanes and roles fairly, follow a dead one in time, and hand over without a fight."""

from datetime import timedelta

import pytest
from tests.support import START, FakeClock, new_store, seed_number

from waypost.store import lanes, processes
from waypost.store.engine import single
from waypost.store.processes import Beat, Fence, Held, Leaving, stands

LEASE = 30.0
ROLES = ("fetcher", "health", "reader", "sweeper", "teller", "templates")


async def beat(store, owner, clock, *, capacity=1, roles=ROLES, draining=False, alone=False) -> Held:
    now = clock.now()
    item = Beat(owner, now, now + timedelta(seconds=LEASE), capacity, roles, draining, alone, "1")
    return await store.write(processes.beat, item)


async def hand_over(store, owner, held, clock):
    await store.write(lanes.hand_over, lanes.Giving(owner, held.lanes_to_give, clock.now()))
    await store.write(processes.leave, Leaving(owner, held.roles_to_give, False, clock.now()))


async def settle(store, clock, owners, rounds=4, **over):
    """Let all beat and hand over in turn until nothing moves; gives what each holds."""
    held = {}
    for _ in range(rounds):
        for owner in owners:
            held[owner] = await beat(store, owner, clock, **over.get(owner, {}))
            await hand_over(store, owner, held[owner], clock)
        clock.advance(0.1)
    return {owner: await beat(store, owner, clock, **over.get(owner, {})) for owner in owners}


@pytest.fixture
async def house(tmp_path):
    store, clock = new_store(tmp_path), FakeClock()
    for turn in range(10):
        await seed_number(store, suffix=f"{turn:02}")
    return store, clock


async def test_one_process_takes_everything_at_once(house):
    store, clock = house
    held = await beat(store, "a", clock)
    assert (len(held.lanes), set(held.roles)) == (10, set(ROLES))
    assert set(held.lanes.values()) == {1}
    assert (held.lanes_to_give, held.roles_to_give, held.others) == ((), (), frozenset())


@pytest.mark.parametrize(
    ("capacities", "shares"),
    [((1, 1), [5, 5]), ((1, 1, 1), [4, 3, 3]), ((3, 1), [8, 2]), ((1,) * 4, [3, 3, 3, 1])],
)
async def test_lanes_spread_by_capacity_and_then_stay(house, capacities, shares):
    store, clock = house
    over = {f"p{turn}": {"capacity": capacity} for turn, capacity in enumerate(capacities)}
    held = await settle(store, clock, over, **over)
    counts = sorted((len(each.lanes) for each in held.values()), reverse=True)
    assert sum(counts) == 10
    for count, share in zip(counts, shares, strict=True):
        assert abs(count - share) <= 1
    again = await settle(store, clock, over, **over)
    assert {owner: each.lanes for owner, each in again.items()} == {o: h.lanes for o, h in held.items()}


async def test_roles_spread_too(house):
    store, clock = house
    held = await settle(store, clock, ("a", "b", "c"))
    assert sorted(len(each.roles) for each in held.values()) == [2, 2, 2]


async def test_a_dead_process_is_followed_when_its_lease_and_the_margin_are_over(house):
    store, clock = house
    held = await settle(store, clock, ("a", "b"))
    theirs = set(held["b"].lanes)
    renewed_at = clock.now()
    clock.at = renewed_at + timedelta(seconds=LEASE - 1)
    before = await beat(store, "a", clock)
    assert not theirs & before.lanes.keys()
    due_at = renewed_at + timedelta(seconds=LEASE + processes.MARGIN_SECONDS)
    assert before.look_at == int(due_at.timestamp() * 1000)
    clock.at = due_at - timedelta(milliseconds=1)
    assert not theirs & (await beat(store, "a", clock)).lanes.keys()
    clock.at = due_at
    after = await beat(store, "a", clock)
    assert theirs <= after.lanes.keys()
    assert {after.lanes[name] for name in theirs} == {held["b"].lanes[name] + 1 for name in theirs}
    assert set(after.roles) == set(ROLES)


async def test_nobody_takes_a_live_lease_and_a_late_beat_keeps_what_nobody_took(house):
    store, clock = house
    first = await beat(store, "a", clock)
    clock.advance(LEASE * 10)
    assert (await beat(store, "a", clock)).lanes == first.lanes


async def test_a_draining_process_takes_nothing_and_gives_all(house):
    store, clock = house
    await settle(store, clock, ("a", "b"))
    leaving = await beat(store, "a", clock, draining=True)
    assert set(leaving.lanes_to_give) == set(leaving.lanes)
    assert set(leaving.roles_to_give) == set(leaving.roles)
    await hand_over(store, "a", leaving, clock)
    # No time has passed: nobody waits for a lease.
    staying = await beat(store, "b", clock)
    assert (len(staying.lanes), set(staying.roles)) == (10, set(ROLES))
    assert (await beat(store, "a", clock, draining=True)).lanes == {}


async def test_what_waits_for_a_process_that_died_while_joining_is_taken_by_anybody_after_a_second(house):
    store, clock = house
    await beat(store, "a", clock)
    await beat(store, "b", clock)  # and dies
    held = await beat(store, "a", clock)
    assert len(held.lanes_to_give) == 5
    await hand_over(store, "a", held, clock)
    clock.advance(0.999)
    waiting = await beat(store, "a", clock)
    assert len(waiting.lanes) == 5
    assert waiting.look_at == int((clock.now() + timedelta(milliseconds=1)).timestamp() * 1000)
    clock.advance(0.001)
    assert len((await beat(store, "a", clock)).lanes) == 10


async def test_alone_an_unexpired_lease_is_a_dead_processs(house):
    store, clock = house
    await beat(store, "a", clock)
    held = await beat(store, "b", clock, alone=True)
    assert set(held.lanes.values()) == {2}
    assert set(held.roles.values()) == {2}


async def test_the_lane_of_a_removed_number_is_nobodys(house):
    store, clock = house

    @single
    def remove(tx, number_id):
        tx.execute("UPDATE numbers SET state = 'removed' WHERE id = ?", (number_id,))

    await beat(store, "a", clock)
    await store.write(remove, "num_03")
    assert "num_03" not in (await beat(store, "a", clock)).lanes


async def test_arrivals_and_hand_overs_are_announced_and_renewals_are_not(house):
    store, clock = house
    heard = []
    store.follow(lambda commit: heard.append("lanes" in commit.waiting))
    await beat(store, "a", clock)
    await beat(store, "a", clock)
    held = await beat(store, "a", clock, draining=True)
    await store.write(lanes.hand_over, lanes.Giving("a", held.lanes_to_give, clock.now()))
    assert heard == [True, False, True, True]


async def test_a_fence_stands_until_the_role_changes_hands(house):
    store, clock = house

    @single
    def asked(tx, fence):
        return stands(tx, fence)

    held = await beat(store, "a", clock)
    fence = Fence("teller", "a", held.roles["teller"])
    clock.advance(LEASE * 2)
    assert await store.write(asked, fence)
    taken = await beat(store, "b", clock)
    assert not await store.write(asked, fence)
    assert await store.write(asked, Fence("teller", "b", taken.roles["teller"]))
    assert not await store.write(asked, Fence("teller", "b", taken.roles["teller"] + 1))


async def test_an_attempt_is_prolonged_only_under_its_epoch_and_within_the_lease(house):
    store, clock = house

    @single
    def attempt(tx, epoch):
        tx.execute(
            "INSERT INTO attempts (id, tenant_id, message_id, number_id, ordinal, epoch, state, started_at,"
            " lease_until) VALUES ('att_1', 'ten_1', 'msg_1', 'num_00', 1, ?, 'sending', 0, 0)",
            (epoch,),
        )

    held = await beat(store, "a", clock)
    epoch = held.lanes["num_00"]
    await store.write(attempt, epoch)
    until = START + timedelta(seconds=LEASE)

    async def prolonged(owner="a", epoch=epoch, until=until):
        return await store.write(lanes.prolong, lanes.Prolonging("att_1", "num_00", owner, epoch, until))

    assert await prolonged()
    assert not await prolonged(until=until + timedelta(milliseconds=1))
    assert not await prolonged(epoch=epoch + 1)
    clock.advance(LEASE + 1)
    await beat(store, "b", clock)
    assert not await prolonged()
    assert not await prolonged("b", epoch + 1, clock.now())
