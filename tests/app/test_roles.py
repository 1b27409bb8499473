"""A loop with a role steps while the role is held, starts anew under a new epoch, and rests before it is given."""

import asyncio

from tests.support import FakeClock, new_store

from waypost.app.loops import Loop
from waypost.outbox.holding import Holding
from waypost.store.processes import Fence

NAMES = ("reader", "teller")


def new_holding(store, clock, owner):
    return Holding(
        store, clock, owner=owner, alone=False, lease_seconds=30.0, call_seconds=20.0, roles=NAMES
    )  # fmt: skip


class Work:
    """What a loop does, written down."""

    def __init__(self, holding, name):
        self.story = []
        self.loop = Loop(
            name,
            self.step,
            role=holding.role(name),
            begin=lambda fence: self.story.append(fence),
            rest=self.rest,
        )

    async def step(self):
        self.story.append("step")
        return 60.0

    async def rest(self):
        self.story.append("rest")


async def turn(*works):
    for work in works:
        work.loop.woken.set()
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_role_moves_to_a_second_process_after_its_work_came_to_rest(tmp_path):
    store, clock = new_store(tmp_path), FakeClock()
    a, b = new_holding(store, clock, "a"), new_holding(store, clock, "b")
    first, second = Work(a, "teller"), Work(b, "teller")
    tasks = [asyncio.create_task(each.loop.run()) for each in (first, second)]
    await turn(first, second)
    assert (first.story, second.story) == ([], [])
    await a.keep({})
    await turn(first, second)
    assert (first.story, second.story) == ([Fence("teller", "a", 1), "step"], [])
    await b.keep({})
    await a.keep({})  # it is to be given, and still in use
    assert a.role("teller").fence is None
    await b.keep({})
    assert b.role("teller").fence is None
    await turn(first, second)
    await a.keep({})
    await b.keep({})
    await turn(first, second)
    assert first.story[2:] == ["rest"]
    assert second.story == [Fence("teller", "b", 2), "step"]
    for each in (first, second):
        each.loop.stop()
    await asyncio.gather(*tasks)
    assert second.story[-1] == "rest"


async def test_a_paused_process_does_not_step_until_a_beat_has_told_it_what_it_holds(tmp_path):
    store, clock = new_store(tmp_path), FakeClock()
    a, b = new_holding(store, clock, "a"), new_holding(store, clock, "b")
    work = Work(a, "teller")
    task = asyncio.create_task(work.loop.run())
    await a.keep({})
    await turn(work)
    clock.advance(31)
    await b.keep({})
    await turn(work)
    assert work.story == [Fence("teller", "a", 1), "step", "rest"]
    await a.keep({})
    await turn(work)
    assert a.role("teller").fence is None
    assert work.story.count("step") == 1
    work.loop.stop()
    await task


async def test_a_step_that_fails_keeps_its_role(tmp_path):
    store, clock = new_store(tmp_path), FakeClock()
    holding = new_holding(store, clock, "a")
    await holding.keep({})
    tries = []

    async def step():
        tries.append(holding.role("reader").fence)
        raise ValueError

    loop = Loop("reader", step, role=holding.role("reader"))
    task = asyncio.create_task(loop.run())
    for _ in range(10):
        await asyncio.sleep(0)
    assert (tries, loop.fault) == ([Fence("reader", "a", 1)], "ValueError")
    assert holding.role("reader").is_in_use
    loop.stop()
    await task
    assert not holding.role("reader").is_in_use
