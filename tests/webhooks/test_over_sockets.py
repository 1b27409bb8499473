"""The whole way over real sockets: journal, teller, guard, HTTP, and a subscriber with the usual library."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook
from tests.support import SeededRandomness
from tests.webhooks.stage import WHSEC, Happening, Stage, by_contact

from waypost.app.loops import Loop
from waypost.app.ports import SystemClock
from waypost.transports.egress import Egress
from waypost.webhooks.teller import Teller


class Sink:
    """A customer's endpoint on the usual library; refuses what is not signed, and fails while `broken`."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.forged = 0
        self.broken = False
        self.refused = 0
        self.url = ""
        self.moved = asyncio.Event()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.moved.set()
        if self.broken:
            self.refused += 1
            return web.Response(status=500)
        try:
            payload = Webhook(WHSEC).verify(body, dict(request.headers))
        except Exception:
            self.forged += 1
            return web.Response(status=400)
        self.events += payload.get("events", [payload])
        return web.Response(status=204)


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    made = Sink()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


async def until(sink: Sink, holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            sink.moved.clear()
            await sink.moved.wait()


@pytest.mark.parametrize("batch", [1, 25])
async def test_signed_events_arrive_in_order_and_survive_a_failing_endpoint(
    tmp_path: Path, sink: Sink, batch: int
) -> None:
    stage = Stage(tmp_path)
    clock = stage.clock = SystemClock()  # type: ignore[assignment]
    await stage.subscribe(sink.url, kinds=("message.*",), batch_events_max=batch)
    egress = Egress(True)
    teller = Teller(stage.store, clock, SeededRandomness(5), egress.post, stage.config)
    loop = Loop("teller", teller.step, teller.woken)
    running = asyncio.create_task(loop.run())
    ids = await stage.happen_all([Happening(f"con_{n % 9}", content=b'{"type":"text"}') for n in range(200)])
    await until(sink, lambda: len(sink.events) == 200)
    sink.broken = True
    ids += await stage.happen_all([Happening(f"con_{n % 9}") for n in range(50)])
    await until(sink, lambda: sink.refused > 0)
    assert len(sink.events) == 200
    sink.broken = False
    await until(sink, lambda: len(sink.events) == 250)
    loop.stop()
    await running
    await teller.drain()
    await egress.close()
    assert sink.forged == 0
    assert sorted(event["id"] for event in sink.events) == sorted(ids)
    for numbers in by_contact(sink.events).values():
        assert numbers == sorted(numbers)


async def test_the_guard_stands_between_the_teller_and_an_inner_address(tmp_path: Path, sink: Sink) -> None:
    stage = Stage(tmp_path)
    subscriber = await stage.subscribe(sink.url)
    egress = Egress(False)
    stage.teller = Teller(stage.store, stage.clock, SeededRandomness(5), egress.post, stage.config)
    await stage.happen("con_a")
    await stage.settle()
    await egress.close()
    assert sink.events == []
    assert (await stage.row(subscriber.id)).failures == 1
