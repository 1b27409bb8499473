"""A subscriber's endpoint: verifies signatures with the foreign `standardwebhooks` package, keeps what it was told."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

Event = dict[str, Any]


def position_of(event_id: str) -> int:
    """The place of an event in the journal."""
    return int(event_id.rsplit("_", 1)[1])


@dataclass
class Sink:
    """What one subscriber heard. `answer` decides the status of each POST from its count; None: 204."""

    name: str
    secret: str = ""
    firsts: dict[str, Event] = field(default_factory=dict)  # by event id, in order of first telling
    posts: int = 0
    refused: int = 0
    again: int = 0  # events told more than once
    bad: list[str] = field(default_factory=list)
    answer: Callable[[int], int] | None = None
    refuse: Callable[[Event], bool] | None = None  # events it can never take: 500
    seconds: float = 0.0  # how long it takes to answer
    poison: str = ""
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    kinds: Counter[str] = field(default_factory=Counter)

    async def post(self, request: web.Request) -> web.Response:
        """Take one POST: an event, or a batch of them."""
        body = await request.read()
        self.posts += 1
        try:
            Webhook(self.secret).verify(body, dict(request.headers))
        except WebhookVerificationError as fault:
            self.bad.append(f"{fault}: {request.headers.get('webhook-id')}")
            return web.Response(status=400)
        if self.seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), self.seconds)
        told = json.loads(body)
        events = told.get("events", [told])
        status = self.answer(self.posts) if self.answer else 204
        if self.refuse is not None and any(self.refuse(event) for event in events):
            status = 500
        if not 200 <= status < 300:
            self.refused += 1
            return web.Response(status=status)
        for event in events:
            if event["id"] in self.firsts:
                self.again += 1
                continue
            self.firsts[event["id"]] = event
            self.kinds[event["type"]] += 1
        return web.Response(status=status)

    def of(self, kind: str) -> list[Event]:
        """Events of a kind, in the order they were first told."""
        return [event for event in self.firsts.values() if event["type"] == kind]


@dataclass
class Sinks:
    """All subscribers of a test behind one port."""

    runner: web.AppRunner
    base: str
    by_name: dict[str, Sink]

    def add(self, name: str) -> Sink:
        """A new endpoint at `/name`."""
        sink = self.by_name[name] = Sink(name)
        return sink

    def url(self, sink: Sink) -> str:
        """Where an endpoint listens."""
        return f"{self.base}/{sink.name}"

    async def close(self) -> None:
        """Stop listening."""
        for sink in self.by_name.values():
            sink.closing.set()
        await self.runner.cleanup()


async def open_sinks(port: int = 0) -> Sinks:
    """Listen for webhooks on loopback."""
    by_name: dict[str, Sink] = {}

    async def post(request: web.Request) -> web.Response:
        return await by_name[request.match_info["name"]].post(request)

    application = web.Application(client_max_size=16 * 1024 * 1024)
    application.router.add_post("/{name}", post)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return Sinks(runner, f"http://127.0.0.1:{runner.addresses[0][1]}", by_name)
