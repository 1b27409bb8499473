"""A provider that is never the bottleneck: answers sends like the Cloud API, and posts signed callbacks.

With `tell` on, every message it took is told as sent, delivered and read, one after the other; `post_receipts` posts
what it took so far in callbacks of up to 1,000 statuses, as fast as they are answered.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import os
import random
import time
from collections import defaultdict, deque
from typing import Any, NamedTuple

import httptools
import uvloop

from children import obey

_STATUSES_MAX = 1_000  # Meta: up to 1,000 updates in one callback
_FLUSH_SECONDS = 0.02
_ECHO = b'"biz_opaque_callback_data":"'
_TO = b'"to":"'
_ANSWER = (
    b'{"messaging_product":"whatsapp","contacts":[{"input":"%b","wa_id":"%b"}],"messages":[{"id":"%b"}]}'
)
_PRICING = b',"pricing":{"billable":true,"pricing_model":"PMP","category":"utility","type":"regular"}'


class Taken(NamedTuple):
    """A message it took."""

    number: bytes
    wamid: bytes
    echo: bytes
    to: bytes


class Provider:
    """What it took, and its callbacks."""

    def __init__(self, secret: bytes, waba: bytes) -> None:
        self._secret, self._waba = secret, waba
        self._random = random.Random(os.getpid())
        self.taken = 0
        self._kept: deque[Taken] = deque()
        self._telling: Caller | None = None
        self._stages: tuple[list[Taken], list[Taken], list[Taken]] = ([], [], [])
        self._flusher: asyncio.Task[None] | None = None

    def take(self, path: bytes, body: bytes) -> bytes:
        """Take one message and give the answer's body."""
        echo = _between(body, _ECHO)
        to = _between(body, _TO)
        wamid = b"wamid." + base64.b64encode(self._random.randbytes(39))
        self.taken += 1
        message = Taken(path.split(b"/")[2], wamid, echo, to)
        if self._telling is not None:
            self._stages[0].append(message)
        else:
            self._kept.append(message)
        return _ANSWER % (to, to[1:], wamid)

    async def counts(self) -> dict[str, Any]:
        """Give how many messages it took since the start."""
        return {"taken": self.taken}

    async def forget(self) -> dict[str, Any]:
        """Drop what is kept for `post_receipts`."""
        self._kept.clear()
        return {}

    async def tell(self, port: int, path: str) -> dict[str, Any]:
        """From now on tell every message's three receipts to this address."""
        self._telling = Caller(port, path, self._secret)
        await self._telling.open(4)
        self._flusher = asyncio.create_task(self._flush())
        return {}

    async def _flush(self) -> None:
        assert self._telling is not None
        fresh, sent, delivered = self._stages
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            batch: list[tuple[bytes, Taken]] = []
            # The oldest first; a message passes one stage a flush, so its receipts never share a callback.
            for status, source, following in (
                (b"read", delivered, None),
                (b"delivered", sent, delivered),
                (b"sent", fresh, sent),
            ):
                batch += [(status, each) for each in source]
                if following is not None:
                    following += source
                source.clear()
            await self._telling.post(self._bodies(batch))

    async def post_receipts(self, port: int, path: str, statuses_max: int) -> dict[str, Any]:
        """Tell what is kept as delivered, then as read; gives how many statuses were answered 200, in which time."""
        caller = Caller(port, path, self._secret)
        await caller.open(4)
        messages = [self._kept.popleft() for _ in range(min(len(self._kept), statuses_max // 2))]
        bodies = self._bodies([(b"delivered", each) for each in messages])
        bodies += self._bodies([(b"read", each) for each in messages])
        begun_at = time.monotonic()
        await caller.post(bodies)
        seconds = time.monotonic() - begun_at
        caller.close()
        return {
            "statuses": 2 * len(messages),
            "callbacks": len(bodies),
            "bytes": sum(map(len, bodies)),
            "begun_at": begun_at,
            "seconds": seconds,
        }

    def _bodies(self, batch: list[tuple[bytes, Taken]]) -> list[bytes]:
        at = b"%d" % time.time()
        return [
            self._body(batch[start : start + _STATUSES_MAX], at)
            for start in range(0, len(batch), _STATUSES_MAX)
        ]

    def _body(self, batch: list[tuple[bytes, Taken]], at: bytes) -> bytes:
        by_number: dict[bytes, list[bytes]] = defaultdict(list)
        for status, (number, wamid, echo, to) in batch:
            by_number[number].append(
                b'{"id":"%b","status":"%b","timestamp":"%b","recipient_id":"%b","biz_opaque_callback_data":"%b"%b}'
                % (wamid, status, at, to[1:], echo, b"" if status == b"read" else _PRICING)
            )
        changes = [
            b'{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"49301",'
            b'"phone_number_id":"%b"},"statuses":[%b]}}' % (number, b",".join(statuses))
            for number, statuses in by_number.items()
        ]
        return b'{"object":"whatsapp_business_account","entry":[{"id":"%b","changes":[%b]}]}' % (
            self._waba,
            b",".join(changes),
        )


def _between(body: bytes, mark: bytes) -> bytes:
    start = body.index(mark) + len(mark)
    return body[start : body.index(b'"', start)]


class Caller:
    """Posts signed callbacks over a few connections; a callback not answered 200 is posted again, as Meta does."""

    def __init__(self, port: int, path: str, secret: bytes) -> None:
        self._port, self._path, self._secret = port, path.encode(), secret
        self._idle: asyncio.Queue[_Outgoing] = asyncio.Queue()
        self.refused = 0

    async def open(self, connections: int) -> None:
        """Connect."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, connection = await loop.create_connection(_Outgoing, "127.0.0.1", self._port)
            self._idle.put_nowait(connection)

    def close(self) -> None:
        """Hang up."""
        while not self._idle.empty():
            self._idle.get_nowait().close()

    async def post(self, bodies: list[bytes]) -> None:
        """Post every body until it was answered 200."""
        await asyncio.gather(*(self._post(body) for body in bodies))

    async def _post(self, body: bytes) -> None:
        signature = hmac.new(self._secret, body, hashlib.sha256).hexdigest().encode()
        request = (
            b"POST %b HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            b"X-Hub-Signature-256: sha256=%b\r\nContent-Length: %d\r\n\r\n%b"
            % (self._path, signature, len(body), body)
        )
        while True:
            connection = await self._idle.get()
            status = await connection.ask(request)
            self._idle.put_nowait(connection)
            if status == 200:
                return
            self.refused += 1
            if self.refused > 100:
                raise RuntimeError(f"callbacks are answered {status}")
            await asyncio.sleep(0.05)


class _Outgoing(asyncio.Protocol):
    """A connection to the gateway's callback address."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._transport: Any = None
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the gateway hung up"))

    def ask(self, request: bytes) -> "asyncio.Future[int]":
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        self._transport.close()

    def data_received(self, chunk: bytes) -> None:
        self._parser.feed_data(chunk)

    def on_message_complete(self) -> None:
        assert self._answer is not None
        self._answer.set_result(self._parser.get_status_code())


class Incoming(asyncio.Protocol):
    """A connection of the gateway's, for sends."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._path = b""
        self._body: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        """Be ready to hear."""
        self._transport = transport

    def data_received(self, chunk: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(chunk)

    def on_url(self, url: bytes) -> None:
        """Keep the path."""
        self._path = url

    def on_body(self, part: bytes) -> None:
        """Keep a part of the body."""
        self._body.append(part)

    def on_message_complete(self) -> None:
        """Answer: a send when it is one, else that the number is well, which is what health checks ask."""
        body = b"".join(self._body)
        self._body = []
        if self._path.endswith(b"/messages"):
            answer = self._provider.take(self._path, body)
        else:
            answer = b'{"id":"%b"}' % self._path.partition(b"?")[0].rpartition(b"/")[2]
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: %d\r\n\r\n%b"
            % (len(answer), answer)
        )


async def main() -> None:
    """Listen and obey until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--secret", required=True, help="the app secret callbacks are signed with")
    parser.add_argument("--waba", required=True, help="the WABA's id at Meta")
    asked = parser.parse_args()
    provider = Provider(asked.secret.encode(), asked.waba.encode())
    server = await asyncio.get_running_loop().create_server(lambda: Incoming(provider), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await obey(
        {"port": port},
        {
            "tell": provider.tell,
            "counts": provider.counts,
            "forget": provider.forget,
            "post_receipts": provider.post_receipts,
        },
    )


if __name__ == "__main__":
    uvloop.run(main())
