"""Telling subscribers on a good day: in order, signed, filtered, batched, and never before the answer is in."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from tests import engines
from tests.webhooks.stage import WHSEC, Happening, Stage, by_contact, says

from waypost.store.subscriber_progress import standing
from waypost.store.subscribers import Turn, pause, resume
from waypost.transports.egress import Unreachable


async def test_an_event_is_told_once_and_the_mark_follows(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe()
    ids = await stage.happen("con_a", "con_b", "con_a")
    await stage.settle()
    assert sorted(stage.endpoint.told_ids) == sorted(ids)
    assert (await stage.row(subscriber.id)).position == 4
    assert await stage.owed(subscriber.id) == []
    await stage.run(60)
    assert len(stage.endpoint.posts) == 3


async def test_a_new_subscriber_is_told_from_now_on_unless_it_asks_for_the_beginning(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    old = await stage.happen("con_a", "con_b")
    await stage.subscribe()
    await stage.subscribe("https://all.example/", from_beginning=True)
    new = await stage.happen("con_c")
    await stage.settle()
    told = {
        url: [i for p in stage.endpoint.posts if p.url == url for i in p.ids]
        for url in ("https://sink.example/hook", "https://all.example/")
    }
    assert told["https://sink.example/hook"][-1] == new[0]
    assert not set(old) & set(told["https://sink.example/hook"])
    assert set(old) | set(new) <= set(told["https://all.example/"])


@pytest.mark.parametrize(("batch", "in_flight"), [(1, 8), (1, 1), (10, 8), (100, 3)])
async def test_each_contact_hears_its_events_in_order(tmp_path: Path, batch: int, in_flight: int) -> None:
    stage = Stage(tmp_path, per_subscriber_in_flight_max=in_flight)
    subscriber = await stage.subscribe(batch_events_max=batch)
    ids = await stage.happen_all([Happening(f"con_{n * n % 7}") for n in range(300)])
    await stage.settle(400)
    assert sorted(stage.endpoint.told_ids) == sorted(ids)
    for numbers in by_contact(stage.endpoint.told).values():
        assert numbers == sorted(numbers)
    assert max(len(post.events) for post in stage.endpoint.posts) <= batch
    assert stage.endpoint.most_under_way <= in_flight
    assert (await stage.row(subscriber.id)).position == 301
    assert await stage.owed(subscriber.id) == []


async def test_events_of_one_contact_are_never_under_way_together(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.subscribe()
    await stage.happen("con_a", "con_a", "con_b")
    stage.endpoint.gate = asyncio.Event()
    await stage.settle()
    assert [post.events[0]["contact_id"] for post in stage.endpoint.posts] == ["con_a", "con_b"]
    stage.endpoint.gate.set()
    await stage.settle()
    assert len(stage.endpoint.told) == 3


async def test_nothing_is_noted_as_told_before_the_answer(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe()
    stage.endpoint.gate = asyncio.Event()
    ids = await stage.happen("con_a")
    await stage.run(30)
    assert (await stage.row(subscriber.id)).position == 1
    # The process dies here. Its successor knows nothing of the POST and sends it again, under the same id.
    abandoned = stage.teller
    stage.new_teller()
    await stage.settle()
    assert [post.headers["webhook-id"] for post in stage.endpoint.posts] == [ids[0], ids[0]]
    stage.endpoint.gate.set()
    await stage.settle()
    assert (await stage.row(subscriber.id)).position == 2
    await abandoned.drain()


async def test_what_was_told_out_of_turn_is_not_told_again_after_a_crash(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe()
    slow = asyncio.Event()
    plain = stage.endpoint

    async def post(url: str, headers: Any, body: bytes, seconds: float) -> Any:
        if b"con_slow" in body:
            await slow.wait()
        return await plain(url, headers, body, seconds)

    stage.teller._post = post
    ids = await stage.happen("con_slow", "con_a", "con_b")
    await stage.settle()
    assert sorted(plain.told_ids) == sorted(ids[1:])
    assert [(position, state) for position, state, _ in await stage.owed(subscriber.id)] == [
        (3, "told"),
        (4, "told"),
    ]
    abandoned = stage.teller
    stage.new_teller()
    await stage.settle()
    assert plain.told_ids == [*ids[1:], ids[0]]
    assert (await stage.row(subscriber.id)).position == 4
    assert await stage.owed(subscriber.id) == []
    slow.set()
    await abandoned.drain()


async def test_a_filter_lets_through_its_kinds_and_the_mark_passes_the_rest(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe(kinds=("message.*", "inbound.received"))
    await stage.happen("con_a", kind="media.wanted")
    wanted = [
        *(await stage.happen("con_a", kind="message.sent")),
        *(await stage.happen("con_a", kind="inbound.received")),
    ]
    await stage.happen("con_a", "con_b", kind="inbound.unsupported")
    await stage.settle()
    assert stage.endpoint.told_ids == wanted
    await stage.run(30)
    assert (await stage.row(subscriber.id)).position == 6


async def test_no_tenant_hears_of_another(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.subscribe()
    await stage.subscribe("https://two.example/", tenant_id="ten_2")
    mine = await stage.happen("con_a", content=b'{"type":"text"}')
    theirs = await stage.happen("con_z", tenant_id="ten_2", content=b'{"type":"image"}')
    await stage.settle()
    told = {post.url: post.ids for post in stage.endpoint.posts}
    assert told == {"https://sink.example/hook": mine, "https://two.example/": theirs}


async def test_every_webhook_verifies_with_a_foreign_library(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.subscribe()
    await stage.subscribe("https://batch.example/", batch_events_max=50)
    await stage.happen("con_a", content='{"type":"text","text":{"body":"grüß dich"}}'.encode())
    await stage.settle()
    # The library judges the time by the wall clock, which is not ours here: so the signature alone is compared.
    for post in stage.endpoint.posts:
        expected = Webhook(WHSEC).sign(
            post.headers["webhook-id"], stage.clock.at.replace(microsecond=0), post.body.decode()
        )
        assert post.headers["webhook-signature"] == expected
    contents = [event["data"]["content"] for event in stage.endpoint.told if event["type"] == "message.sent"]
    assert contents == [{"type": "text", "text": {"body": "grüß dich"}}] * 2


async def test_removed_content_is_told_as_erased(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.subscribe()
    stage.endpoint.rule = lambda post: Unreachable("connect_failed")
    await stage.happen("con_a", content=b'{"type":"text"}')
    await stage.settle()
    engines.current.run(stage.store.engine, "UPDATE contents SET body = NULL, erased_at = 1")
    stage.endpoint.rule = lambda post: None
    await stage.run(10)
    assert stage.endpoint.told[0]["data"] == {"n": 0, "erased": True}


async def test_a_pause_holds_everything_and_resuming_loses_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe(kinds=("message.*",))
    await stage.settle()
    turn = Turn("ten_1", subscriber.id, "maintenance", "operator", stage.clock.now())
    await stage.store.write(pause, turn)
    ids = await stage.happen("con_a", "con_b", "con_a")
    await stage.run(600)
    assert stage.endpoint.posts == []
    assert await stage.store.read(standing, subscriber.id) is None
    await stage.store.write(resume, turn)
    await stage.run(10)
    assert sorted(stage.endpoint.told_ids) == sorted(ids)


async def test_a_far_backlog_is_caught_up_in_order(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.happen_all([Happening(f"con_{n % 11}", content=b'{"n":1}') for n in range(9000)])
    subscriber = await stage.subscribe(from_beginning=True, batch_events_max=100, kinds=("message.*",))
    await stage.settle(200)
    assert [len(numbers) for numbers in by_contact(stage.endpoint.told).values()] == [819] * 2 + [818] * 9
    for numbers in by_contact(stage.endpoint.told).values():
        assert numbers == sorted(numbers)
    await stage.run(10)
    assert (await stage.row(subscriber.id)).position == 9001
    assert all("content" in event["data"] for event in stage.endpoint.told)


async def test_a_slow_subscriber_slows_nobody_else(tmp_path: Path) -> None:
    stage = Stage(tmp_path, in_flight_max=4, per_subscriber_in_flight_max=4)
    never = asyncio.Event()
    plain = stage.endpoint
    await stage.subscribe("https://slow.example/")
    await stage.subscribe("https://quick.example/")

    async def post(url: str, headers: Any, body: bytes, seconds: float) -> Any:
        if "slow" in url:
            await never.wait()
            return says(200)
        return await plain(url, headers, body, seconds)

    stage.teller._post = post
    await stage.happen_all([Happening(f"con_{n}") for n in range(40)])
    await stage.settle(100)
    await stage.happen_all([Happening(f"con_{n}") for n in range(40)])
    await stage.settle(100)
    assert len([i for i in plain.told if i["type"] == "message.sent"]) == 80
    never.set()
    await stage.teller.drain()
