"""Telling subscribers on a bad day: dead, slow, gone, overloaded, or choking on one event."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from tests import engines
from tests.webhooks.stage import Answer, Happening, Post, Stage, by_contact, says

from waypost.domain.errors import Conflict
from waypost.store.subscriber_replays import Retry, retry
from waypost.store.subscribers import Turn, resume
from waypost.transports.egress import Unreachable

DEAD: list[Answer] = [Unreachable("connect_failed"), Unreachable("timeout"), says(500), says(503), says(301)]


@pytest.mark.parametrize("answer", DEAD)
@pytest.mark.parametrize("batch", [1, 20])
async def test_after_an_hour_of_a_dead_subscriber_all_is_told_in_order(
    tmp_path: Path, answer: Answer, batch: int
) -> None:
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe(batch_events_max=batch)
    stage.endpoint.rule = lambda post: answer if post.at_seconds < 3600 else None
    ids = []
    for _ in range(12):
        ids += await stage.happen_all([Happening(f"con_{n % 5}") for n in range(20)])
        await stage.run(300, least=1)
    dead = len(stage.endpoint.posts)
    assert stage.endpoint.told == []
    assert dead < 50
    row = await stage.row(subscriber.id)
    assert row.position == 1
    assert row.failing_since is not None
    await stage.run(600, least=1)
    assert sorted(stage.endpoint.told_ids) == sorted(ids)
    for numbers in by_contact(stage.endpoint.told).values():
        assert numbers == sorted(numbers)
    # Not one event lost a try to the endpoint's hour.
    assert await stage.owed(subscriber.id) == []
    assert not await stage.journal("event.parked")
    row = await stage.row(subscriber.id)
    assert (row.failures, row.failing_since, row.state) == (0, None, "active")


async def test_a_restart_during_the_outage_loses_nothing_and_does_not_hurry(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.subscribe()
    stage.endpoint.rule = lambda post: says(500) if post.at_seconds < 3600 else None
    ids = await stage.happen("con_a", "con_b", "con_a", "con_c")
    await stage.run(1800, least=1)
    before = len(stage.endpoint.posts)
    stage.new_teller()
    await stage.settle()
    assert len(stage.endpoint.posts) <= before + 1
    await stage.run(3000, least=1)
    assert sorted(stage.endpoint.told_ids) == sorted(ids)
    assert by_contact(stage.endpoint.told)["con_a"] == [0, 2]


def poison(number: int, answer: Answer) -> Callable[[Post], Answer | None]:
    return lambda post: answer if any(event["data"].get("n") == number for event in post.events) else None


@pytest.mark.parametrize("answer", [says(400), says(422), says(404), says(500), Unreachable("timeout")])
@pytest.mark.parametrize("batch", [1, 50])
async def test_a_poisoned_event_holds_back_its_conversation_only_and_is_parked(
    tmp_path: Path, answer: Answer, batch: int
) -> None:
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe(batch_events_max=batch)
    ids = await stage.happen("con_a", "con_bad", "con_bad", "con_c")
    stage.endpoint.rule = poison(1, answer)
    later = []
    for _ in range(10):
        await stage.run(60)
        later += await stage.happen("con_d", "con_a")
    await stage.run(60)
    assert set(stage.endpoint.told_ids) == {ids[0], ids[3], *later}
    assert by_contact(stage.endpoint.told)["con_a"][0] == 0
    # It costs two rows, and the mark is past them.
    assert [state for _, state, _ in await stage.owed(subscriber.id)] == ["waiting", "waiting"]
    assert (await stage.row(subscriber.id)).position == 25
    stage.new_teller()
    await stage.run(3600, least=5)
    assert ids[2] in stage.endpoint.told_ids
    assert ids[1] not in stage.endpoint.told_ids
    (parked,) = await stage.journal("event.parked")
    assert parked.aggregate_id == subscriber.id
    assert parked.facts["event_id"] == ids[1]
    assert parked.facts["kind"] == "message.sent"
    assert parked.id in stage.endpoint.told_ids
    assert [row[:2] for row in await stage.owed(subscriber.id)] == [(3, "parked")]
    assert (await stage.row(subscriber.id)).state == "active"


async def test_a_parked_event_can_be_retried(tmp_path: Path) -> None:
    stage = Stage(tmp_path, park_after_seconds=60)
    subscriber = await stage.subscribe()
    stage.endpoint.rule = poison(0, says(400))
    (bad, *_) = await stage.happen("con_a", "con_b")
    await stage.run(120)
    assert [row[1] for row in await stage.owed(subscriber.id)] == ["parked"]
    stage.endpoint.rule = lambda post: None
    item = Retry("ten_1", subscriber.id, 2, "operator", "their fix is out", stage.clock.now())
    await stage.store.write(retry, item)
    with pytest.raises(Conflict):
        await stage.store.write(retry, item)
    await stage.run(10)
    assert bad in stage.endpoint.told_ids
    assert await stage.owed(subscriber.id) == []


async def test_parking_the_news_of_a_parked_event_does_not_go_on_for_ever(tmp_path: Path) -> None:
    stage = Stage(tmp_path, park_after_seconds=60)
    for url in ("https://a.example/", "https://b.example/"):
        await stage.subscribe(url)

    def rule(post: Post) -> Answer | None:
        return says(400) if post.events[0]["type"] in ("event.parked", "message.failed") else None

    stage.endpoint.rule = rule
    await stage.happen("con_a", kind="message.failed")
    for _ in range(60):
        await stage.happen("con_b", kind="message.sent")
        await stage.run(60, least=5)
    # Two subscribers park the event; each parks both lines about that; nobody is told of those.
    assert len(await stage.journal("event.parked")) == 6


async def test_several_different_refusals_in_a_row_are_the_endpoints_fault(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe()
    stage.endpoint.rule = lambda post: says(401) if post.at_seconds < 7200 else None
    ids = await stage.happen_all([Happening(f"con_{n}") for n in range(30)])
    await stage.run(7100, least=5)
    assert not await stage.journal("event.parked")
    assert len(stage.endpoint.posts) < 60
    await stage.run(1000, least=5)
    assert sorted(stage.endpoint.told_ids) == sorted(ids)
    assert await stage.owed(subscriber.id) == []


async def test_three_poisoned_events_at_once_end_parked_and_the_rest_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe(kinds=("message.*",))
    bad = await stage.happen("con_x", "con_y", "con_z")
    stage.endpoint.rule = lambda post: (
        says(400) if post.events[0]["contact_id"] in ("con_x", "con_y", "con_z") else None
    )
    good = []
    for _ in range(30):
        await stage.run(300, least=5)
        good += await stage.happen("con_a")
    await stage.run(300, least=5)
    assert set(stage.endpoint.told_ids) == set(good)
    assert {event.facts["event_id"] for event in await stage.journal("event.parked")} == set(bad)
    assert (await stage.row(subscriber.id)).state == "active"


async def test_410_disables_the_subscriber_until_it_is_resumed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe()
    stage.endpoint.rule = lambda post: says(410)
    ids = await stage.happen("con_a", "con_a")
    await stage.run(600)
    assert len(stage.endpoint.posts) == 1
    row = await stage.row(subscriber.id)
    assert (row.state, row.state_reason) == ("disabled", "http_410")
    (line,) = await stage.journal("subscriber.disabled")
    assert line.actor == "gateway"
    stage.endpoint.rule = lambda post: None
    await stage.store.write(resume, Turn("ten_1", subscriber.id, None, "operator", stage.clock.now()))
    await stage.run(10)
    assert by_contact(stage.endpoint.told)["con_a"] == [0, 1]
    assert stage.endpoint.told_ids[:2] == ids or set(ids) <= set(stage.endpoint.told_ids)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("as_date", [False, True])
async def test_retry_after_is_honoured(tmp_path: Path, status: int, as_date: bool) -> None:
    stage = Stage(tmp_path)
    await stage.subscribe()
    until = stage.clock.now() + timedelta(seconds=900)
    text = format_datetime(until, usegmt=True) if as_date else "900"
    stage.endpoint.rule = lambda post: says(status, retry_after=text) if post.at_seconds < 1 else None
    await stage.happen("con_a", "con_b")
    await stage.run(899)
    assert stage.endpoint.told == []
    first = len(stage.endpoint.posts)
    await stage.run(10)
    assert len(stage.endpoint.told) == 2
    assert len(stage.endpoint.posts) == first + 2


async def test_after_days_of_failure_the_subscriber_is_paused_with_the_reason(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe()
    stage.endpoint.rule = lambda post: Unreachable("connect_failed")
    await stage.happen("con_a")
    await stage.run(3 * 86_400, least=300)
    assert (await stage.row(subscriber.id)).state == "active"
    await stage.run(2 * 86_400 + 900, least=300)
    row = await stage.row(subscriber.id)
    assert (row.state, row.state_reason) == ("paused", "endpoint_failing:connect_failed")
    (line,) = await stage.journal("subscriber.paused")
    assert line.reason == "endpoint_failing:connect_failed"
    count = len(stage.endpoint.posts)
    await stage.run(3600, least=60)
    assert len(stage.endpoint.posts) == count


async def test_one_dead_subscriber_leaves_the_other_alone(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.subscribe("https://dead.example/")
    await stage.subscribe("https://well.example/", kinds=("message.*",))
    stage.endpoint.rule = lambda post: Unreachable("timeout") if "dead" in post.url else None
    for _ in range(20):
        await stage.happen("con_a", "con_b")
        await stage.run(30)
        assert not stage.teller.in_flight
    told = [event for event in stage.endpoint.told if event["type"] == "message.sent"]
    assert len(told) == 40


async def test_progress_waits_for_a_full_disk_and_nothing_is_lost(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe()
    ids = await stage.happen("con_a", "con_b")
    with engines.current.unwritable(stage.store.engine):
        tasks = [asyncio.create_task(stage.settle(3))]
        await asyncio.wait(tasks, timeout=2)
    await stage.settle()
    assert sorted(stage.endpoint.told_ids) == sorted(ids)
    assert (await stage.row(subscriber.id)).position == 3


async def test_a_drain_ends_while_the_store_takes_nothing_and_the_successor_repeats(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe()
    ids = await stage.happen("con_a")
    stage.endpoint.gate = asyncio.Event()
    await stage.settle()
    with engines.current.locked(stage.store.engine):
        stage.endpoint.gate.set()
        await asyncio.wait_for(stage.teller.drain(), 30)
    assert stage.endpoint.told_ids == ids
    assert (await stage.row(subscriber.id)).position == 1
    stage.new_teller()
    await stage.settle()
    assert stage.endpoint.told_ids == [*ids, *ids]
    assert (await stage.row(subscriber.id)).position == 2
