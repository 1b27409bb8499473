"""The generator: sends texts to `/v1/messages` over kept-alive connections, a process of its own.

Closed loop: every connection sends its next request when it has its answer. Open loop: requests leave evenly spaced
whatever the answers do, and their time is counted from when they were meant to leave, so that a stall shows.
"""

import argparse
import asyncio
import ctypes
import os
import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httptools
import uvloop

from children import obey

NUMBERS = 40
CONTACTS = 50_000
# Coprime to CONTACTS, so that contacts come in no order that an index would like.
_STRIDE = 27_449
_TEXT = (
    "Your order 4711 has left our warehouse and will be with you tomorrow between 9 and 12. If nobody is at home, "
    "the driver leaves it with a neighbour and puts a card in your letter box. Answer this message to choose "
    "another day or another address. Thank you for ordering with us, and until the next time."
)


def phone_of(contact: int) -> str:
    """Give the phone number of the contact with this ordinal."""
    return f"+4915{contact:09d}"


def number_id_of(number: int) -> str:
    """Give the id of the sending number with this ordinal."""
    return f"num_bench{number:02d}"


class Requests:
    """Makes requests: to ever another contact, from the number that contact talks to, with a key of its own."""

    def __init__(self, key: str, run: str) -> None:
        self._run, self._count = run, 0
        self._head = (
            "POST /v1/messages HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {key}\r\nIdempotency-Key: {run}-"
        ).encode()
        self._body = b'{"from":"%b","to":"%b","type":"text","text":{"body":"' + _TEXT.encode() + b'"}}'
        length = len(self._body) - 4 + len(number_id_of(0)) + len(phone_of(0))
        self._middle = b"\r\nContent-Length: %d\r\n\r\n" % length

    def next(self) -> bytes:
        """Give the next request."""
        self._count += 1
        contact = self._count * _STRIDE % CONTACTS
        number = number_id_of(contact % NUMBERS).encode()
        body = self._body % (number, phone_of(contact).encode())
        return b"%b%012d%b%b" % (self._head, self._count, self._middle, body)


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, answered: Callable[["Connection", float], None], counts: Counter[int]) -> None:
        self._answered, self._counts = answered, counts
        self._parser = httptools.HttpResponseParser(self)
        self._transport: Any = None
        self._meant_at = 0.0
        self.open = False

    def connection_made(self, transport: Any) -> None:
        """Be ready to ask."""
        self._transport = transport
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that broke with a request under way as status 0."""
        self.open = False
        if self._meant_at:
            self._counts[0] += 1

    def ask(self, request: bytes, meant_at: float) -> None:
        """Send a request that was meant to leave at `meant_at`."""
        self._meant_at = meant_at
        self._transport.write(request)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def data_received(self, chunk: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(chunk)

    def on_message_complete(self) -> None:
        """Count the answer and say that it came."""
        taken = time.perf_counter() - self._meant_at
        self._meant_at = 0.0
        self._counts[self._parser.get_status_code()] += 1
        self._answered(self, taken)


class Load:
    """Offers load to one address at a time."""

    def __init__(self, key: str) -> None:
        self._key, self._runs = key, 0

    def _requests(self) -> Requests:
        self._runs += 1
        return Requests(self._key, f"{os.getpid()}-{time.time_ns()}-{self._runs}")

    async def closed(self, port: int, connections: int, seconds: float) -> dict[str, Any]:
        """Keep every connection busy for `seconds`; gives counts by status and the time until the last answer."""
        requests, counts, pending = self._requests(), Counter[int](), connections
        taken: list[float] = []
        finished = asyncio.Event()
        ends_at = 0.0

        def answered(connection: Connection, seconds_taken: float) -> None:
            nonlocal pending
            taken.append(seconds_taken)
            now = time.perf_counter()
            if now < ends_at:
                connection.ask(requests.next(), now)
                return
            pending -= 1
            if not pending:
                finished.set()

        opened = await self._open(port, connections, answered, counts)
        begun_at = time.perf_counter()
        ends_at = begun_at + seconds
        for connection in opened:
            connection.ask(requests.next(), begun_at)
        await asyncio.wait_for(finished.wait(), seconds + 30)
        whole = time.perf_counter() - begun_at
        return _told(counts, taken, whole, opened)

    async def evenly(self, port: int, per_second: int, seconds: float) -> dict[str, Any]:
        """Offer `per_second` evenly spaced requests for `seconds`; gives each one's time in milliseconds."""
        requests, counts = self._requests(), Counter[int]()
        taken: list[float] = []
        wanted = int(per_second * seconds)
        finished = asyncio.Event()
        idle: list[Connection] = []
        waiting: list[float] = []

        def answered(connection: Connection, seconds_taken: float) -> None:
            taken.append(seconds_taken)
            if waiting:
                connection.ask(requests.next(), waiting.pop(0))
            else:
                idle.append(connection)
            if len(taken) == wanted:
                finished.set()

        opened = await self._open(port, 256, answered, counts)
        idle += opened
        begun_at = time.perf_counter()
        begun = 0

        def tick() -> None:
            nonlocal begun
            due = min(wanted, int((time.perf_counter() - begun_at) * per_second) + 1)
            while begun < due:
                meant_at = begun_at + begun / per_second
                begun += 1
                if idle:
                    idle.pop().ask(requests.next(), meant_at)
                else:
                    waiting.append(meant_at)

        with _Metronome(per_second, tick):
            await asyncio.wait_for(finished.wait(), seconds + 30)
        return _told(counts, taken, time.perf_counter() - begun_at, opened)

    async def _open(
        self, port: int, count: int, answered: Callable[[Connection, float], None], counts: Counter[int]
    ) -> list[Connection]:
        loop = asyncio.get_running_loop()
        opened: list[Connection] = []
        for _ in range(count):
            _, connection = await loop.create_connection(
                lambda: Connection(answered, counts), "127.0.0.1", port
            )
            opened.append(connection)
        return opened


class _Metronome:
    """Calls `tick` at an even rate. A timer of the kernel's, because the event loop's are rounded to milliseconds."""

    def __init__(self, per_second: int, tick: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._interval_ns, self._tick = 1_000_000_000 // per_second, tick
        self._descriptor = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def __enter__(self) -> None:
        setting = struct.pack("qqqq", 0, self._interval_ns, 0, 1)
        self._libc.timerfd_settime(self._descriptor, 0, setting, None)
        asyncio.get_running_loop().add_reader(self._descriptor, self._beat)

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _beat(self) -> None:
        os.read(self._descriptor, 8)
        self._tick()


def _told(
    counts: Counter[int], taken: list[float], seconds: float, opened: list[Connection]
) -> dict[str, Any]:
    for connection in opened:
        connection.close()
    return {
        "statuses": {str(status): count for status, count in counts.items()},
        "seconds": seconds,
        "taken_ms": [round(each * 1000, 3) for each in taken],
    }


async def main() -> None:
    """Obey until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", required=True)
    load = Load(parser.parse_args().key)
    await obey({"ready": True}, {"closed": load.closed, "evenly": load.evenly})


if __name__ == "__main__":
    uvloop.run(main())
