"""The ports of a seeded run: a clock per process that skews and jumps with the plan, and chance from the seed."""

from datetime import UTC, datetime, timedelta
from random import Random

from waypost.simulation.loop import SeededLoop

# A beat comes every five seconds at the least, and takes up to three on a slow store.
_MISLED_SECONDS = 12.0
BEGINNING = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def stream(name: str, seed: int) -> Random:
    """Give a seed's stream of this name."""
    return Random(f"{name} {seed}")  # noqa: S311 - the same for the same seed is what it is for


class SeededChance:
    """Bytes and jitter from one seeded stream."""

    def __init__(self, stream: Random) -> None:
        self.random = stream.random
        self._bytes = stream.randbytes

    def token_bytes(self, count: int) -> bytes:
        """Give `count` bytes."""
        return self._bytes(count)


class WallClock:
    """The true time, which leaps when told: what all clocks of a run stand on."""

    def __init__(self, loop: SeededLoop) -> None:
        self._loop = loop
        self.leapt_seconds = 0.0
        self._known = (0.0, BEGINNING)

    def now(self) -> datetime:
        """Give the true time."""
        seconds = self._loop.time() + self.leapt_seconds
        if seconds != self._known[0]:
            self._known = (seconds, BEGINNING + timedelta(seconds=seconds))
        return self._known[1]


class ProcessClock:
    """What a process reads: the true time and its error. Its monotonic clock knows no error and no leap, but
    stands still while the machine is suspended (`suspended_seconds`), as Linux's does."""

    def __init__(self, loop: SeededLoop, wall: WallClock, error_seconds: float = 0.0) -> None:
        self._loop, self._wall = loop, wall
        self.error_seconds = error_seconds
        self.suspended_seconds = 0.0
        self.resumed_at = float("-inf")  # virtual seconds

    @property
    def is_misled(self) -> bool:
        """Say whether the process may not know yet how long it was away: until it has asked the database."""
        return self._loop.time() < self.resumed_at + _MISLED_SECONDS

    def resume(self, seconds: float) -> None:
        """Go on after the machine was suspended."""
        self.suspended_seconds += seconds
        self.resumed_at = self._loop.time()

    def now(self) -> datetime:
        """Give the time as this process sees it."""
        now = self._wall.now()
        return now + timedelta(seconds=self.error_seconds) if self.error_seconds else now

    def monotonic(self) -> float:
        """Give seconds that only ever go forward, for lengths of time."""
        return self._loop.time() - self.suspended_seconds

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        await self._loop.sleep(seconds)
