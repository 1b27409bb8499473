"""The ports to the world that `app` hands down, so that a seeded run can own time and chance."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time; the only source of `now`."""

    def now(self) -> datetime:
        """Give the present as an aware UTC datetime."""
        ...

    def monotonic(self) -> float:
        """Give seconds that only go forward, for lengths of time: they mean nothing to another process."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; returns early never, late perhaps."""
        ...


class Randomness(Protocol):
    """Unpredictable bytes and jitter."""

    def token_bytes(self, count: int) -> bytes:
        """Give `count` bytes fit for secrets."""
        ...

    def random(self) -> float:
        """Give a number in [0, 1), for jitter."""
        ...
