"""Stories of sending: what a caller does, what the phone shows, what the timeline tells."""

import asyncio
import http.client
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.journeys.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def test_a_text_is_accepted_sent_delivered_and_read_with_its_times(house: House) -> None:
    person = house.person()
    detail = await house.status(await house.send(person, "Your table is ready."), "read")
    kinds = [line["type"] for line in detail["timeline"]]
    wanted = ["message.accepted", "message.attempted", "message.sent", "message.delivered", "message.read"]
    assert [kind for kind in kinds if kind in wanted] == wanted
    assert [line["at"] for line in detail["timeline"]] == sorted(line["at"] for line in detail["timeline"])
    (attempt,) = detail["attempts"]
    # Meta tells receipts to the second.
    assert attempt["sent_at"][:19] <= attempt["delivered_at"][:19] <= attempt["read_at"][:19]
    (shown,) = house.phone(person).chat(house.number["phone_number_id"])
    assert shown.text == "Your table is ready."


async def test_a_subscriber_hears_a_message_step_by_step(house: House) -> None:
    message_id = await house.send(house.person(), metadata={"order": "A-1"})
    await house.told("message.read", aggregate_id=message_id)
    mine = [event for event in house.sink.firsts.values() if event.get("aggregate_id") == message_id]
    assert [event["version"] for event in mine] == list(range(1, len(mine) + 1))
    assert not house.sink.bad


async def test_the_same_key_and_body_give_the_same_message_and_another_body_is_refused(house: House) -> None:
    person, key = house.person(), str(uuid.uuid4())
    first = await house.api.call("POST", "/v1/messages", house.draft(person), key=key)
    again = await house.api.call("POST", "/v1/messages", house.draft(person), key=key)
    other = await house.api.call("POST", "/v1/messages", house.draft(person, "else"), key=key)
    assert (first.status, again.status, other.status) == (202, 202, 422)
    assert first.body == again.body
    detail = await house.status(first.body["id"], "read")
    assert len(house.ledger_of(detail)) == 1


async def test_a_batch_gives_a_result_per_item_and_sends_the_good_ones(house: House) -> None:
    good, bad = house.draft(house.person()), house.draft("0171 5000000")
    answer = await house.api.post("/v1/messages:batch", {"messages": [good, bad, good]})
    assert [result["status"] for result in answer["results"]] == ["accepted", "rejected", "accepted"]
    assert answer["results"][1]["problem"]["field"] == "to"
    await house.status(answer["results"][2]["message"]["id"], "read")


async def test_a_scheduled_message_waits_for_its_time(house: House) -> None:
    at = _soon(1.2)
    message_id = await house.send(house.person(), not_before=at)
    early = await house.api.message(message_id)
    assert early["message"]["status"] in ("accepted", "held")
    detail = await house.status(message_id, "sent", "delivered", "read")
    assert datetime.fromisoformat(detail["attempts"][0]["started_at"]) >= datetime.fromisoformat(at)


async def test_a_cancelled_message_never_goes_out_and_a_sent_one_cannot_be_cancelled(house: House) -> None:
    waiting = await house.send(house.person(), not_before=_soon(3600))
    await house.api.post(f"/v1/messages/{waiting}:cancel")
    gone = await house.status(waiting, "cancelled")
    assert gone["attempts"] == []
    await house.told("message.cancelled", aggregate_id=waiting)
    sent = await house.send(house.person())
    await house.status(sent, "read")
    refused = await house.api.call("POST", f"/v1/messages/{sent}:cancel")
    assert refused.status == 409


async def test_a_message_that_expires_unsent_says_so(house: House) -> None:
    number = await house.number_of_its_own()
    await house.api.post(f"/v1/numbers/{number['id']}:pause", {"reason": "rehearsal"})
    message_id = await house.send(house.person(), **{"from": number["id"]}, expires_at=_soon(1))
    detail = await house.status(message_id, "expired")
    assert detail["attempts"] == []


async def test_a_message_not_on_the_phone_in_time_is_told_as_overdue(house: House) -> None:
    person = house.person()
    house.phone(person).behaviour.online = False
    message_id = await house.send(person, deliver_by=_soon(1))
    event = await house.told("message.overdue", aggregate_id=message_id)
    assert event["reason"] == "sent"


