"""Where a simulated process's store runs: group commits after a drawn delay, and every way in which one goes wrong.

The engine is shared, as a database is: writers take turns. A crash comes before the commit, or after it with the
answer lost. After a commit the other processes hear of it late, or not at all.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from waypost.domain.errors import Unavailable
from waypost.simulation.loop import SeededLoop
from waypost.store.engine import Committed, Engine, Write
from waypost.store.transaction import Reading

R = TypeVar("R")
_QUICK_SECONDS, _SLOW_SECONDS = 0.01, 3.0
# Now and then a read's answer is used when it is no longer true.
_STALE_READS = 0.1
_STALE_SECONDS = 0.3


class SimulatedExecution:
    """`at_commit` is told of each commit's number and says when to die (`before`, `after` or None)."""

    def __init__(
        self,
        loop: SeededLoop,
        engine: Engine,
        chance: Random,
        at_commit: Callable[[int], str | None],
        die: Callable[[], None],
        committed: Callable[[Sequence[Committed]], None],
    ) -> None:
        self._loop, self._engine, self._chance = loop, engine, chance
        self._at_commit, self._die, self._committed = at_commit, die, committed
        self._reading = engine.reading()
        self._queue: list[tuple[Write, asyncio.Future[Sequence[Committed]]]] = []
        self._commits = 0
        self.is_slow = self.is_refusing = False

    async def write(self, write: Write) -> Sequence[Committed]:
        """Queue `write` and return once its batch is committed, or has failed."""
        future: asyncio.Future[Sequence[Committed]] = self._loop.create_future()
        self._queue.append((write, future))
        if len(self._queue) == 1:
            seconds = self._chance.random() * (_SLOW_SECONDS if self.is_slow else _QUICK_SECONDS)
            self._loop.call_later(seconds, self._commit)
        return await future

    def _commit(self) -> None:
        batch, self._queue = self._queue, []
        writes = [write for write, _ in batch]
        self._commits += 1
        if self.is_refusing:
            for write in writes:
                write.result = Unavailable("the disk is full", code="disk_full", retry_after_seconds=1)
            self._answer(batch, ())
            return
        dies = self._at_commit(self._commits)
        if dies == "before":
            self._die()
            return
        commits = self._engine.commit_batch(writes)
        self._committed(commits)
        if dies == "after":
            self._die()
            return
        self._answer(batch, commits)

    @staticmethod
    def _answer(
        batch: Sequence[tuple[Write, "asyncio.Future[Sequence[Committed]]"]], commits: Sequence[Committed]
    ) -> None:
        for _, future in batch:
            if not future.done():
                future.set_result(commits)
                commits = ()

    async def read(self, query: Callable[[Reading], R]) -> R:
        """Run `query`; its answer may be used late."""
        found = self._reading.snapshot(query)
        if self._chance.random() < _STALE_READS:
            await self._loop.sleep(self._chance.random() * _STALE_SECONDS)
        return found
