"""Whose turn it is: tenants take turns at the writer and at the reading threads, the gateway's own work goes first.

Pure bookkeeping: `WriteTurns` belongs to the writer's thread, `ReadTurns` to the event loop.
"""

import asyncio
import heapq
from collections import Counter, deque
from typing import Generic, TypeVar

from waypost.domain.errors import Busy

T = TypeVar("T")
# What no caller asked for: claims, outcomes, callbacks, marks. It is bounded by what is under way elsewhere.
OWN = ""
# A tenant with more reads waiting than this is told to come again; each of them holds a connection open.
_READS_WAITING_MAX = 200


class WriteTurns(Generic[T]):
    """What waits for the writer. A batch takes of each tenant in turn, by rows (start-time fair queueing), so that one
    with ten thousand waiting delays another's next one by one batch and no more."""

    def __init__(self, batch_rows_max: int) -> None:
        self._rows_max = batch_rows_max
        self._own: deque[tuple[T, int]] = deque()
        self._waiting: dict[str, deque[tuple[T, int]]] = {}
        # (where its next turn begins, who came first, tenant): one entry for each tenant that waits.
        self._order: list[tuple[int, int, str]] = []
        self._served_to: dict[str, int] = {}
        self._now = self._count = 0

    def __bool__(self) -> bool:
        """Say whether anything waits."""
        return bool(self._own or self._order)

    def add(self, tenant_id: str, rows: int, item: T) -> None:
        """Put `item` in its tenant's line; `rows` is about what it writes."""
        if tenant_id == OWN:
            self._own.append((item, rows))
            return
        line = self._waiting.get(tenant_id)
        if line is not None:
            line.append((item, rows))
            return
        self._waiting[tenant_id] = deque([(item, rows)])
        self._push(tenant_id, max(self._now, self._served_to.get(tenant_id, 0)))

    def next_batch(self) -> list[T]:
        """Take what is committed next: at most so many rows, but always something when anything waits."""
        batch: list[T] = []
        # A flood of callbacks is own work too: a quarter stays for the tenants while any of them waits.
        left = self._take_own(batch, self._rows_max - self._rows_max // 4 if self._order else self._rows_max)
        left += self._rows_max // 4 if self._order else 0
        while self._order:
            starts_at, _, tenant_id = self._order[0]
            line = self._waiting[tenant_id]
            item, rows = line[0]
            if batch and rows > left:
                break
            heapq.heappop(self._order)
            line.popleft()
            batch.append(item)
            left -= rows
            self._now, ends_at = starts_at, starts_at + rows
            self._served_to[tenant_id] = ends_at
            if line:
                self._push(tenant_id, ends_at)
            else:
                del self._waiting[tenant_id]
        if not self._order:
            # Nobody waits: nobody owes anybody a turn.
            self._served_to.clear()
            self._take_own(batch, left)
        return batch

    def _take_own(self, batch: list[T], left: int) -> int:
        while self._own and (not batch or self._own[0][1] <= left):
            item, rows = self._own.popleft()
            batch.append(item)
            left -= rows
        return left

    def _push(self, tenant_id: str, starts_at: int) -> None:
        self._count += 1
        heapq.heappush(self._order, (starts_at, self._count, tenant_id))


class ReadTurns:
    """Who may use a reading thread: each tenant half of them at most, the ones that wait in turn."""

    def __init__(self, threads: int) -> None:
        self._free, self._each_max = threads, max(1, threads // 2)
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def begin(self, tenant_id: str) -> None:
        """Wait for a turn; raises `Busy` when the tenant has too many reads waiting. `end` gives it back."""
        if self._free and self._running[tenant_id] < self._each_max and tenant_id not in self._waiting:
            self._start(tenant_id)
            return
        line = self._waiting.setdefault(tenant_id, deque())
        if len(line) >= _READS_WAITING_MAX:
            raise Busy(
                "this tenant has as many reads waiting as one may",
                code="reads_waiting",
                remedy="wait for answers before asking more, and ask for smaller pages",
                retry_after_seconds=1,
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                # It came to its turn in the same moment as its caller went away.
                self.end(tenant_id)
            elif turn in line:
                # An empty line goes with the next `end`: while one waits, another runs.
                line.remove(turn)
            raise

    def end(self, tenant_id: str) -> None:
        """Give a turn back; the next who waits and may gets it."""
        self._free += 1
        self._running[tenant_id] -= 1
        if not self._running[tenant_id]:
            del self._running[tenant_id]
        for other in list(self._waiting):
            if not self._free:
                return
            if self._running[other] >= self._each_max:
                continue
            # To the end of the order, if it has more.
            line = self._waiting.pop(other)
            while line and line[0].done():
                line.popleft()
            if not line:
                continue
            self._start(other)
            line.popleft().set_result(None)
            if line:
                self._waiting[other] = line

    def _start(self, tenant_id: str) -> None:
        self._free -= 1
        self._running[tenant_id] += 1
