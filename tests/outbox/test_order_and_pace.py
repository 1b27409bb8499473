"""Who goes when: order within a conversation, classes, schedules, and the pace of pairs and numbers."""

import asyncio
from datetime import timedelta

from tests.outbox.stage import OK, STUMBLE, attempts
from tests.support import (
    FakeClock,
    ScriptedTransport,
    accept_text,
    new_sender,
    new_store,
    seed_number,
    settle,
    status_of,
)

from waypost.domain.outcomes import Unknown
from waypost.store import pacing
from waypost.store.engine import single
from waypost.store.lines import lift_blocks
from waypost.store.messages import ByHand, by_hand


async def test_messages_to_one_person_go_one_by_one_in_the_order_accepted(house):
    store, clock, number = house
    transport = ScriptedTransport(OK)

    transport.gate = asyncio.Event()
    sender = new_sender(store, transport, clock)
    ids = [await accept_text(store, number, clock) for _ in range(4)]
    other = await accept_text(store, number, clock, to="+4915550002222")

    await settle(sender)
    assert [recipient for _, recipient, _ in transport.spoken] == ["+4915550001111", "+4915550002222"]
    transport.gate.set()
    await settle(sender, steps=12)

    assert [await status_of(store, number, i) for i in (*ids, other)] == ["sent"] * 5
    started = [(await attempts(store, number, i))[0].id for i in ids]
    assert started == sorted(started)


async def test_a_backing_off_message_holds_back_its_class_only(house):
    store, clock, number = house
    transport = ScriptedTransport(STUMBLE, OK)
    sender = new_sender(store, transport, clock)
    first = await accept_text(store, number, clock, rank=2)
    second = await accept_text(store, number, clock, rank=2)
    await settle(sender, steps=2)
    reply = await accept_text(store, number, clock, rank=1)
    await settle(sender)

    assert [await status_of(store, number, i) for i in (first, second, reply)] == [
        "retrying",
        "accepted",
        "sent",
    ]
    clock.advance(10)
    await settle(sender)
    assert [await status_of(store, number, i) for i in (first, second)] == ["sent", "sent"]


async def test_an_unknown_reply_blocks_its_conversation_for_a_bounded_time(house):
    store, clock, number = house
    transport = ScriptedTransport(Unknown("cut"), OK)
    sender = new_sender(store, transport, clock)
    await accept_text(store, number, clock)
    second = await accept_text(store, number, clock)
    await settle(sender)
    assert await status_of(store, number, second) == "accepted"

    clock.advance(61)
    await store.write(lift_blocks, clock.now())
    await settle(sender)

    assert await status_of(store, number, second) == "sent"


async def test_what_settles_an_unknown_attempt_lets_its_conversation_go_on_at_once(house):
    store, clock, number = house
    sender = new_sender(store, ScriptedTransport(Unknown("cut"), OK), clock)
    first = await accept_text(store, number, clock, rank=3)
    second = await accept_text(store, number, clock, rank=3)
    await settle(sender)
    wish = ByHand(number.tenant_id, first, "settle_failed", "operator", "looked at the phone", clock.now())
    await store.write(by_hand, wish)
    await settle(sender)
    assert await status_of(store, number, second) == "sent"


async def test_an_otp_does_not_wait_for_what_became_of_an_offer(house):
    store, clock, number = house
    sender = new_sender(store, ScriptedTransport(Unknown("cut"), OK), clock)
    await accept_text(store, number, clock, rank=3)
    await settle(sender)
    code = await accept_text(store, number, clock, rank=0)
    reply = await accept_text(store, number, clock, rank=1)
    await settle(sender)
    assert [await status_of(store, number, i) for i in (code, reply)] == ["sent", "accepted"]


async def test_a_message_scheduled_for_later_waits_and_does_not_block_todays(house):
    store, clock, number = house
    transport = ScriptedTransport(OK)
    sender = new_sender(store, transport, clock)
    later = await accept_text(store, number, clock, not_before=clock.now() + timedelta(hours=1))
    today = await accept_text(store, number, clock)
    await settle(sender)
    assert [await status_of(store, number, i) for i in (later, today)] == ["accepted", "sent"]

    clock.advance(3_601)
    await settle(sender)

    assert await status_of(store, number, later) == "sent"


async def test_the_pair_limit_lets_45_go_at_once_and_then_one_every_six_seconds(house):
    store, clock, number = house
    transport = ScriptedTransport(OK)
    sender = new_sender(store, transport, clock)
    for _ in range(50):
        await accept_text(store, number, clock)
    for _ in range(60):
        await settle(sender, steps=1)
        clock.advance(0.02)
    assert len(transport.spoken) == 45

    before = clock.now()
    while len(transport.spoken) < 50:
        await settle(sender, steps=1)
        clock.advance(0.5)

    assert 20 <= (clock.now() - before).total_seconds() <= 32


async def test_a_number_keeps_its_pace(tmp_path):
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store, pace_per_second=20)
    transport = ScriptedTransport(OK)
    sender = new_sender(store, transport, clock)
    for n in range(100):
        await accept_text(store, number, clock, to=f"+49155500{n:05d}")
    start = clock.now()
    while len(transport.spoken) < 100:
        await settle(sender, steps=1)
        clock.advance(0.05)

    assert 4.5 <= (clock.now() - start).total_seconds() <= 6.0


async def test_what_customers_send_counts_against_the_numbers_pace(tmp_path):
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store, pace_per_second=20)
    await store.write(flood, (number.number_id, clock.now()))
    transport = ScriptedTransport(OK)
    sender = new_sender(store, transport, clock)
    await accept_text(store, number, clock)

    await settle(sender)
    assert transport.spoken == []
    clock.advance(1.1)
    await settle(sender)

    assert len(transport.spoken) == 1


@single
def flood(tx, item):
    pacing.count_inbound(tx, item[0], 1_000, item[1])
