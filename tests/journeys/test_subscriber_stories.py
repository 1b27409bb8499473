"""Stories of subscribers: down across a restart, slow for ever, poisoned, gone; the others hear everything."""

import asyncio
from pathlib import Path

from tests.journeys.house import House, open_house
from tests.processes.harness import until
from tests.processes.sink import position_of


async def test_a_subscriber_that_was_down_over_a_restart_hears_all_in_order_per_conversation(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        people = [house.person() for _ in range(5)]
        house.sink.answer = lambda _: 503
        ids = [await house.send(person, f"word {turn}") for turn in range(6) for person in people]
        for message_id in ids:
            await house.status(message_id, "read")
        for person in people:
            house.say(person, type="text", text="hello?")
        await until(lambda: _posts(house, 3), 10, "the endpoint is tried")
        assert not house.sink.firsts
        assert await house.gateway.stop() == 0
        house.sink.answer = None
        await house.gateway.start()
        await house.api.call("POST", f"/v1/subscribers/{house.subscriber['id']}:resume")
        await _hears_all(house)


async def test_events_owed_at_a_kill_are_told_by_the_next_process(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.sink.answer = lambda _: 503
        ids = [await house.send(house.person()) for _ in range(10)]
        for message_id in ids:
            await house.status(message_id, "read")
        await house.gateway.kill()
        house.sink.answer = None
        await house.gateway.start()
        await house.api.call("POST", f"/v1/subscribers/{house.subscriber['id']}:resume")
        await _hears_all(house)


async def test_one_poisoned_event_holds_back_its_conversation_only(tmp_path: Path) -> None:
    async with open_house(tmp_path, {"webhooks": {"park_after_seconds": 3}}) as house:
        poisoned = await house.send(house.person(), "poison")
        await house.status(poisoned, "read")
        sink = house.sinks.add("picky")
        sink.refuse = lambda event: event.get("aggregate_id") == sink.poison
        made = await house.api.post(
            "/v1/subscribers", {"url": house.sinks.url(sink), "label": "picky", "kinds": ["message.*"]}
        )
        sink.secret = made["secret"]
        sink.poison = await house.send(house.person(), "poison")
        others = [await house.send(house.person()) for _ in range(3)]

        async def others_told() -> bool:
            read = {event["aggregate_id"] for event in sink.of("message.read")}
            return set(others) <= read

        await until(others_told, 10, "the others are told")
        assert not [e for e in sink.firsts.values() if e["aggregate_id"] == sink.poison]
        event = await house.told("event.parked", seconds_max=15)
        assert event["data"]
        shown = await house.api.get(f"/v1/subscribers/{made['id']}")
        assert shown["state"] == "active"


async def test_a_subscriber_that_answers_slowly_for_ever_slows_nobody_else(tmp_path: Path) -> None:
    async with open_house(tmp_path, {"webhooks": {"timeout_seconds": 1}}) as house:
        sink = house.sinks.add("slow")
        sink.seconds = 30.0
        made = await house.api.post(
            "/v1/subscribers", {"url": house.sinks.url(sink), "label": "slow", "kinds": []}
        )
        sink.secret = made["secret"]
        for _ in range(5):
            message_id = await house.send(house.person())
            await house.told("message.read", seconds_max=5, aggregate_id=message_id)
        await until(lambda: _posts(house, 1, "slow"), 5, "the slow one is tried")


async def test_an_endpoint_that_says_gone_is_disabled_and_told_nothing_more(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sink = house.sinks.add("gone")
        sink.answer = lambda _: 410
        made = await house.api.post(
            "/v1/subscribers", {"url": house.sinks.url(sink), "label": "gone", "kinds": []}
        )
        sink.secret = made["secret"]
        await house.status(await house.send(house.person()), "read")
        await house.told("subscriber.disabled", aggregate_id=made["id"])
        posts = sink.posts
        await house.status(await house.send(house.person()), "read")
        await asyncio.sleep(0.3)
        assert sink.posts == posts
        shown = await house.api.get(f"/v1/subscribers/{made['id']}")
        assert shown["state"] == "disabled"


async def _posts(house: House, count: int, name: str = "subscriber") -> bool:
    return house.sinks.by_name[name].posts >= count


async def _hears_all(house: House) -> None:
    owed = {
        event["id"]
        for event in await house.api.events()
        if event["type"].startswith(("message.", "inbound."))
    }

    async def heard() -> bool:
        return owed <= house.sink.firsts.keys()

    await until(heard, 30, "everything owed is told")
    last: dict[str, int] = {}
    for event in house.sink.firsts.values():
        key = f"{event.get('number_id')}:{event.get('contact_id')}"
        assert position_of(event["id"]) > last.get(key, 0), "out of order within a conversation"
        last[key] = position_of(event["id"])
    assert not house.sink.bad
