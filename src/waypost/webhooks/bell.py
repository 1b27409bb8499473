"""Wakes those who wait for new events: long polls and streams. A wake-up only; what happened is in the journal."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from waypost.domain.errors import Busy
from waypost.domain.ports import Clock
from waypost.store.database import Store
from waypost.store.engine import Committed

# A stream costs a connection and a little memory for as long as its reader likes.
STREAMS_MAX = 64


class Bell:
    """Rings after every commit, once it has been told of a store."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()
        self._hears = False
        self._streams = 0
        self.closed = False
        self.rings = 0

    def hear(self, store: Store) -> None:
        """Ring for the commits of this store; safe to say again."""
        if not self._hears:
            self._hears = True
            store.follow(self._ring)

    def _ring(self, commit: Committed) -> None:
        self.rings += 1
        for each in self._waiting:
            each.set()

    def close(self) -> None:
        """Let nobody wait any more: streams end, so that a stop is not held up by them."""
        self.closed = True
        for each in self._waiting:
            each.set()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream for as long as it lives; raises `Busy` when there are too many."""
        self.check_room()
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    def check_room(self) -> None:
        """Raise `Busy` when there is no room for another stream."""
        if self._streams >= STREAMS_MAX:
            raise Busy(
                f"{STREAMS_MAX} streams are open already.",
                code="streams_max",
                remedy="Close one, or pull with GET /v1/events.",
                retry_after_seconds=30,
            )

    async def wait(self, seen: int, clock: Clock, seconds: float) -> None:
        """Return when `rings` is not `seen` any more, or after `seconds`."""
        if self.closed or self.rings != seen:
            return
        event = asyncio.Event()
        self._waiting.add(event)
        tasks = {asyncio.ensure_future(event.wait()), asyncio.ensure_future(clock.sleep(seconds))}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting.discard(event)
            for task in tasks:
                task.cancel()
