"""From accepted to an outcome: one attempt when all goes well, and what follows when it does not."""

import asyncio
from datetime import timedelta

import pytest
from tests import engines
from tests.outbox.stage import OK, PAIR, REFUSED, STOPPED, STUMBLE, THROTTLED, attempts, receipt
from tests.support import (
    FakeClock,
    ScriptedTransport,
    accept_text,
    kinds_of,
    new_sender,
    settle,
    status_of,
    text_acceptance,
)

from waypost.domain.errors import Unavailable
from waypost.domain.outcomes import Sent, Unknown
from waypost.domain.times import from_ms
from waypost.outbox.sweeper import Sweeper
from waypost.policies.decide import decide
from waypost.store import messages
from waypost.store.accept import accept
from waypost.store.claims import ClaimRequest, claim
from waypost.store.engine import Write
from waypost.store.receipts import apply_receipts


async def test_an_accepted_message_is_spoken_once_and_its_timeline_tells_it(house):
    store, clock, number = house
    transport = ScriptedTransport(OK)
    message_id = await accept_text(store, number, clock)

    await settle(new_sender(store, transport, clock))

    assert [content for _, _, content in transport.spoken] == [b'{"type":"text","text":{"body":"hello"}}']
    assert await status_of(store, number, message_id) == "sent"
    assert await kinds_of(store, number, message_id) == [
        "message.accepted",
        "message.attempted",
        "message.sent",
    ]


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        (STUMBLE, "retrying", "131000"),
        (REFUSED, "failed", "131026"),
        (PAIR, "retrying", "131056"),
        (THROTTLED, "retrying", "130429"),
        (STOPPED, "retrying", "190"),
        (Unknown("timed out"), "unknown", "timed out"),
    ],
)
async def test_each_outcome_leads_to_its_status_with_its_reason(house, outcome, status, reason):
    store, clock, number = house
    message_id = await accept_text(store, number, clock)

    await settle(new_sender(store, ScriptedTransport(outcome), clock), steps=2)

    message = await store.read(messages.get, number.tenant_id, message_id)
    assert (message.status, message.reason) == (status, reason)


async def test_an_attempt_whose_secret_cannot_be_read_was_not_spoken_and_goes_again(house):
    store, clock, number = house
    transport = ScriptedTransport(OK)
    sender = new_sender(store, transport, clock)
    readable = sender._access_of

    async def away(number_id):
        sender._access_of = readable
        raise Unavailable("the database is away", code="database_unreachable")

    sender._access_of = away
    message_id = await accept_text(store, number, clock)
    for _ in range(6):
        await settle(sender)
        clock.advance(10)

    assert await status_of(store, number, message_id) == "sent"
    assert len(transport.spoken) == 1
    assert "message.unknown" not in await kinds_of(store, number, message_id)


async def test_a_stumble_is_tried_again_with_a_new_attempt_id_until_it_succeeds(house):
    store, clock, number = house
    transport = ScriptedTransport(STUMBLE, STUMBLE, OK)
    sender = new_sender(store, transport, clock)
    message_id = await accept_text(store, number, clock)

    for _ in range(6):
        await settle(sender, steps=2)
        clock.advance(10)

    assert await status_of(store, number, message_id) == "sent"
    assert len({echo for echo, _, _ in transport.spoken}) == 3
    assert [a.state for a in await attempts(store, number, message_id)] == ["failed", "failed", "sent"]


async def test_an_unknown_outcome_is_never_resent_blindly_and_a_receipt_settles_it(house):
    store, clock, number = house
    transport = ScriptedTransport(Unknown("timed out"))
    sender, sweeper = new_sender(store, transport, clock), Sweeper(store, clock, 5.0)
    message_id = await accept_text(store, number, clock)
    await settle(sender)

    clock.advance(120)
    await sweeper.step()
    await settle(sender)
    assert len(transport.spoken) == 1
    echo = transport.spoken[0][0]
    await store.write(apply_all, [receipt(number, clock, "delivered", echo=echo)])

    assert await status_of(store, number, message_id) == "delivered"
    (attempt,) = await attempts(store, number, message_id)
    assert attempt.provider_message_id == "wamid.1"


def apply_all(tx, items):
    return [apply_receipts(tx, receipts) for receipts in items]


