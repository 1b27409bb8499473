"""Where the store runs in a serving process: one writer thread that drains the queue into group commits, and a few
reading threads with a connection each.

No linger: the writer commits what is queued, and the next batch forms during the fsync. The queue is bounded; beyond
it callers are told to come again.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from waypost.domain.errors import Unavailable
from waypost.store.engine import Committed, Engine, Write
from waypost.store.transaction import Reading

log = structlog.get_logger("waypost.app")
R = TypeVar("R")
_Queued = tuple[Write, "asyncio.Future[Sequence[Committed]]"]


class ThreadedExecution:
    """Runs writes and reads of `engine` on threads of its own; made and used on one event loop."""

    def __init__(self, engine: Engine, *, batch_max: int, queue_max: int, readers: int) -> None:
        self._engine, self._batch_max, self._queue_max = engine, batch_max, queue_max
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Queued | None] = queue.SimpleQueue()
        self._queued = 0
        self._untold: list[Committed] = []
        self.told: Callable[[int, float], None] = lambda rows, seconds: (
            None
        )  # of each commit: its size and time
        self._local = threading.local()
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="waypost-read")
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
        future: asyncio.Future[Sequence[Committed]] = self._loop.create_future()
        self._queued += 1
        self._queue.put((write, future))
        # A caller that goes away does not take its write back: it is committed, or fails, all the same.
        return await future

    async def read(self, query: Callable[[Reading], R]) -> R:
        """Run `query` on a reading thread."""
        return await self._loop.run_in_executor(self._readers, self._read, query)

    def _read(self, query: Callable[[Reading], R]) -> R:
        reading: Reading | None = getattr(self._local, "reading", None)
        if reading is None:
            reading = self._local.reading = self._engine.reading()
        return reading.snapshot(query)

    def _write_all(self) -> None:
        stopping = False
        while not stopping:
            item = self._queue.get()
            batch: list[_Queued] = []
            while item is not None:
                batch.append(item)
                if len(batch) >= self._batch_max:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            stopping = item is None
            if batch:
                began = time.perf_counter()
                commits = self._commit([write for write, _ in batch])
                seconds = time.perf_counter() - began
                self._loop.call_soon_threadsafe(self._answer, batch, commits, seconds)

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
        for _, future in batch:
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
