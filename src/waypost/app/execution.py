"""Where the store runs in a serving process: one writer thread that drains the queue into group commits, and a few
reading threads with a connection each.

No linger: the writer commits what is queued, and the next batch forms during the fsync. The queue is bounded, for all
and for each tenant; beyond it callers are told to come again. Tenants take turns, at the writer and at the reading
threads; the gateway's own work has its place in every batch and threads of its own.
"""

import asyncio
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from waypost.app.turns import OWN, ReadTurns, WriteTurns
from waypost.domain.errors import Busy, Unavailable
from waypost.store.accept import Acceptances
from waypost.store.engine import Committed, Engine, Write
from waypost.store.transaction import Reading
from waypost.web.memory import ASKING

log = structlog.get_logger("waypost.app")
R = TypeVar("R")
_Queued = tuple[Write, "asyncio.Future[Sequence[Committed]]", str]


class ThreadedExecution:
    """Runs writes and reads of `engine` on threads of its own; made and used on one event loop."""

    def __init__(self, engine: Engine, *, batch_max: int, queue_max: int, readers: int) -> None:
        self._engine, self._batch_max, self._queue_max = engine, batch_max, queue_max
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Queued | None] = queue.SimpleQueue()
        self._queued = 0
        self._queued_of: Counter[str] = Counter()
        self._untold: list[Committed] = []
        self.told: Callable[[int, float], None] = lambda rows, seconds: (
            None
        )  # of each commit: its size and time
        self._local = threading.local()
        self._turns = WriteTurns[_Queued](batch_max)
        self._read_turns = ReadTurns(readers)
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="waypost-read")
        # Looking up a key, telling subscribers: never behind a caller's slow query.
        self._own_readers = ThreadPoolExecutor(max(1, readers // 2), thread_name_prefix="waypost-read-own")
        self._writer = threading.Thread(target=self._write_all, name="waypost-write", daemon=True)
        self._writer.start()

    @property
    def queued(self) -> int:
        """Give how many writes wait or are being committed."""
        return self._queued

    async def write(self, write: Write) -> Sequence[Committed]:
        """Queue `write` and return once its batch is on disk, or has failed."""
        if self._queued >= self._queue_max:
            raise Unavailable(
                "more is being written than the disk takes",
                code="store_busy",
                remedy="send again after Retry-After; nothing of this request was stored",
                retry_after_seconds=1,
            )
        tenant_id = ASKING.get()
        # Half: whatever one tenant does, there is room for the others and for the gateway's own work.
        if tenant_id != OWN and self._queued_of[tenant_id] >= max(1, self._queue_max // 2):
            raise Busy(
                "this tenant has as much waiting to be written as one may",
                code="writes_waiting",
                remedy="send again after Retry-After; nothing of this request was stored",
                retry_after_seconds=1,
            )
        future: asyncio.Future[Sequence[Committed]] = self._loop.create_future()
        self._queued += 1
        self._queued_of[tenant_id] += 1
        self._queue.put((write, future, tenant_id))
        # A caller that goes away does not take its write back: it is committed, or fails, all the same.
        return await future

    async def read(self, query: Callable[[Reading], R]) -> R:
        """Run `query` on a reading thread; raises `Busy` when the asking tenant has too many waiting."""
        tenant_id = ASKING.get()
        if tenant_id == OWN:
            return await self._loop.run_in_executor(self._own_readers, self._read, query)
        await self._read_turns.begin(tenant_id)
        running = self._loop.run_in_executor(self._readers, self._read, query)
        running.add_done_callback(lambda _: self._read_turns.end(tenant_id))
        # A caller that goes away does not end its query: the thread is taken until then.
        return await asyncio.shield(running)

    def _read(self, query: Callable[[Reading], R]) -> R:
        reading: Reading | None = getattr(self._local, "reading", None)
        if reading is None:
            reading = self._local.reading = self._engine.reading()
        return reading.snapshot(query)

    def _write_all(self) -> None:
        stopping = False
        while not stopping or self._turns:
            stopping = self._line_up() or stopping
            batch = self._turns.next_batch()
            if batch:
                began = time.perf_counter()
                commits = self._commit([write for write, _, _ in batch])
                seconds = time.perf_counter() - began
                self._loop.call_soon_threadsafe(self._answer, batch, commits, seconds)

    def _line_up(self) -> bool:
        """Put what was queued in line, waiting when there is nothing to do; says whether the end was asked for."""
        try:
            while True:
                item = self._queue.get(block=not self._turns)
                if item is None:
                    return True
                write, _, tenant_id = item
                rows = len(write.item.items) if isinstance(write.item, Acceptances) else 1
                self._turns.add(tenant_id, rows, item)
        except queue.Empty:
            return False

    def _commit(self, writes: Sequence[Write]) -> Sequence[Committed]:
        try:
            return self._engine.commit_batch(writes)
        except Exception as error:
            # Not even the rollback went through. Nobody may wait for ever, and the next batch tries again.
            log.error("batch_lost", error=type(error).__name__, writes=len(writes))
            for write in writes:
                write.result = Unavailable(
                    "the database failed", code="database_failed", remedy="send again", retry_after_seconds=1
                )
            return ()

    def _answer(self, batch: Sequence[_Queued], commits: Sequence[Committed], seconds: float) -> None:
        self._queued -= len(batch)
        self.told(len(batch), seconds)
        self._untold += commits
        self._queued_of.subtract(tenant_id for _, _, tenant_id in batch)
        self._queued_of += Counter()  # drops who has nothing waiting
        for _, future, _ in batch:
            # Callers that went away leave the word of their commit to the next one who listens.
            if not future.done():
                future.set_result(self._untold)
                self._untold = []

    async def close(self) -> None:
        """Commit what is queued, then stop the threads."""
        self._queue.put(None)
        await self._loop.run_in_executor(None, self._writer.join)
        await asyncio.sleep(0)
        self._readers.shutdown(wait=True)
        self._own_readers.shutdown(wait=True)