async def test_an_unknown_otp_is_resent_by_its_class_and_the_double_is_visible(house):
    store, clock, number = house
    transport = ScriptedTransport(Unknown("cut"), OK)
    sender, sweeper = new_sender(store, transport, clock), Sweeper(store, clock, 5.0)
    message_id = await accept_text(store, number, clock, rank=0, on_unknown="resend")
    await settle(sender)

    clock.advance(6)
    await sweeper.step()
    await settle(sender)

    assert len(transport.spoken) == 2
    assert await status_of(store, number, message_id) == "sent"
    assert [a.state for a in await attempts(store, number, message_id)] == ["unknown", "sent"]
    assert "message.doubled" not in await kinds_of(store, number, message_id)

    for status in ("sent", "delivered"):
        late = receipt(number, clock, status, echo=transport.spoken[0][0], wamid="wamid.first")
        await store.write(apply_all, [late])
    assert (await kinds_of(store, number, message_id)).count("message.doubled") == 1


async def test_an_unknown_message_ends_unresolved_at_its_deadline_and_later_evidence_corrects_it(house):
    store, clock, number = house
    transport = ScriptedTransport(Unknown("cut"))
    sender, sweeper = new_sender(store, transport, clock), Sweeper(store, clock, 5.0)
    message_id = await accept_text(store, number, clock)
    await settle(sender)

    clock.advance(3_601)
    await sweeper.step()
    assert await status_of(store, number, message_id) == "unresolved"

    await store.write(apply_all, [receipt(number, clock, "read", echo=transport.spoken[0][0])])
    assert await status_of(store, number, message_id) == "read"


async def test_a_late_failure_of_the_first_attempt_does_not_fail_the_second(house):
    store, clock, number = house
    transport = ScriptedTransport(Unknown("cut"), OK)
    sender, sweeper = new_sender(store, transport, clock), Sweeper(store, clock, 5.0)
    message_id = await accept_text(store, number, clock, rank=0, on_unknown="resend")
    await settle(sender)
    clock.advance(6)
    await sweeper.step()
    await settle(sender)

    first = transport.spoken[0][0]
    late = receipt(number, clock, "failed", echo=first, wamid="wamid.x", failure=REFUSED)
    await store.write(apply_all, [late])

    assert await status_of(store, number, message_id) == "sent"


async def test_delivered_beats_failed_whichever_comes_first(house):
    store, clock, number = house
    transport = ScriptedTransport(OK)
    message_id = await accept_text(store, number, clock)
    await settle(new_sender(store, transport, clock))
    echo = transport.spoken[0][0]

    await store.write(apply_all, [receipt(number, clock, "failed", echo=echo, failure=REFUSED)])
    assert await status_of(store, number, message_id) == "failed"
    await store.write(apply_all, [receipt(number, clock, "delivered", echo=echo)])
    assert await status_of(store, number, message_id) == "delivered"
    await store.write(apply_all, [receipt(number, clock, "failed", echo=echo, failure=REFUSED)])

    assert await status_of(store, number, message_id) == "delivered"


async def test_receipts_in_any_order_and_twice_never_move_a_status_back(house):
    store, clock, number = house
    transport = ScriptedTransport(OK)
    message_id = await accept_text(store, number, clock)
    await settle(new_sender(store, transport, clock))
    echo = transport.spoken[0][0]

    for status in ("read", "delivered", "sent", "read", "delivered"):
        await store.write(apply_all, [receipt(number, clock, status, echo=echo)])
        assert await status_of(store, number, message_id) == "read"

    kinds = await kinds_of(store, number, message_id)
    assert kinds == ["message.accepted", "message.attempted", "message.sent", "message.read"]


async def test_a_receipt_that_overtakes_the_answer_is_matched_by_our_id_and_the_late_answer_keeps_its_id(
    house,
):
    store, clock, number = house
    transport = ScriptedTransport(Sent("wamid.late"))

    transport.gate = asyncio.Event()
    sender = new_sender(store, transport, clock)
    message_id = await accept_text(store, number, clock)
    await settle(sender, steps=2)
    await store.write(
        apply_all, [receipt(number, clock, "delivered", echo=transport.spoken[0][0], wamid="wamid.late")]
    )
    assert await status_of(store, number, message_id) == "delivered"

    transport.gate.set()
    await settle(sender)

    assert await status_of(store, number, message_id) == "delivered"
    (attempt,) = await attempts(store, number, message_id)
    assert attempt.provider_message_id == "wamid.late"


async def test_a_receipt_without_echo_is_parked_until_the_answer_brings_its_id(house):
    store, clock, number = house
    message_id = await accept_text(store, number, clock)
    await store.write(apply_all, [receipt(number, clock, "delivered", wamid="wamid.7")])
    assert await status_of(store, number, message_id) == "accepted"

    await settle(new_sender(store, ScriptedTransport(Sent("wamid.7")), clock))

    assert await status_of(store, number, message_id) == "delivered"


