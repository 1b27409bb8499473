"""Meta down, slow, refusing and talking nonsense: each ends in a named state, and none loses or doubles a message."""

from typing import Any

import pytest
from tests.journeys.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

# fault, the status it passes through (None: not looked at), the final status, attempts, how often the provider took it
TROUBLES: dict[str, tuple[dict[str, Any], str | None, str, int, int]] = {
    "down for a moment": ({"kind": "http", "http_status": 503, "count": 1}, None, "read", 2, 1),
    "overloaded": ({"kind": "error", "code": 131016, "count": 1}, None, "read", 2, 1),
    "something went wrong": ({"kind": "error", "code": 131000, "count": 1}, None, "read", 2, 1),
    "slow but answering": ({"kind": "latency", "seconds": 1.0, "count": 1}, None, "read", 1, 1),
    "too slow to answer": ({"kind": "latency_after", "seconds": 6.0, "count": 1}, None, "read", 1, 1),
    "cut after accept": ({"kind": "drop_after", "count": 1}, None, "read", 1, 1),
    "html for json": ({"kind": "html", "count": 1}, None, "read", 1, 1),
    "half a body": ({"kind": "truncated", "count": 1}, None, "read", 1, 1),
    "an empty body": ({"kind": "empty", "count": 1}, None, "read", 1, 1),
    "a receipt before the answer": ({"kind": "status_first", "count": 1}, None, "read", 1, 1),
    "receipts twice": ({"kind": "webhook_duplicate", "times": 2}, None, "read", 1, 1),
    "receipts late": ({"kind": "webhook_delay", "seconds": 0.6, "count": 1}, None, "read", 1, 1),
    "receipts in disorder": ({"kind": "webhook_reorder", "seconds": 0.3}, None, "read", 1, 1),
    "delivered never told": ({"kind": "skip_delivered"}, None, "read", 1, 1),
    "refused for good": ({"kind": "error", "code": 131009, "count": 1}, None, "failed", 1, 0),
    "refused by a receipt": ({"kind": "failed_status", "code": 131047, "count": 1}, None, "failed", 1, 1),
}


@pytest.mark.parametrize("name", TROUBLES)
async def test_no_trouble_of_the_provider_loses_or_doubles_a_message(house: House, name: str) -> None:
    fault, passes, final, attempts, taken = TROUBLES[name]
    person = house.person()
    with house.trouble(recipient=person, **fault) as placed:
        message_id = await house.send(person)
        if passes is not None:
            await house.status(message_id, passes)
        detail = await house.status(message_id, final, seconds_max=15)
    assert placed.struck >= 1
    assert len(detail["attempts"]) == attempts, detail["timeline"]
    assert len(house.ledger_of(detail)) == taken


async def test_a_connection_cut_before_accept_is_unknown_and_never_resent_blindly(house: House) -> None:
    person = house.person()
    with house.trouble(kind="drop_before", recipient=person, count=1):
        message_id = await house.send(person, **{"class": "utility"})
        detail = await house.status(message_id, "unknown")
    assert house.ledger_of(detail) == []
    body = {"action": "resend", "reason": "looked at the phone: nothing came"}
    await house.api.post(f"/v1/messages/{message_id}:settle", body)
    detail = await house.status(message_id, "read")
    assert len(house.ledger_of(detail)) == 1
    settled = [line for line in detail["timeline"] if line["reason"] == body["reason"]]
    assert settled, "the reason of a settlement by hand stays on the timeline"


async def test_an_outage_holds_messages_back_and_all_go_once_afterwards(house: House) -> None:
    people = [house.person() for _ in range(10)]
    with house.trouble(kind="http", http_status=503):
        ids = [await house.send(person) for person in people]
        for message_id in ids:
            await house.status(message_id, "retrying")
    for message_id in ids:
        detail = await house.status(message_id, "read", seconds_max=15)
        assert len(house.ledger_of(detail)) == 1


async def test_a_number_whose_token_expired_stops_and_goes_on_once_it_is_rotated(house: House) -> None:
    number = await house.number_of_its_own()
    with house.trouble(kind="error", code=190, phone_number_id=number["phone_number_id"]):
        first = await house.send(house.person(), **{"from": number["id"]})
        event = await house.told("number.stopped", aggregate_id=number["id"])
        assert event["reason"] == "190"
        second = await house.send(house.person(), **{"from": number["id"]})
        shown = await house.api.get(f"/v1/numbers/{number['id']}")
        assert shown["state"] == "stopped"
    house.emulator.world.tokens["EAAFresh"] = type(next(iter(house.emulator.world.tokens.values())))(
        "EAAFresh", house.emulator.world.apps[next(iter(house.emulator.world.apps))].id
    )
    await house.api.post(f"/v1/numbers/{number['id']}:rotate-token", {"token": "EAAFresh"})
    if (await house.api.get(f"/v1/numbers/{number['id']}"))["state"] != "active":
        await house.api.post(f"/v1/numbers/{number['id']}:resume", {"reason": "token rotated"})
    for message_id in (first, second):
        detail = await house.status(message_id, "read")
        assert len(house.ledger_of(detail)) == 1


async def test_trouble_of_one_pair_slows_nobody_else(house: House) -> None:
    slow, quick = house.person(), house.person()
    with house.trouble(kind="error", code=131056, recipient=slow, count=1):
        waiting = await house.send(slow)
        await house.status(waiting, "retrying")
        await house.status(await house.send(quick), "read", seconds_max=5)
        number = await house.api.get(f"/v1/numbers/{house.number['id']}")
        assert number["state"] == "active"
    await house.status(waiting, "read", seconds_max=15)
