"""A reader of the event stream who comes back with Last-Event-ID after each kill misses nothing and hears no repeat."""

import asyncio
from pathlib import Path

import aiohttp
from tests.journeys.house import House, open_house
from tests.processes.harness import until


async def _follow(house: House, heard: list[str]) -> None:
    """Read for ever, reconnecting as a browser would."""
    while True:
        headers = {"Last-Event-ID": heard[-1]} if heard else {}
        query = {} if heard else {"after": (await house.api.get("/v1/events", limit=1))["items"][0]["id"]}
        try:
            asked = house.api.http.get(
                house.api.base + "/v1/events/stream", headers=headers, params=query,
                timeout=aiohttp.ClientTimeout(total=None, sock_read=30),
            )  # fmt: skip
            async with asked as answer:
                if answer.status == 200:
                    name = ""
                    async for line in answer.content:
                        if line.startswith(b"id: "):
                            name = line[4:].strip().decode()
                        elif line.startswith(b"data: ") and name:
                            heard.append(name)
                            name = ""
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.05)


async def test_a_stream_followed_over_kills_has_no_gap_and_no_repeat(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        heard: list[str] = []
        following = asyncio.create_task(_follow(house, heard))
        try:
            for _ in range(3):
                for _ in range(10):
                    await house.send(house.person())
                await asyncio.sleep(0.15)
                await house.gateway.kill()
                await house.gateway.start()
            last = await house.send(house.person())
            await house.status(last, "read")
            pulled = [event["id"] for event in await house.api.events()][1:]
            await until(lambda: _heard_all(heard, pulled), 15, "the stream has told what can be pulled")
            assert heard[: len(pulled)] == pulled
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _heard_all(heard: list[str], pulled: list[str]) -> bool:
    return len(heard) >= len(pulled)
