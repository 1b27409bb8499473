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
from waypost.simulation.plan import Fault
from waypost.store.engine import Committed, Engine, Write
from waypost.store.transaction import Reading

R = TypeVar("R")
_QUICK_SECONDS, _SLOW_SECONDS = 0.01, 3.0
# Now and then a read's answer is used when it is no longer true.
_STALE_READS = 0.1
_STALE_SECONDS = 0.3


_Batch = Sequence[tuple[Write, "asyncio.Future[Sequence[Committed]]"]]


class SimulatedExecution:
    """`at_commit` is told what a batch is about to do, and says where the process is to `crash` or `pause`, if so;
    `fails` does it, and `committed` is told of every commit."""

    def __init__(
        self,
        loop: SeededLoop,
        engine: Engine,
        chance: Random,
        at_commit: Callable[[frozenset[str]], Fault | None],
        fails: Callable[[Fault], None],
        committed: Callable[[Sequence[Committed]], None],
    ) -> None:
        self._loop, self._engine, self._chance = loop, engine, chance
        self._at_commit, self._fails, self._committed = at_commit, fails, committed
        self._reading = engine.reading()
        self._queue: list[tuple[Write, asyncio.Future[Sequence[Committed]]]] = []
        self._answered_at = 0.0
        self.is_slow = self.is_refusing = False

    async def write(self, write: Write) -> Sequence[Committed]:
        """Queue `write` and return once its batch is committed, or has failed."""
        future: asyncio.Future[Sequence[Committed]] = self._loop.create_future()
        self._queue.append((write, future))
        if len(self._queue) == 1:
            self._loop.call_later(self._seconds(), self._begin)
        return await future

    def _seconds(self) -> float:
        return self._chance.random() * (_SLOW_SECONDS if self.is_slow else _QUICK_SECONDS)

    def _begin(self) -> None:
        batch, self._queue = self._queue, []
        fault = self._at_commit(frozenset(write.operation.__name__ for write, _ in batch))
        if fault is not None and fault.trouble in ("crash_before_commit", "pause_before_commit"):
            self._fails(fault)
            # Paused, it commits when it goes on; dead, never.
            self._loop.call_soon(self._commit, batch, None)
        else:
            self._commit(batch, fault)

    def _commit(self, batch: _Batch, fault: Fault | None) -> None:
        writes = [write for write, _ in batch]
        commits: Sequence[Committed] = ()
        if self.is_refusing:
            for write in writes:
                write.result = Unavailable("the disk is full", code="disk_full", retry_after_seconds=1)
        else:
            commits = self._engine.commit_batch(writes)
            self._committed(commits)
        if fault is not None:
            self._fails(fault)
        # The next batch may commit before this one's answer is heard; answers keep their order.
        self._answered_at = max(self._answered_at, self._loop.time() + self._seconds())
        self._loop.call_at(self._answered_at, self._answer, batch, commits)

    @staticmethod
    def _answer(batch: _Batch, commits: Sequence[Committed]) -> None:
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
