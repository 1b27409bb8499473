"""Taking a withdrawal: applied at once, acknowledged once it is in the second place too, replayed after a restore."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Any

from waypost.domain.ports import Clock
from waypost.domain.times import to_ms
from waypost.domain.withdrawals import Copied, Heartbeat
from waypost.store import withdrawals, withdrawn
from waypost.store.database import Store
from waypost.store.journal import position_now
from waypost.store.second_place import SecondPlace
from waypost.store.withdrawals import Replay, Withdrawal, Withdrawing

# Runs what blocks; `app` hands down one that uses a thread.
Blocking = Callable[[Callable[[], Any]], Awaitable[Any]]
HEARTBEAT_SECONDS = 60.0
# A withdrawal that a callback brought, or whose caller was told no, is in the second place this much later.
_POLL_SECONDS = 5.0
_PAGE = 500


async def in_place(work: Callable[[], Any]) -> Any:
    """Run `work` here and now."""
    return work()


class Withdrawals:
    """The withdrawals of an installation. Without a second place they are kept in the database alone."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        place: SecondPlace | None,
        in_thread: Blocking = in_place,
        told: Callable[[int | None], None] = lambda applied: None,
    ) -> None:
        # Told after a replay how many it brought; None when there is no second place to replay from.
        self._told = told
        self._store, self._clock, self._place, self._in_thread = store, clock, place, in_thread
        # A place is used by one call at a time: its connection is one.
        self._using = asyncio.Lock()
        self._is_replayed = False
        self._beat_at: float | None = None

    async def take(self, item: Withdrawing) -> Withdrawal:
        """Apply a withdrawal, then bring it to the second place; safe to repeat.

        Raises `Unavailable` (`second_place_unavailable`) when it is applied here alone so far, `NotFound` for nobody.
        """
        taken: Withdrawal = await self._store.write(withdrawals.withdraw, item)
        await self._bring(await self._store.read(withdrawals.copies, [taken.id]))
        return taken

    async def _bring(self, entries: Sequence[Copied]) -> None:
        place = self._place
        if place is None or not entries:
            return
        async with self._using:
            await self._in_thread(lambda: place.put(entries))
        await self._store.write(withdrawals.copied, [entry.id for entry in entries])

    async def step(self) -> float:
        """Replay after a restore, bring over what is not there yet, beat; gives seconds until the next look."""
        if not await self._is_complete():
            await self._replay()
        if self._place is None:
            return HEARTBEAT_SECONDS
        waiting = await self._store.read(withdrawals.uncopied, _PAGE)
        await self._bring(waiting)
        await self._beat(self._place)
        return 0.0 if len(waiting) == _PAGE else _POLL_SECONDS

    async def _beat(self, place: SecondPlace) -> None:
        if self._beat_at is not None and self._clock.monotonic() < self._beat_at:
            return
        position = await self._store.read(position_now)
        heartbeat = Heartbeat(self._store.timeline, position, to_ms(self._clock.now()))
        async with self._using:
            await self._in_thread(lambda: place.beat(heartbeat))
        self._beat_at = self._clock.monotonic() + HEARTBEAT_SECONDS

    async def _replay(self) -> None:
        applied: int | None = None
        if self._place is not None:
            applied, entries = 0, self._place.withdrawals()
            while True:
                async with self._using:
                    some: list[Copied] = await self._in_thread(lambda: list(islice(entries, _PAGE)))
                if not some:
                    break
                applied += await self._store.write(withdrawals.replay, Replay(some, self._clock.now()))
        await self._store.write(withdrawals.replayed, self._clock.now())
        self._is_replayed = True
        self._told(applied)

    async def _is_complete(self) -> bool:
        # A restore needs an empty place, so what was complete once stays so for this process's life.
        if not self._is_replayed:
            self._is_replayed = not await self._store.read(withdrawn.is_not_replayed)
        return self._is_replayed

    async def why_not_ready(self) -> str | None:
        """Say that marketing is held until the second place is replayed; None when nothing is missing."""
        if await self._is_complete():
            return None
        return "the withdrawals of the second place are not replayed since the restore: marketing is held"

    def close(self) -> None:
        """Let go of the second place."""
        if self._place is not None:
            self._place.close()
