"""The journal to a queue: every event of one tenant in the journal's order, each confirmed before the next.

One at a time, because a broker that refuses the second of three would else keep the third before it. The mark moves
behind the confirmations, so a crash repeats events and loses none; a repeat has the same id, which JetStream drops
within its window and every consumer can.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

import structlog

from waypost.domain.ports import Clock
from waypost.domain.times import to_ms
from waypost.queues.acting import acting
from waypost.queues.base import BrokerDown, Outgoing, Sink
from waypost.store import forwards
from waypost.store import subscriber_progress as progress
from waypost.store.database import Store
from waypost.store.engine import Committed
from waypost.store.journal import Event
from waypost.store.processes import Fence

log = structlog.get_logger("waypost.queues")

# Gives an event as subscribers see it, from its contents and the time they were read (milliseconds).
Render = Callable[[Event, Mapping[str, bytes | None], int], bytes]

_PAGE_EVENTS = 100
_IDLE_SECONDS = 1.0


class Forwarder:
    """One forward; work of one process at a time. `woken` is set when `step` may have something to do."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        key_id: str,
        store: Store,
        clock: Clock,
        render: Render,
        wants: Callable[[Event], bool],
        from_beginning: bool,
    ) -> None:
        self.name = name
        self.forwarded = 0
        self._sink, self._key_id, self._store, self._clock = sink, key_id, store, clock
        self._render, self._wants, self._from_beginning = render, wants, from_beginning
        self._standing: forwards.Standing | None = None
        self._stored_name = ""
        self._draining = False
        self.woken = asyncio.Event()
        store.follow(self._told)

    def _told(self, commit: Committed) -> None:
        if self._standing is None or commit.position > self._standing.position:
            self.woken.set()

    async def step(self) -> float:
        """Forward the next page; gives seconds until it wants to run again, sooner when `woken`."""
        now = self._clock.now()
        who = await acting(self._store, self._key_id, "events:read", now)
        stored_name = f"{self.name}:{who.tenant_id}"
        if self._standing is None or self._stored_name != stored_name:
            item = forwards.Begin(stored_name, who.tenant_id, self._from_beginning, now)
            self._standing, self._stored_name = await self._store.write(forwards.begin, item), stored_name
        position = self._standing.position
        page = await self._store.read(progress.behind, who.tenant_id, position, _PAGE_EVENTS, self._wants)
        upto, fault = await self._publish(page, position)
        # A mark that moved over other tenants' events only need not be written: they are cheap to pass again.
        if page.events and upto > position:
            await self._move(upto)
        elif upto > position:
            self._standing = forwards.Standing(upto, self._standing.epoch)
        if fault is not None:
            raise fault
        return 0.0 if len(page.events) >= _PAGE_EVENTS or upto > position else _IDLE_SECONDS

    async def _publish(self, page: progress.Page, position: int) -> tuple[int, BrokerDown | None]:
        """Publish a page; gives how far the broker confirmed it, and what stopped it."""
        read_at = to_ms(self._clock.now())
        upto = position
        for event in page.events:
            if self._draining:
                return upto, None
            body = self._render(event, page.contents, read_at)
            try:
                await self._sink.publish(Outgoing(event.id, event.kind, body))
            except BrokerDown as down:
                return upto, down
            upto = event.position
            self.forwarded += 1
        return page.upto, None

    async def _move(self, upto: int) -> None:
        standing, self._standing = self._standing, None
        assert standing is not None
        now: datetime = self._clock.now()
        # While this is not written nothing is remembered: the next step begins from what the store says.
        if await self._store.write(
            forwards.move, forwards.Move(self._stored_name, standing.epoch, upto, now)
        ):
            self._standing = forwards.Standing(upto, standing.epoch)
        else:
            log.warning("forward_taken_over", forward=self.name)

    def begin(self, fence: Fence) -> None:
        """Begin again from the store: this process has just been given the work. The mark has an epoch of its own,
        raised there, so a holder who comes too late moves nothing."""
        self._standing = None

    def drain(self) -> None:
        """Publish nothing after the event under way, so that the present step ends soon and writes its mark."""
        self._draining = True

    async def close(self) -> None:
        """Let go of the broker."""
        await self._sink.close()
