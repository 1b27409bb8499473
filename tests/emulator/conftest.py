"""The emulator on real sockets, a receiver that records webhooks, and a client with the demo's token."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from waypost.emulator import DEMO, Emulator, VirtualClock
from waypost.emulator.ports import fresh_dice


@dataclass
class Inbox:
    """A webhook receiver: what it got, and how it answers."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    challenges: int = 0
    status: int = 200
    verify_token: str = DEMO.verify_token

    def values(self, name: str) -> list[dict[str, Any]]:
        """Every line of a kind (messages, statuses) in the order it came."""
        found: list[dict[str, Any]] = []
        for body in self.bodies:
            for entry in json.loads(body)["entry"]:
                for change in entry["changes"]:
                    found.extend(change["value"].get(name, []))
        return found

    def fields(self) -> list[str]:
        """The field of every change in the order it came."""
        bodies = (json.loads(body) for body in self.bodies)
        return [c["field"] for body in bodies for entry in body["entry"] for c in entry["changes"]]

    async def post(self, request: web.Request) -> web.Response:
        """Take a webhook."""
        body = await request.read()
        if self.status == 200:
            self.bodies.append(body)
            self.signatures.append(request.headers["X-Hub-Signature-256"])
        return web.Response(status=self.status)

    async def get(self, request: web.Request) -> web.Response:
        """Take the handshake."""
        if request.query.get("hub.verify_token") != self.verify_token:
            return web.Response(status=403)
        self.challenges += 1
        return web.Response(text=request.query["hub.challenge"])


@dataclass
class Bench:
    """What a test holds: the emulator, its clock, the receiver and the client."""

    emulator: Emulator
    clock: VirtualClock
    inbox: Inbox
    http: aiohttp.ClientSession
    base: str

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """One call with the demo's token: status and JSON."""
        async with self.http.request(method, self.base + path, **options) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text[:1] in "{[" else text

    async def send(self, body: dict[str, Any], prefix: str = "/v26.0") -> tuple[int, Any]:
        """POST a message from the demo's number."""
        whole = {"messaging_product": "whatsapp", "to": f"+{DEMO.phone_digits}", **body}
        return await self.call("POST", f"{prefix}/{DEMO.number_id}/messages", json=whole)

    async def text(self, words: str = "hello", **more: Any) -> str:
        """Send a text; gives the wamid."""
        status, answer = await self.send({"type": "text", "text": {"body": words}, **more})
        assert status == 200, answer
        return str(answer["messages"][0]["id"])

    async def fault(self, **settings: Any) -> str:
        """Put a fault in force; gives its id."""
        status, answer = await self.call("POST", "/_emulator/faults", json=settings)
        assert status == 200, answer
        return str(answer["id"])

    async def say(self, body: dict[str, Any], key: str = DEMO.phone_digits) -> tuple[int, Any]:
        """Let a phone write."""
        return await self.call("POST", f"/_emulator/phones/{key}/messages", json=body)

    async def behave(self, key: str = DEMO.phone_digits, **settings: Any) -> None:
        """Set how a phone behaves."""
        status, answer = await self.call("POST", f"/_emulator/phones/{key}/behaviour", json=settings)
        assert status == 200, answer

    async def pass_time(self, seconds: float = 5.0) -> None:
        """Let the virtual clock run and every webhook be told."""
        await self.clock.advance(seconds)
        await self.emulator.settle()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """An emulator with a virtual clock, seeded, on loopback."""
    inbox = Inbox()
    receiver = web.Application(client_max_size=8 * 1024 * 1024)
    receiver.router.add_post("/hook", inbox.post)
    receiver.router.add_get("/hook", inbox.get)
    runner = web.AppRunner(receiver)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    inbox.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    clock = VirtualClock()
    emulator = Emulator(clock, fresh_dice(7), callback_url=inbox.url)
    base = await emulator.start()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {DEMO.access_token}"}) as http:
        yield Bench(emulator, clock, inbox, http, base)
    await emulator.stop()
    await runner.cleanup()
