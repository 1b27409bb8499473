"""What happens later: one heap of moments and acts, walked by one task, whatever the number of messages."""

import asyncio
import contextlib
import heapq
from collections.abc import Callable
from datetime import datetime, timedelta

from waypost.emulator.ports import Clock


class Agenda:
    """Runs acts at their moment, in order of time and then of booking."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[datetime, int, Callable[[], None]]] = []
        self._count = 0
        self._earlier = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Run `act` that many seconds from now."""
        self._count += 1
        due = self._clock.now() + timedelta(seconds=max(0.0, seconds))
        entry = (due, self._count, act)
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._earlier.set()

    def start(self) -> None:
        """Begin to walk the heap."""
        self._task = asyncio.create_task(self._walk())

    async def stop(self) -> None:
        """Stop walking; what was booked stays booked."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _walk(self) -> None:
        while True:
            self._earlier.clear()
            ran = 0
            while self._heap and self._heap[0][0] <= self._clock.now():
                heapq.heappop(self._heap)[2]()
                ran += 1
                if ran % 200 == 0:  # a burst of receipts must not starve the sockets
                    await asyncio.sleep(0)
            if not self._heap:
                await self._earlier.wait()
                continue
            wait_seconds = (self._heap[0][0] - self._clock.now()).total_seconds()
            sleeping = asyncio.ensure_future(self._clock.sleep(max(0.0005, wait_seconds)))
            nudged = asyncio.ensure_future(self._earlier.wait())
            try:
                await asyncio.wait({sleeping, nudged}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleeping.cancel()
                nudged.cancel()
