"""Taking drafts: what is checked before anything is written, and what one commit brings."""

import json
from datetime import timedelta

import pytest
from tests import engines
from tests.support import FakeClock, new_store, seed_number

from waypost.domain.drafts import decode_batch, decode_draft
from waypost.domain.errors import (
    CapabilityMissing,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    Unavailable,
)
from waypost.outbox.accept import Acceptor, Sender
from waypost.store import contacts, journal, messages, quotas
from waypost.store.engine import single
from waypost.store.idempotency import Claim
from waypost.store.quotas import QuotaExceeded, SetQuota

CALLER = Sender("ten_1", "key:key_1", "live")


class Known:
    """A preflight that knows one category and one media."""

    def __init__(self, category="utility"):
        self.category = category

    async def template(self, number, draft):
        return self.category

    async def media(self, number, media_id, field):
        return f"9001 for {field}"


@pytest.fixture
async def house(tmp_path):
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    return store, clock, number, Acceptor(store, Known(), store.engine.ids, clock)


def draft(number, **over):
    body = {"from": number.number_id, "to": "+4915550001111", "type": "text", "text": {"body": "hi"}} | over
    return decode_draft(json.dumps(body).encode())


async def taken(house, **over):
    store, _, number, acceptor = house
    answer = await acceptor.take(draft(number, **over), CALLER, None)
    assert answer.status == 202
    message_id = json.loads(answer.body)["id"]
    return await store.read(messages.get, number.tenant_id, message_id)


@pytest.mark.parametrize(
    ("over", "message_class", "lives_seconds", "on_unknown"),
    [
        ({}, "reply", 86_400, "wait"),
        ({"class": "otp"}, "otp", 600, "resend"),
        ({"class": "marketing"}, "marketing", 259_200, "wait"),
        ({"class": "otp", "on_unknown": "fail"}, "otp", 600, "fail"),
    ],
)
async def test_a_class_brings_its_defaults(house, over, message_class, lives_seconds, on_unknown):
    message = await taken(house, **over)
    assert (message.message_class, message.on_unknown) == (message_class, on_unknown)
    assert message.expires_at - message.accepted_at == lives_seconds * 1000


TEMPLATE = {"type": "template", "template": {"name": "t", "language": {"code": "en"}}}


@pytest.mark.parametrize(
    ("category", "asked", "given"),
    [("marketing", "utility", "marketing"), ("utility", "marketing", "marketing"), ("otp", None, "otp")],
)
async def test_a_templates_category_is_the_floor_of_its_class(tmp_path, category, asked, given):
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    acceptor = Acceptor(store, Known(category), store.engine.ids, clock)
    over = {**TEMPLATE, **({"class": asked} if asked else {})}
    body = {"from": number.number_id, "to": "+4915550001111", **over}

    answer = await acceptor.take(decode_draft(json.dumps(body).encode()), CALLER, None)

    assert json.loads(answer.body)["class"] == given


@pytest.mark.parametrize(
    ("over", "error", "field"),
    [
        ({"from": "num_nobody"}, NotFound, "from"),
        ({"to": "con_01m82tcqpkgs07908rxf8c97v9"}, NotFound, "to"),
        ({"to": "0171 5550001"}, InvalidRequest, "to"),
        ({"to": "120363041234567890@g.us"}, CapabilityMissing, "to"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, InvalidRequest, "expires_at"),
        ({"deliver_by": "2020-01-01T00:00:00Z"}, InvalidRequest, "deliver_by"),
        ({"not_before": "2028-01-01T00:00:00Z"}, InvalidRequest, "expires_at"),
        ({"context": {"message_id": "msg_unknown"}}, InvalidRequest, "context.message_id"),
    ],
)
async def test_a_draft_that_cannot_go_is_refused_naming_its_field_and_nothing_is_written(
    house, over, error, field
):
    store, _, number, acceptor = house
    with pytest.raises(error) as told:
        await acceptor.take(draft(number, **over), CALLER, None)
    assert told.value.field == field
    assert told.value.remedy
    assert await store.read(journal.position_now) == 0


async def test_another_tenants_number_is_not_there(house):
    _, _, number, acceptor = house
    with pytest.raises(NotFound):
        await acceptor.take(draft(number), Sender("ten_2", "key:k", "live"), None)


async def test_a_test_key_never_sends_through_a_live_number(tmp_path):
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store, base_url="https://graph.facebook.com")
    acceptor = Acceptor(store, Known(), store.engine.ids, clock)
    with pytest.raises(Forbidden):
        await acceptor.take(draft(number), Sender("ten_1", "key:k", "test"), None)


async def test_the_same_key_and_body_are_answered_again_without_a_second_message(house):
    store, clock, number, acceptor = house
    claim = Claim("ten_1", "k1", b"digest", clock.now() + timedelta(hours=72))
    first = await acceptor.take(draft(number), CALLER, claim)
    second = await acceptor.take(draft(number), CALLER, claim)
    assert (first.body, first.replayed, second.replayed) == (second.body, False, True)
    assert len(await store.read(messages.search, messages.Search("ten_1"))) == 1