TEMPLATE = {"name": "order_update", "language": {"code": "en_US"}}


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"name": "no_such_template"}, "template.name"),
        ({"components": []}, "template.components"),
        (
            {"components": [{"type": "body", "parameters": [{"type": "text", "text": "Ada"}]}]},
            "template.components.0",
        ),
    ],
)
async def test_a_template_that_does_not_fit_is_refused_at_accept_with_its_field(
    house: House, over: dict[str, Any], field: str
) -> None:
    await house.api.post("/v1/templates:sync", {"number_id": house.number["id"]})
    body = {"from": house.number["id"], "to": house.person(), "type": "template", "template": TEMPLATE | over}
    reply = await house.api.call("POST", "/v1/messages", body)
    assert reply.status == 422, reply.body
    assert reply.body["field"].startswith(field)


async def test_a_template_goes_out_in_the_class_of_its_category(house: House) -> None:
    await house.api.post("/v1/templates:sync", {"number_id": house.number["id"]})
    code = {"type": "text", "text": "482913"}
    content = {
        "name": "login_code",
        "language": {"code": "en_US"},
        "components": [
            {"type": "body", "parameters": [code]},
            {"type": "button", "sub_type": "url", "index": "0", "parameters": [code]},
        ],
    }
    body = {"from": house.number["id"], "to": house.person(), "type": "template", "template": content}
    taken = (await house.api.call("POST", "/v1/messages", body)).ok(202)
    assert taken["class"] == "otp"
    await house.status(taken["id"], "read")


async def test_an_otp_without_an_answer_goes_again_and_is_counted_as_a_double(house: House) -> None:
    person = house.person()
    # The provider takes it, the answer is lost, and its receipts are swallowed: no evidence at all.
    with (
        house.trouble(kind="drop_after", recipient=person, count=1),
        house.trouble(kind="webhook_blackhole", recipient=person, count=3),
    ):
        message_id = await house.send(person, **{"class": "otp"})
        await house.status(message_id, "unknown")
        detail = await house.status(message_id, "read", seconds_max=15)
    assert len(detail["attempts"]) == 2
    assert len(house.ledger_of(detail)) == 2
    await house.told("message.unknown", aggregate_id=message_id)


async def test_a_reply_without_an_answer_is_settled_by_its_receipt_and_never_sent_again(house: House) -> None:
    person = house.person()
    with (
        house.trouble(kind="drop_after", recipient=person, count=1),
        house.trouble(kind="webhook_hold", recipient=person) as held,
    ):
        message_id = await house.send(person, **{"class": "reply"})
        await house.status(message_id, "unknown")
        assert held.held
    detail = await house.status(message_id, "read")
    assert len(house.ledger_of(detail)) == len(detail["attempts"]) == 1


async def test_messages_to_one_person_go_out_in_the_order_they_were_accepted(house: House) -> None:
    person = house.person()
    texts = [f"word {turn}" for turn in range(8)]
    ids = [await house.send(person, text) for text in texts]
    await asyncio.gather(*(house.status(each, "read") for each in ids))
    assert [m.text for m in house.phone(person).chat(house.number["phone_number_id"])] == texts


async def test_a_failed_message_names_the_provider_code(house: House) -> None:
    person = house.person()
    house.phone(person).behaviour.on_whatsapp = False
    detail = await house.status(await house.send(person), "failed")
    assert detail["message"]["failure"]["code"] == 131026


async def test_a_flood_is_turned_away_on_a_connection_that_stays_good(house: House) -> None:
    """Its bodies, large ones too, are not read; what comes after them on the same connection is understood."""
    operator = house.gateway.operator()
    quota = {"accepts_per_second": 1, "burst": 1}
    assert (await operator.call("PUT", "/v1/quotas/tenant", quota)).status == 200
    try:
        answers = await asyncio.to_thread(_over_one_connection, house, [house.person() for _ in range(12)])
    finally:
        lifted = {"accepts_per_second": None, "burst": None}
        assert (await operator.call("PUT", "/v1/quotas/tenant", lifted)).status == 200
        await operator.close()
    assert answers[0] == 202
    assert answers[1:-1].count(429) >= 9
    assert answers[-1] == 200, "the list, asked for last"


def _over_one_connection(house: House, people: list[str]) -> list[int]:
    url = urlsplit(house.api.base)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=10)
    headers = {"Authorization": house.api.http.headers["Authorization"], "Content-Type": "application/json"}
    answers = []
    for person in people:
        body = json.dumps(house.draft(person, "x" * 4_000, metadata={"padding": "y" * 500}))
        connection.request("POST", "/v1/messages", body, headers | {"Idempotency-Key": uuid.uuid4().hex})
        answer = connection.getresponse()
        answer.read()
        assert connection.sock is not None, "the connection was closed"
        answers.append(answer.status)
    connection.request("GET", "/v1/messages?limit=1", headers=headers)
    answers.append(connection.getresponse().status)
    connection.close()
    return answers
