"""Load as a careful caller makes it: an Idempotency-Key per message, asked again with the same key until a 202 came."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from tests.processes.harness import Api

CLASSES = ("otp", "reply", "utility", "marketing")
_LOST = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass
class Load:
    """Sends from `numbers` to `contacts`, evenly over the classes; keeps what each key was answered."""

    api: Api
    numbers: list[str]
    contacts: list[str]
    chance: random.Random
    per_second: float = 100.0
    slow_policies: bool = False
    accepted: dict[str, str] = field(default_factory=dict)  # Idempotency-Key → message id
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    contradictions: list[str] = field(default_factory=list)
    _stopping: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Send until stopped, whatever happens to the gateway."""
        while not self._stopping:
            if len(self._tasks) < 200:
                task = asyncio.create_task(self._insist(f"key-{len(self.bodies)}"))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(1 / self.per_second)

    async def stop(self) -> None:
        """Start nothing more, and wait until every key has its 202."""
        self._stopping = True
        if self._tasks:
            await asyncio.wait_for(asyncio.gather(*list(self._tasks)), 60)

    def draft(self) -> dict[str, Any]:
        """The next message."""
        turn = len(self.bodies)
        body: dict[str, Any] = {
            "from": self.chance.choice(self.numbers),
            "to": self.chance.choice(self.contacts),
            "class": CLASSES[turn % 4],
            "type": "text",
            "text": {"body": f"turn {turn}"},
        }
        if self.slow_policies and turn % 8 in (1, 2, 3):
            body["on_unknown"] = ("resend", "fail", "resend")[turn % 8 - 1]
        if turn % 11 == 0:
            body["type"] = "template"
            del body["text"], body["class"]
            body["template"] = {
                "name": "order_update",
                "language": {"code": "en_US"},
                "components": [
                    {"type": "body", "parameters": [{"type": "text", "text": "Ada"}, {"type": "text", "text": "A-1"}]},
                    {"type": "button", "sub_type": "url", "index": "0",
                     "parameters": [{"type": "text", "text": "A-1"}]},
                ],
            }  # fmt: skip
        return body

    async def _insist(self, key: str) -> None:
        body = self.bodies[key] = self.draft()
        while True:
            if await self.ask(key, body):
                return
            await asyncio.sleep(0.05 + 0.1 * self.chance.random())

    async def ask(self, key: str, body: dict[str, Any]) -> bool:
        """Ask once; True when the message is known to be taken."""
        try:
            reply = await self.api.call("POST", "/v1/messages", body, key=key)
        except _LOST as fault:
            self.answers[f"lost: {type(fault).__name__}"] += 1
            return False
        self.answers[str(reply.status)] += 1
        if reply.status != 202:
            self.answers[str(reply.body.get("code"))] += 1
            if reply.status not in (409, 429, 503):
                self.contradictions.append(f"{key}: HTTP {reply.status}: {reply.body}")
            return False
        known = self.accepted.setdefault(key, reply.body["id"])
        if known != reply.body["id"]:
            self.contradictions.append(f"{key}: {known}, then {reply.body['id']}")
        return True
