"""The real ports: the system's clock and its randomness."""

import asyncio
import random
import secrets
import time
from datetime import UTC, datetime

# Leases are fenced by it: CLOCK_MONOTONIC stands still while a Linux machine sleeps, and a lease does not.
_FORWARD_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The wall clock, in UTC."""

    def now(self) -> datetime:
        """Give the present."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Give seconds that only go forward, also while the machine is suspended where the system counts that."""
        return time.clock_gettime(_FORWARD_CLOCK)

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)


class SystemRandomness:
    """The system's source of chance."""

    def token_bytes(self, count: int) -> bytes:
        """Give bytes fit for secrets."""
        return secrets.token_bytes(count)

    def random(self) -> float:
        """Give a number in [0, 1), for jitter only."""
        return random.random()  # noqa: S311 - jitter, not a secret


class PooledRandomness(SystemRandomness):
    """The same, asked for in larger pieces: ids want ten bytes at a time, thousands of times a second.

    For one thread: each source of ids has a pool of its own.
    """

    def __init__(self, pool_bytes: int = 4096) -> None:
        self._pool_bytes = pool_bytes
        self._pool = b""
        self._at = 0

    def token_bytes(self, count: int) -> bytes:
        """Give the next `count` bytes; none is given twice."""
        if self._at + count > len(self._pool):
            self._pool, self._at = secrets.token_bytes(max(count, self._pool_bytes)), 0
        start, self._at = self._at, self._at + count
        return self._pool[start : self._at]
