"""Stories of receiving: a customer writes, the subscriber hears it signed, replies quote it, a person takes over."""

import json

import aiohttp
import pytest
from tests.journeys.house import House

from waypost.emulator import DEMO
from waypost.emulator.webhooks import signature_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_reply_typed_on_the_phone_reaches_the_subscriber_with_a_valid_signature(house: House) -> None:
    person = house.person()
    said = house.say(person, type="text", text="Is it still warm? 🍲")
    event = await house.told("inbound.received", provider_message_id=said.wamid)
    assert event["data"]["content"]["text"]["body"] == "Is it still warm? 🍲"
    assert not house.sink.bad
    assert event["contact_id"].startswith("con_")


async def test_an_answer_quotes_what_the_customer_wrote(house: House) -> None:
    person = house.person()
    said = house.say(person, type="text", text="Which table?")
    event = await house.told("inbound.received", provider_message_id=said.wamid)
    message_id = await house.send(person, "Table nine.", context={"message_id": event["aggregate_id"]})
    await house.status(message_id, "read")
    shown = house.phone(person).chat(house.number["phone_number_id"])[-1]
    assert (shown.text, shown.context_id) == ("Table nine.", said.wamid)


async def test_what_a_customer_writes_twice_told_is_one_event(house: House) -> None:
    person = house.person()
    with house.trouble(kind="webhook_duplicate", recipient=person, times=3):
        said = house.say(person, type="text", text="once")
    after = house.say(person, type="text", text="after")
    await house.told("inbound.received", provider_message_id=after.wamid)
    pulled = [
        event for event in await house.api.events() if event["data"].get("provider_message_id") == said.wamid
    ]
    assert [event["type"] for event in pulled] == ["inbound.received"]


async def test_a_callback_with_a_wrong_signature_is_refused_and_changes_nothing(house: House) -> None:
    url = house.emulator.world.apps[DEMO.app_id].callback_url
    assert url is not None
    body = json.dumps({"object": "whatsapp_business_account", "entry": []}).encode()
    async with aiohttp.ClientSession() as http:
        for headers in ({}, {"X-Hub-Signature-256": signature_of("another secret", body)}):
            async with http.post(url, data=body, headers=headers) as answer:
                assert answer.status in (401, 403)


async def test_meta_can_verify_the_callback_and_nobody_with_another_word(house: House) -> None:
    url = house.emulator.world.apps[DEMO.app_id].callback_url
    assert url is not None
    assert await house.emulator.webhooks.verify(url, DEMO.verify_token) is None
    assert await house.emulator.webhooks.verify(url, "guess") is not None


async def test_a_kind_nobody_knows_is_kept_and_told_and_what_follows_is_read(house: House) -> None:
    person = house.person()
    house.say(person, type="unsupported")
    said = house.say(person, type="text", text="and this?")
    await house.told("inbound.received", provider_message_id=said.wamid)
    assert house.sink.of("inbound.unsupported")


async def test_a_relieved_assignee_is_refused_at_accept_and_again_when_claimed(house: House) -> None:
    number = await house.number_of_its_own()
    person = house.person()
    bot = {"from": number["id"], "assignee": "bot"}
    first = await house.send(person, "I am a bot.", **bot)
    detail = await house.status(first, "read")
    contact_id = detail["message"]["contact_id"]
    conversation = await _conversation(house, number["id"], contact_id)
    await house.api.post(f"/v1/numbers/{number['id']}:pause", {"reason": "so that one waits"})
    waiting = await house.send(person, "Too late.", **bot)
    await house.api.post(f"/v1/conversations/{conversation['id']}:assign", {"assignee": "person"})
    refused = await house.api.call("POST", "/v1/messages", house.draft(person, "I insist.", **bot))
    assert refused.status == 409, refused.body
    await house.api.post(f"/v1/numbers/{number['id']}:resume", {"reason": "go on"})
    detail = await house.status(waiting, "refused")
    assert detail["message"]["reason"] == "assignee_relieved"
    await house.status(await house.send(person, "A person here.", **bot | {"assignee": "person"}), "read")
    texts = [m.text for m in house.phone(person).chat(number["phone_number_id"])]
    assert texts == ["I am a bot.", "A person here."]


async def _conversation(house: House, number_id: str, contact_id: str) -> dict[str, str]:
    async for one in house.api.pages("/v1/conversations"):
        if (one["number_id"], one["contact_id"]) == (number_id, contact_id):
            return one
    raise AssertionError("no conversation")
