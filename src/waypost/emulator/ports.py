"""What the emulator takes from outside: the clock and the dice. Nothing else here reads either.

The virtual clock stands still until a test advances it; while a webhook is on the wire it does not move on,
so that days of retries pass in milliseconds and yet in order.
"""

import asyncio
import heapq
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Protocol, runtime_checkable


class Clock(Protocol):
    """Time as the emulator sees it."""

    def now(self) -> datetime:
        """The moment, aware, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds of this clock."""
        ...


@runtime_checkable
class _Holdable(Protocol):
    def busy(self) -> AbstractContextManager[None]: ...


class Dice(Protocol):
    """Chance as the emulator uses it; `random.Random` fits."""

    def random(self) -> float: ...
    def getrandbits(self, k: int, /) -> int: ...
    def randrange(self, start: int, stop: int, /) -> int: ...


def fresh_dice(seed: int | None = None) -> Dice:
    """Dice from the operating system's entropy, or from a seed."""
    return random.Random(seed)  # noqa: S311 - ids of a sandbox, no secrets


def busy(clock: Clock) -> AbstractContextManager[None]:
    """Hold a virtual clock still during real input or output; nothing on a real clock."""
    return clock.busy() if isinstance(clock, _Holdable) else nullcontext()


class RealClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The moment, aware, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait in real time."""
        await asyncio.sleep(seconds)


# Turns of the event loop given to tasks between two moments: enough for a wake-up to pass through a task,
# a wait and a scheduler, and to arm the next sleep.
_TURNS_PER_MOMENT = 24


class VirtualClock:
    """A clock that only moves when told to."""

    def __init__(self, start: datetime = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._count = 0
        self._holds = 0
        self._free = asyncio.Event()
        self._free.set()

    def now(self) -> datetime:
        """The moment, aware, in UTC."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until somebody advances the clock far enough."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), self._count, woken))
        await woken

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Keep `advance` from moving on while something real is under way."""
        self._holds += 1
        self._free.clear()
        try:
            yield
        finally:
            self._holds -= 1
            if self._holds == 0:
                self._free.set()

    async def advance(self, seconds: float) -> None:
        """Move on by that many seconds, waking each sleeper at its own moment."""
        target = self._now + timedelta(seconds=seconds)
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, woken = heapq.heappop(self._sleepers)
            self._now = max(self._now, due)
            if not woken.done():
                woken.set_result(None)
                await self.settle()
        self._now = target
        await self.settle()

    async def settle(self) -> None:
        """Let every task run until nothing is under way at this moment."""
        while True:
            for _ in range(_TURNS_PER_MOMENT):
                await asyncio.sleep(0)
            if self._free.is_set():
                return
            await self._free.wait()