async def test_a_batch_gives_a_result_per_draft_and_takes_the_good_ones(house):
    store, _, number, acceptor = house
    good = {"from": number.number_id, "to": "+4915550001111", "type": "text", "text": {"body": "hi"}}
    bad = [good | {"to": "12"}, good | {"text": {"body": ""}}, good | {"from": "num_x"}]
    raw = json.dumps({"messages": [good, *bad, good]}).encode()

    answer = await acceptor.take_batch(decode_batch(raw), CALLER, None)

    results = json.loads(answer.body)["results"]
    assert [r["status"] for r in results] == ["accepted", "rejected", "rejected", "rejected", "accepted"]
    assert [r["problem"]["field"] for r in results[1:4]] == ["to", "text.body", "from"]
    assert len(await store.read(messages.search, messages.Search("ten_1"))) == 2


async def test_a_relieved_assignee_is_told_so(house):
    store, _, number, acceptor = house
    await acceptor.take(draft(number), CALLER, None)
    await store.write(hand_over, "person")
    with pytest.raises(Conflict) as told:
        await acceptor.take(draft(number, assignee="bot"), CALLER, None)
    assert told.value.code == "assignee_relieved"
    assert (await acceptor.take(draft(number, assignee="person"), CALLER, None)).status == 202


@single
def hand_over(tx, assignee):
    return tx.execute("UPDATE conversations SET assignee = ?", (assignee,))


async def test_a_contact_id_leads_to_its_current_phone(house):
    store, _, number, acceptor = house
    first = json.loads((await acceptor.take(draft(number), CALLER, None)).body)
    message = await taken(house, to=first["contact_id"])
    assert message.recipient == "+4915550001111"
    assert message.contact_id == first["contact_id"]
    aliases = await store.read(contacts.aliases_of, "ten_1", first["contact_id"])
    assert [(a.kind, a.value) for a in aliases] == [("phone", "+4915550001111")]


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"type": "image", "image": {"id": "med_1"}}, "image.id"),
        (
            {
                "type": "template",
                "template": {
                    "name": "t",
                    "language": {"code": "en"},
                    "components": [
                        {"type": "header", "parameters": [{"type": "image", "image": {"id": "med_1"}}]}
                    ],
                },
            },
            "template.components.0.parameters.0.image.id",
        ),
    ],
)
async def test_uploaded_media_goes_out_under_the_providers_id_wherever_it_stands(house, content, field):
    store, _, number, acceptor = house
    body = {"from": number.number_id, "to": "+4915550001111", **content}
    answer = await acceptor.take(decode_draft(json.dumps(body).encode()), CALLER, None)
    message = await store.read(messages.get, "ten_1", json.loads(answer.body)["id"])
    assert f'"id":"9001 for {field}"'.encode() in message.content


async def test_nothing_is_taken_while_the_disk_is_nearly_full(house):
    store, clock, number, _ = house

    def full():
        raise Unavailable("full", code="disk_full")

    acceptor = Acceptor(store, Known(), store.engine.ids, clock, full)
    with pytest.raises(Unavailable):
        await acceptor.take(draft(number), CALLER, None)
    assert await store.read(journal.position_now) == 0


async def test_while_a_quota_is_used_up_nothing_reaches_the_store(house):
    store, clock, number, acceptor = house
    item = SetQuota("tenant", number.tenant_id, number.tenant_id, 1, 1, "operator", clock.now())
    await store.write(quotas.put, item)
    await taken(house)
    with pytest.raises(QuotaExceeded):
        await taken(house)

    with engines.current.locked(store.engine):
        with pytest.raises(QuotaExceeded):
            acceptor.turn_away(CALLER.tenant_id)
        with pytest.raises(QuotaExceeded):
            await taken(house)
        clock.advance(1.0)
        acceptor.turn_away(CALLER.tenant_id)
        with pytest.raises(Unavailable):
            await taken(house)
    await taken(house)


async def test_a_batch_takes_what_the_quota_lets_through_and_says_of_each_other_when(house):
    store, clock, number, acceptor = house
    item = SetQuota("number", number.number_id, number.tenant_id, 10, 3, "operator", clock.now())
    await store.write(quotas.put, item)
    body = {"from": number.number_id, "type": "text", "text": {"body": "hi"}}
    drafts = decode_batch(
        json.dumps({"messages": [body | {"to": f"+49155500011{n:02}"} for n in range(5)]}).encode()
    )
    answer = await acceptor.take_batch(drafts, CALLER, None)
    results = json.loads(answer.body)["results"]
    assert [result["status"] for result in results] == ["accepted"] * 3 + ["rejected"] * 2
    assert {result["problem"]["code"] for result in results[3:]} == {"quota_exceeded"}
    with pytest.raises(QuotaExceeded):
        await taken(house)
