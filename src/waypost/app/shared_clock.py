"""The clock of processes that share a database: its time, carried on between questions by the monotonic clock.

It never goes back: where the database's time turns out to be earlier, it runs at half speed until that has caught up.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from waypost.domain.errors import Unavailable

log = structlog.get_logger("waypost.app")
# Crystals drift by some 50 ppm: half a millisecond in this time, where leases have a margin of half a second.
_SAMPLE_SECONDS = 10.0
_TRIES = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# More than this is no drift: a failover to a server whose clock was not kept, or one that was set.
_STEP_SECONDS = 0.25


class SharedClock:
    """`time_ms` asks the database, on whatever thread; `monotonic` gives this machine's seconds.

    The first question is asked at once, and raises `Unavailable` when there is no answer.
    """

    def __init__(self, time_ms: Callable[[], int | None], monotonic: Callable[[], float]) -> None:
        self._time_ms, self.monotonic = time_ms, monotonic
        self._offset = self._sample()
        self._last = self._last_at = float("-inf")

    def now(self) -> datetime:
        """Give the present by the database, never earlier than what was given before."""
        at = self.monotonic()
        truth = at + self._offset
        # Ahead of the truth: half speed. Two readings in one instant give the same time.
        seconds = max(truth, self._last + (at - self._last_at) / 2) if self._last > float("-inf") else truth
        self._last, self._last_at = seconds, at
        return _EPOCH + timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)

    async def step(self) -> float:
        """Ask again; gives seconds until the next question. While there is no answer the old offset serves."""
        try:
            offset = await asyncio.to_thread(self._sample)
        except Unavailable as fault:
            log.warning("shared_time_not_read", code=fault.code)
            return _SAMPLE_SECONDS / 10
        if abs(offset - self._offset) > _STEP_SECONDS:
            log.warning("shared_time_stepped", seconds=round(offset - self._offset, 3))
        self._offset = offset
        return _SAMPLE_SECONDS

    def _sample(self) -> float:
        """Give the database's time minus ours, by the quickest of a few answers: wrong by half its way at most."""
        found: list[tuple[float, float]] = []
        for _ in range(_TRIES):
            before = self.monotonic()
            told = self._time_ms()
            after = self.monotonic()
            if told is None:
                raise Unavailable("the database tells no time", code="no_shared_time")
            found.append((after - before, told / 1000 - (before + after) / 2))
        return min(found)[1]
