"""The real ports: the system's clock and its randomness."""

import asyncio
import random
import secrets
from datetime import UTC, datetime


class SystemClock:
    """The wall clock, in UTC."""

    def now(self) -> datetime:
        """Give the present."""
        return datetime.now(UTC)

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
