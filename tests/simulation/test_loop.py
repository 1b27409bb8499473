"""The seeded loop: virtual time, actors that pause and die, the same order for the same seed."""

import asyncio

import pytest

from waypost.simulation.clocks import stream
from waypost.simulation.loop import SeededLoop


def _loop(seed: int = 1) -> SeededLoop:
    return SeededLoop(stream("test", seed))  # type: ignore[abstract]


async def _say(loop: SeededLoop, said: list[str], word: str, seconds: float) -> None:
    for turn in range(3):
        await loop.sleep(seconds)
        said.append(f"{word}{turn}@{loop.time():g}")


def test_time_passes_only_when_nothing_is_left_to_do() -> None:
    loop, said = _loop(), []
    loop.spawn(loop.world, _say(loop, said, "a", 10.0))
    loop.run_until(25.0)
    assert said == ["a0@10", "a1@20"]
    assert loop.time() == 25.0


def test_a_paused_actor_does_nothing_until_it_goes_on() -> None:
    loop, said = _loop(), []
    actor = loop.new_actor("p")
    loop.spawn(actor, _say(loop, said, "p", 1.0))
    loop.run_until(1.5)
    actor.is_paused = True
    loop.run_until(100.0)
    assert said == ["p0@1"]
    actor.is_paused = False
    loop.run_until(102.0)
    assert said == ["p0@1", "p1@100", "p2@101"]


def test_a_dead_actor_does_nothing_any_more_and_nobody_hears_of_its_tasks() -> None:
    loop, said = _loop(), []
    actor = loop.new_actor("p")
    loop.spawn(actor, _say(loop, said, "p", 1.0))
    loop.run_until(1.5)
    loop.kill(actor)
    loop.run_until(100.0)
    loop.close()
    assert said == ["p0@1"]
    assert loop.faults == []


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_actors_take_turns_as_the_seed_says_each_in_its_own_order(seed: int) -> None:
    orders = []
    for _ in range(2):
        loop, said = _loop(seed), list[str]()
        for name in "abc":
            loop.spawn(loop.new_actor(name), _say(loop, said, name, 1.0))
        loop.run_until(10.0)
        orders.append(said)
        for name in "abc":
            own = [word for word in said if word[0] == name]
            assert own == sorted(own)
    assert orders[0] == orders[1]


def test_what_nobody_catches_is_kept() -> None:
    loop = _loop()
    loop.call_soon(lambda: [][0])
    loop.run_until(1.0)
    assert len(loop.faults) == 1
    assert "IndexError" in loop.faults[0]


def test_waiting_with_a_timeout_works_as_on_asyncios_own_loop() -> None:
    loop, said = _loop(), list[str]()

    async def wait() -> None:
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 5.0)
        except TimeoutError:
            said.append(f"{loop.time():g}")

    loop.spawn(loop.world, wait())
    loop.run_until(10.0)
    assert said == ["5"]
