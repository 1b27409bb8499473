"""A subscriber that says yes: answers every POST 204, counts the events in it by kind, and checks the signature of
the first POSTs and of every fiftieth after that (all of them would measure the sink).
"""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections import Counter
from typing import Any

import httptools
import uvloop

from children import obey

_YES = b"HTTP/1.1 204 No Content\r\n\r\n"
_CHECKED_FIRST, _CHECKED_EVERY = 20, 50


class Tally:
    """What came so far."""

    def __init__(self) -> None:
        self._secret = b""
        self._goal = 0
        self._reached = asyncio.Event()
        self.reached_at = 0.0
        self.posts = 0
        self.kinds: Counter[str] = Counter()
        self.refused = 0
        self.checked = 0

    def take(self, headers: dict[bytes, bytes], body: bytes) -> None:
        """Count one POST."""
        self.posts += 1
        if self.posts <= _CHECKED_FIRST or self.posts % _CHECKED_EVERY == 0:
            self.checked += 1
            self.refused += not self._is_signed(headers, body)
        parsed = json.loads(body)
        for event in parsed.get("events", (parsed,)):
            self.kinds[event["type"]] += 1
        if self._goal and min(self.kinds.get(kind, 0) for kind in FOUR) >= self._goal:
            self._goal = 0
            self.reached_at = time.monotonic()
            self._reached.set()

    async def trust(self, secret: str) -> dict[str, Any]:
        """From now on check signatures with this secret (`whsec_…`)."""
        self._secret = base64.b64decode(secret.removeprefix("whsec_"))
        return {}

    async def until(self, each: int, seconds: float) -> dict[str, Any]:
        """Wait until every one of the four kinds was told `each` times; gives when, on the monotonic clock."""
        self._reached.clear()
        self._goal = each
        if min(self.kinds.get(kind, 0) for kind in FOUR) < each:
            try:
                await asyncio.wait_for(self._reached.wait(), seconds)
            except TimeoutError:
                return {"reached_at": None, **await self.counts()}
        else:
            self.reached_at = time.monotonic()
        return {"reached_at": self.reached_at, **await self.counts()}

    async def counts(self) -> dict[str, Any]:
        """Give what came since the start."""
        return {
            "posts": self.posts,
            "kinds": dict(self.kinds),
            "refused": self.refused,
            "checked": self.checked,
        }

    def _is_signed(self, headers: dict[bytes, bytes], body: bytes) -> bool:
        told = b".".join((headers[b"webhook-id"], headers[b"webhook-timestamp"], body))
        expected = base64.b64encode(hmac.digest(self._secret, told, hashlib.sha256))
        return any(
            hmac.compare_digest(each, b"v1," + expected) for each in headers[b"webhook-signature"].split()
        )


FOUR = ("message.accepted", "message.sent", "message.delivered", "message.read")


class Connection(asyncio.Protocol):
    """One connection of the gateway's."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        """Be ready to hear."""
        self._transport = transport

    def data_received(self, chunk: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(chunk)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._headers[name.lower()] = value

    def on_body(self, part: bytes) -> None:
        """Keep a part of the body."""
        self._body.append(part)

    def on_message_complete(self) -> None:
        """Say yes."""
        self._tally.take(self._headers, b"".join(self._body))
        self._headers, self._body = {}, []
        self._transport.write(_YES)


async def main() -> None:
    """Listen and obey until the input ends."""
    tally = Tally()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(tally), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await obey({"port": port}, {"trust": tally.trust, "until": tally.until, "counts": tally.counts})


if __name__ == "__main__":
    uvloop.run(main())
