"""Simulated subscribers: they take events, refuse them, fail, are slow, or take them and lose the answer.

What one takes is checked at once: signed, and the first telling of each event in the order of its conversation.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import msgspec

from waypost.simulation.loop import SeededLoop, end
from waypost.simulation.plan import Trouble
from waypost.transports.egress import Reply, Unreachable

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_REPLY = {code: Reply(code, {}, b"") for code in (200, 400, 503)}


class Endpoint:
    """One subscriber. `told(positions)` says what it took, as it takes it."""

    def __init__(
        self,
        loop: SeededLoop,
        chance: Random,
        secret: bytes,
        took: Callable[[list[int]], None],
        broken: Callable[[str, str], None],
    ) -> None:
        self._loop, self._chance, self._secret = loop, chance, secret
        self._took, self._broken = took, broken
        self.trouble: Trouble | None = None

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> Reply | Unreachable:
        """Answer one POST."""
        draw, trouble = self._chance.random, self.trouble
        answered = self._loop.create_future()
        takes: Callable[..., None] | None = self._take
        seconds, answer = draw() * 0.2, _REPLY[200] if trouble != "endpoint_lies" else Unreachable("timeout")
        if trouble == "endpoint_down":
            takes, answer = None, _REPLY[503] if draw() < 0.5 else Unreachable("connect_failed")
        elif trouble == "endpoint_refuses" and draw() < 0.6:
            takes, answer = None, _REPLY[400]
        elif trouble == "endpoint_slow":
            seconds = draw() * timeout_seconds * 1.5
            if seconds >= timeout_seconds:
                # It will still take it, after nobody waits any more.
                answer = Unreachable("timeout")
        world = self._loop.world.context
        if takes is not None:
            self._loop.call_later(seconds, takes, dict(headers), body, context=world)
        self._loop.call_later(min(seconds, timeout_seconds), end, answered, context=world)
        await answered
        return answer

    def _take(self, headers: Mapping[str, str], body: bytes) -> None:
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        signature = base64.b64encode(hmac.digest(self._secret, content, hashlib.sha256)).decode()
        if f"v1,{signature}" not in headers["webhook-signature"].split(" "):
            self._broken("every_webhook_is_signed", headers["webhook-id"])
        told = _decode(body)
        events = told.get("events", [told])
        self._took([int(event["id"].rsplit("_", 1)[1]) for event in events])