async def test_expiry_beats_retry(house):
    store, clock, number = house
    sender, sweeper = new_sender(store, ScriptedTransport(STUMBLE), clock), Sweeper(store, clock, 5.0)
    message_id = await accept_text(store, number, clock, expires_at=clock.now() + timedelta(seconds=30))
    await settle(sender, steps=2)
    clock.advance(31)

    await sweeper.step()

    assert await status_of(store, number, message_id) == "expired"


async def test_a_stopped_number_keeps_its_queue_and_says_why(house):
    store, clock, number = house
    transport = ScriptedTransport(STOPPED)
    sender = new_sender(store, transport, clock)
    await accept_text(store, number, clock)
    await settle(sender)
    second = await accept_text(store, number, clock, to="+4915550002222")
    clock.advance(60)
    await settle(sender)

    assert len(transport.spoken) == 1
    assert await status_of(store, number, second) == "accepted"
    assert (await kinds_of(store, number, number.number_id)) == ["number.stopped"]


async def test_a_restart_finds_what_was_being_spoken_and_calls_it_unknown(house):
    store, clock, number = house

    transport = ScriptedTransport(OK)
    transport.gate = asyncio.Event()
    dead = new_sender(store, transport, clock)
    message_id = await accept_text(store, number, clock)
    await settle(dead, steps=2)
    assert await status_of(store, number, message_id) == "sending"

    successor = new_sender(store, ScriptedTransport(OK), clock, owner="life-2")
    assert await successor.recover() == 1

    assert await status_of(store, number, message_id) == "unknown"
    for task in dead._tasks:
        task.cancel()


async def test_a_claim_under_an_old_epoch_is_fenced(house):
    store, clock, number = house
    transport = ScriptedTransport(OK)
    old = new_sender(store, transport, clock)
    await old.step()
    await new_sender(store, ScriptedTransport(OK), clock, owner="life-2").step()
    await accept_text(store, number, clock)

    old._renew_at = 2**62  # it has not noticed
    await old.step()

    assert transport.spoken == []


async def test_overdue_is_told_once_when_nothing_proves_delivery(house):
    store, clock, number = house
    sweeper = Sweeper(store, clock, 5.0)
    message_id = await accept_text(store, number, clock, deliver_by=clock.now() + timedelta(seconds=60))
    await settle(new_sender(store, ScriptedTransport(OK), clock))
    clock.advance(61)

    await sweeper.step()
    await sweeper.step()

    assert (await kinds_of(store, number, message_id)).count("message.overdue") == 1


async def test_the_journal_versions_of_a_message_are_contiguous(house):
    store, clock, number = house
    from waypost.store import journal

    transport = ScriptedTransport(STUMBLE, OK)
    message_id = await accept_text(store, number, clock)
    sender = new_sender(store, transport, clock)
    await settle(sender)
    clock.advance(10)
    await settle(sender)
    await store.write(
        apply_all, [receipt(number, clock, "delivered", echo=transport.spoken[1][0], wamid="wamid.2")]
    )

    events = await store.read(journal.of_aggregate, number.tenant_id, message_id)
    assert [event.version for event in events] == list(range(1, len(events) + 1))
    assert from_ms(events[0].at) == FakeClock().now()


async def test_a_claim_that_the_store_refused_is_made_again(house):
    store, clock, number = house
    transport = ScriptedTransport(OK)
    sender = new_sender(store, transport, clock)
    await settle(sender)
    message_id = await accept_text(store, number, clock)
    with engines.current.locked(store.engine), pytest.raises(Unavailable):
        await sender.step()
    await settle(sender)

    assert await status_of(store, number, message_id) == "sent"


async def test_a_late_write_finds_what_its_batch_accepted_and_nobody_is_woken_twice(house):
    store, clock, number = house
    sender = new_sender(store, ScriptedTransport(OK), clock)
    await settle(sender)
    message_id = store.engine.ids.new("message", clock.now())
    request = ClaimRequest(number.number_id, "life-1", 1, 10, 20.0, clock.now(), decide)
    taking = text_acceptance(number, clock, message_id)
    writes = [Write(claim, [request], late=True), Write(accept, taking)]

    (commit,) = store.engine.commit_batch(writes)

    ((claimed,),) = [answer.claimed for answer in writes[0].result]
    assert claimed.message_id == message_id
    assert commit.due_numbers == frozenset()
