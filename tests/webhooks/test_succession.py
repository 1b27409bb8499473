"""A teller that was succeeded moves no mark and clears no row; the next one goes on from the store."""

import asyncio
from datetime import timedelta

from tests.webhooks.stage import Stage

from waypost.store import processes
from waypost.store.processes import Beat, Fence


async def take_over(stage, owner):
    """Another process takes the role after the old one's lease."""
    now = stage.clock.advance(60)
    item = Beat(owner, now, now + timedelta(seconds=30), 1, ("teller",), False, False, "1")
    held = await stage.store.write(processes.beat, item)
    return Fence("teller", owner, held.roles["teller"])


async def test_a_succeeded_teller_moves_no_mark_and_begins_anew(tmp_path):
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe()
    old = stage.teller
    old.begin(await take_over(stage, "a"))
    stage.endpoint.gate = asyncio.Event()
    ids = await stage.happen("con_1")
    await stage.settle()
    assert [post.ids for post in stage.endpoint.posts] == [ids]

    # Paused with the POST on the wire; the successor is still refused when the old one hears yes.
    new = stage.new_teller()
    new.begin(await take_over(stage, "b"))
    mark = (await stage.row(subscriber.id)).position
    stage.endpoint.gate.set()
    stage.teller = old
    await stage.settle()
    assert (await stage.row(subscriber.id)).position == mark
    assert old.in_flight == 0

    stage.teller = new
    await stage.run(6)
    assert stage.endpoint.told_ids.count(ids[0]) >= 2
    assert (await stage.row(subscriber.id)).position > mark


async def test_progress_under_the_present_epoch_is_written(tmp_path):
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe()
    stage.teller.begin(await take_over(stage, "a"))
    before = (await stage.row(subscriber.id)).position
    await stage.happen("con_1", "con_2")
    await stage.run(6)
    assert (await stage.row(subscriber.id)).position > before
    assert len(stage.endpoint.told_ids) == 2


async def test_at_rest_nothing_is_remembered_and_the_next_teller_repeats_nothing_that_was_answered(tmp_path):
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe()
    first = stage.teller
    first.begin(await take_over(stage, "a"))
    ids = await stage.happen("con_1", "con_2")
    await stage.settle()
    await first.rest()
    stage.new_teller().begin(await take_over(stage, "b"))
    await stage.run(6)
    assert stage.endpoint.told_ids == ids
    assert await stage.owed(subscriber.id) == []


async def test_a_teller_that_gets_its_role_back_tells_what_came_meanwhile(tmp_path):
    stage = Stage(tmp_path)
    await stage.subscribe()
    stage.teller.begin(await take_over(stage, "a"))
    await stage.settle()
    await stage.teller.rest()
    ids = await stage.happen("con_1")
    await stage.settle()
    assert stage.endpoint.posts == []
    stage.teller.begin(await take_over(stage, "a"))
    await stage.settle()
    assert stage.endpoint.told_ids == ids
