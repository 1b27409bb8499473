"""One gateway process of a world: the real workflows, wired as `app` wires them, on simulated ports."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from msgspec import Struct

from waypost.app.loops import Loop
from waypost.config import Inbox, Webhooks
from waypost.domain.classes import MessageClass
from waypost.domain.drafts import TemplateDraft
from waypost.domain.errors import CapabilityMissing
from waypost.domain.ids import IdSource
from waypost.domain.retry import RetryRules
from waypost.inbox.accept import CallbackInbox
from waypost.inbox.reader import Reader
from waypost.numbers.access import AccessBook
from waypost.outbox.accept import Acceptor
from waypost.outbox.holding import Holding
from waypost.outbox.sender import Sender
from waypost.outbox.sweeper import Sweeper
from waypost.simulation.clocks import ProcessClock, SeededChance
from waypost.simulation.execution import SimulatedExecution
from waypost.simulation.loop import Actor, SeededLoop
from waypost.simulation.plan import CALL_SECONDS, LEASE_SECONDS
from waypost.store.database import Store
from waypost.store.engine import Committed
from waypost.store.senders import SendingNumber
from waypost.transports.base import Transport
from waypost.webhooks.teller import Post, Teller

RULES = RetryRules(attempts_max=5, backoff_seconds_min=1.0, backoff_seconds_max=8.0)
# Polling is what finds what a lost wake-up hid; idle steps are most of a run's cost, so they are taken further apart.
_POLL_SECONDS = 5.0
_SWEEP_SECONDS = 10.0
WEBHOOKS = Webhooks(timeout_seconds=5.0, retry_delays_seconds=(1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0))


class Plain:
    """A preflight for worlds without templates and media."""

    async def template(self, number: SendingNumber, draft: TemplateDraft) -> MessageClass:
        """Say no: no plan has templates."""
        raise CapabilityMissing("no templates in a simulation")

    async def media(self, number: SendingNumber, media_id: str, field: str) -> str:
        """Say no: no plan has media."""
        raise CapabilityMissing("no media in a simulation")


class Ports(Struct, frozen=True):
    """What a process is made from."""

    loop: SeededLoop
    actor: Actor
    clock: ProcessClock
    execution: SimulatedExecution
    transport: Callable[["SimulatedProcess"], Transport]
    post: Post
    chance: Random
    in_flight_max: int


class SimulatedProcess:
    """A process's life; a restart is another one. `name` is the owner its leases are held by."""

    def __init__(self, name: str, store: Store, ports: Ports) -> None:
        self.name, self.store, self.ports = name, store, ports
        self.actor, self.clock, self.execution = ports.actor, ports.clock, ports.execution
        self.is_deaf = self.is_stopping = False
        self.suspended_at: float | None = None
        clock, chance = ports.clock, SeededChance(ports.chance)
        holding = Holding(
            store,
            clock,
            owner=name,
            alone=False,
            lease_seconds=LEASE_SECONDS,
            call_seconds=CALL_SECONDS,
            roles=("reader", "sweeper", "teller"),
        )
        self.holding = holding
        self.sender = Sender(
            store,
            ports.transport(self),
            AccessBook(store, clock).access_of,
            clock,
            holding,
            in_flight_max=ports.in_flight_max,
            per_number_in_flight_max=ports.in_flight_max // 2,
            rules=RULES,
        )
        self.acceptor = Acceptor(store, Plain(), IdSource(chance), clock, expect=self.sender.expect)
        self.inbox = CallbackInbox(store, clock)
        self.teller = Teller(store, clock, chance, ports.post, WEBHOOKS)
        self._reader = Loop(
            "reader", _at_least(Reader(store, clock, Inbox(), RULES).step), role=holding.role("reader")
        )
        self._loops = (
            Loop("sender", self.sender.step, self.sender.woken),
            Loop("sweeper", Sweeper(store, clock, _SWEEP_SECONDS).step, role=holding.role("sweeper")),
            self._reader,
            Loop(
                "teller",
                self.teller.step,
                self.teller.woken,
                role=holding.role("teller"),
                begin=self.teller.begin,
                rest=self.teller.rest,
            ),
        )
        self._tasks: list[asyncio.Task[None]] = []
        store.follow(self._told)

    def _told(self, commit: Committed) -> None:
        if "callbacks" in commit.waiting:
            self._reader.woken.set()

    async def run(self) -> None:
        """Live until stopped: recover, then run the loops."""
        await self.sender.recover()
        self._tasks = [self.ports.loop.create_task(loop.run()) for loop in self._loops]

    async def stop(self) -> None:
        """End in order."""
        self.is_stopping = True
        for loop in self._loops:
            loop.stop()
        await asyncio.gather(*self._tasks)
        await self.sender.drain()
        await self.teller.drain()

    def hear(self, commit: Committed) -> None:
        """Hear of another process's commit."""
        if not self.is_deaf:
            self.store.hear(commit)


def _at_least(step: Callable[[], Any]) -> Callable[[], Any]:
    async def spaced() -> float:
        wait = float(await step())
        return wait and max(wait, _POLL_SECONDS)

    return spaced
