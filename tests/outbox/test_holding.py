"""A process that was paused says nothing under a lease that may be another's; hand-overs leave no gap."""

import asyncio

from tests.outbox.stage import OK, attempts
from tests.support import ScriptedTransport, accept_text, new_sender, seed_number, settle, status_of

from waypost.domain.errors import Unavailable
from waypost.outbox.sweeper import Sweeper
from waypost.store.claims import claim
from waypost.store.database import Inline, Store

# Lease 30 s and calls of 20 s: five seconds are for getting a claimed call started.
START_SECONDS = 5.0


class Between(Inline):
    """Runs something right after a chosen operation was committed, before its caller goes on."""

    def __init__(self, engine, operation, then):
        super().__init__(engine)
        self.operation, self.then = operation, then

    async def write(self, write):
        commits = await super().write(write)
        if write.operation is self.operation and write.result[0].claimed:
            then, self.then = self.then, None
            if then is not None:
                await then()
        return commits


async def test_a_short_pause_after_the_claim_changes_nothing(house):
    store, clock, number = house

    async def pause():
        clock.advance(START_SECONDS)

    paused = Store(store.engine, Between(store.engine, claim, pause))
    transport = ScriptedTransport(OK)
    sender = new_sender(paused, transport, clock, alone=False)
    message_id = await accept_text(store, number, clock)
    await settle(sender)
    assert (len(transport.spoken), await status_of(store, number, message_id)) == (1, "sent")


async def test_after_a_longer_pause_the_attempt_is_prolonged_while_nobody_took_over(house):
    store, clock, number = house

    async def pause():
        clock.advance(60)

    paused = Store(store.engine, Between(store.engine, claim, pause))
    transport = ScriptedTransport(OK)
    sender = new_sender(paused, transport, clock, alone=False)
    message_id = await accept_text(store, number, clock)
    await settle(sender)
    assert (len(transport.spoken), await status_of(store, number, message_id)) == (1, "sent")
    assert len(await attempts(store, number, message_id)) == 1


async def test_a_paused_holder_does_not_speak_once_another_holds_the_lane_and_says_so(house):
    store, clock, number = house
    others = ScriptedTransport(OK)
    other = new_sender(store, others, clock, owner="b", alone=False)

    async def pause_and_take_over():
        clock.advance(31)
        await settle(other)
        assert other._epochs == {number.number_id: 2}

    paused = Store(store.engine, Between(store.engine, claim, pause_and_take_over))
    transport = ScriptedTransport(OK)
    sender = new_sender(paused, transport, clock, owner="a", alone=False)
    message_id = await accept_text(store, number, clock)
    await settle(sender)
    assert transport.spoken == []
    assert sender.in_flight == 0
    # The paused one knows that it never spoke: the message backs off, and the new holder's turn comes later.
    await Sweeper(store, clock, 5.0).step()
    await settle(other)
    assert await status_of(store, number, message_id) == "retrying"
    assert others.spoken == []


async def test_an_attempt_called_unknown_meanwhile_is_not_spoken_and_goes_again(house):
    store, clock, number = house

    async def pause_and_sweep():
        clock.advance(40)
        await Sweeper(store, clock, 5.0).step()

    paused = Store(store.engine, Between(store.engine, claim, pause_and_sweep))
    transport = ScriptedTransport(OK)
    sender = new_sender(paused, transport, clock, alone=False)
    message_id = await accept_text(store, number, clock)
    await settle(sender)
    assert (transport.spoken, await status_of(store, number, message_id)) == ([], "retrying")


async def test_nothing_is_claimed_under_a_lease_that_may_be_over(house):
    store, clock, number = house
    transport, others = ScriptedTransport(OK), ScriptedTransport(OK)
    sender = new_sender(store, transport, clock, owner="a", alone=False)
    other = new_sender(store, others, clock, owner="b", alone=False)
    await settle(sender)
    clock.advance(31)
    await settle(other)
    await accept_text(store, number, clock)
    await settle(sender)
    assert transport.spoken == []
    await settle(other)
    assert len(others.spoken) == 1


async def test_a_second_process_gets_its_share_and_no_message_waits(house):
    store, clock, number = house
    second = await seed_number(store, suffix="2")
    transports = ScriptedTransport(OK), ScriptedTransport(OK)
    a = new_sender(store, transports[0], clock, owner="a", alone=False)
    b = new_sender(store, transports[1], clock, owner="b", alone=False)
    await settle(a)
    assert len(a._epochs) == 2
    await settle(b)
    await settle(a)
    await settle(b)
    assert sorted([*a._epochs, *b._epochs]) == ["num_1", "num_2"]
    assert (len(a._epochs), len(b._epochs)) == (1, 1)
    # The clock stood still: nobody waited for a lease.
    for each in (number, second):
        await accept_text(store, each, clock)
    await settle(a)
    await settle(b)
    assert (len(transports[0].spoken), len(transports[1].spoken)) == (1, 1)


async def test_a_lane_that_is_handed_over_is_not_claimed_from_and_its_call_has_a_second_to_end(house):
    store, clock, number = house
    await seed_number(store, suffix="2")
    transport = ScriptedTransport(OK)
    transport.gate = asyncio.Event()
    a = new_sender(store, transport, clock, owner="a", alone=False)
    await settle(a)
    last = max(a._epochs)  # the last by name is the one that is given
    assert last == "num_2"
    seeded = number.__class__("ten_1", "num_2", "app_2", "wab_2", "pfo_2", "100000000002")
    message_id = await accept_text(store, seeded, clock)
    await settle(a)
    b = new_sender(store, ScriptedTransport(OK), clock, owner="b", alone=False)
    await settle(b)
    await settle(a)
    assert (set(a._epochs), b._epochs) == ({"num_1"}, {})
    clock.advance(0.999)
    await settle(a)
    await settle(b)
    assert b._epochs == {}
    clock.advance(0.001)
    await settle(a)
    await settle(b)
    assert set(b._epochs) == {"num_2"}
    # What is on the wire is still its own to tell.
    transport.gate.set()
    await settle(a)
    assert await status_of(store, seeded, message_id) == "sent"


async def test_a_drained_process_leaves_nothing_behind_and_is_followed_at_once(house):
    store, clock, number = house
    a = new_sender(store, ScriptedTransport(OK), clock, owner="a", alone=False)
    b = new_sender(store, ScriptedTransport(OK), clock, owner="b", alone=False)
    await settle(a)
    await settle(b)
    await a.drain()
    await a._holding.leave()
    await settle(b)
    assert set(b._epochs) == {number.number_id}
    names = await store.read(lambda reading: reading.rows("SELECT id FROM processes"))
    assert names == [("b",)]


async def test_each_beat_asks_every_lane_for_what_a_lost_word_hid(house):
    store, clock, number = house
    deaf = Store(store.engine)  # hears nothing of what the other store commits
    transport = ScriptedTransport(OK)
    sender = new_sender(deaf, transport, clock, alone=False)
    await settle(sender)
    await accept_text(store, number, clock)
    assert await sender.step() <= 5.0
    assert transport.spoken == []
    clock.advance(5.0)
    await settle(sender)
    assert len(transport.spoken) == 1


async def test_a_store_that_takes_nothing_does_not_keep_a_drain(house):
    store, clock, _number = house
    sender = new_sender(store, ScriptedTransport(OK), clock, alone=False)
    await settle(sender)

    async def refuse(operation, item, *, late=False):
        raise Unavailable("full", code="disk_full")

    store.write = refuse
    await sender.drain()
    await sender._holding.leave()
    assert sender._epochs == {}
