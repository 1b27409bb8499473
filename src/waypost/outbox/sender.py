"""The story of sending, on one page: hold lanes, claim what is due, speak, record the outcome.

A claim is made only with a free slot to speak in, and the attempt is real from the claim's commit on. An outcome is
recorded until the store takes it: while it cannot, the slot stays taken, so a full disk slows sending instead of
losing what the provider said. What this process cannot record because it dies is found by its successor and becomes
`unknown`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Literal

import structlog

from waypost.domain.errors import Unavailable
from waypost.domain.outcomes import Outcome, Unknown
from waypost.domain.ports import Clock
from waypost.domain.retry import RetryRules
from waypost.domain.times import to_ms
from waypost.policies.decide import decide
from waypost.store import lanes
from waypost.store.claims import Claim, Claimed, ClaimRequest, claim
from waypost.store.database import Store
from waypost.store.engine import Committed
from waypost.store.lines import IN_LINE
from waypost.store.outcomes import Answered, Recovery, record_outcomes, recover
from waypost.transports.base import Access, Recipient, Transport

log = structlog.get_logger("waypost.outbox")


class Sender:
    """Sends what is due on the lanes this process holds.

    `owner` names this life of the process; `alone` says that no other process can hold a lane (embedded engine).
    """

    def __init__(
        self,
        store: Store,
        transport: Transport,
        access_of: Callable[[str], Awaitable[Access]],
        clock: Clock,
        *,
        owner: str,
        alone: bool,
        lease_seconds: float,
        call_seconds: float,
        in_flight_max: int,
        per_number_in_flight_max: int,
        rules: RetryRules,
    ) -> None:
        self._store, self._transport, self._access_of, self._clock = store, transport, access_of, clock
        self._owner, self._alone = owner, alone
        self._lease, self._call_seconds = timedelta(seconds=lease_seconds), call_seconds
        self._in_flight_max, self._per_number_max = in_flight_max, per_number_in_flight_max
        self._rules = rules
        self._epochs: dict[str, int] = {}
        self._next_at: dict[str, int] = {}  # per lane, milliseconds: when to ask it again
        # Told of while a claim may be under way: kept apart, or the claim's answer would overwrite the wake-up.
        self._told_of: set[str] = set()
        self._renew_at = 0
        self._flying: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self.woken = asyncio.Event()
        store.follow(self._told)

    def expect(self, number_id: str) -> None:
        """Ask the lane now: something is being accepted for it, and the claim may share its commit."""
        self._told_of.add(number_id)
        self.woken.set()

    def _told(self, commit: Committed) -> None:
        self._told_of |= commit.due_numbers
        if commit.due_numbers:
            self.woken.set()

    @property
    def in_flight(self) -> int:
        """Give the number of attempts being spoken now."""
        return len(self._tasks)

    async def recover(self) -> int:
        """At the start: what a dead process was speaking becomes `unknown`; gives how many."""
        found = 0
        while count := await self._store.write(recover, Recovery(self._clock.now(), self._alone)):
            found += count
        return found

    async def step(self) -> float:
        """Renew the lanes, claim what is due and start speaking it; gives seconds until it wants to run again."""
        now = self._clock.now()
        now_ms = to_ms(now)
        if now_ms >= self._renew_at or not self._told_of <= self._epochs.keys():
            # A number nobody holds yet has work: take its lane now. One that another process holds is theirs to wake.
            await self._renew()
            self._told_of &= self._epochs.keys()
        free = self._in_flight_max - len(self._tasks)
        ready = [n for n in self._epochs if self._is_due(n, now_ms) and self._room(n) > 0]
        if self._draining or free <= 0 or not ready:
            return self._idle_seconds(now_ms)
        share = max(1, free // len(ready))
        requests = [
            ClaimRequest(
                number_id,
                self._owner,
                self._epochs[number_id],
                min(share, self._room(number_id)),
                self._call_seconds,
                now,
                decide,
            )
            for number_id in ready[:free]
        ]
        self._told_of.difference_update(ready[:free])
        try:
            claims: list[Claim] = await self._store.write(claim, requests, late=True)
        except BaseException:
            # Nothing was claimed: who was told of is still to be asked.
            self._told_of.update(ready[:free])
            raise
        for request, answer in zip(requests, claims, strict=True):
            self._note(request, answer)
            for claimed in answer.claimed:
                self._start(claimed)
        return self._idle_seconds(to_ms(self._clock.now()))

    def _note(self, request: ClaimRequest, answer: Claim) -> None:
        if answer.fenced:
            # Another process took the lane, or the lease is too short for a call: renew before the next claim.
            self._renew_at = 0
        if len(answer.claimed) == request.limit:
            self._next_at[request.number_id] = 0
        else:
            self._next_at[request.number_id] = IN_LINE if answer.next_at is None else answer.next_at

    def _is_due(self, number_id: str, now_ms: int) -> bool:
        return number_id in self._told_of or self._next_at.get(number_id, 0) <= now_ms

    def _room(self, number_id: str) -> int:
        return self._per_number_max - self._flying.get(number_id, 0)

    def _idle_seconds(self, now_ms: int) -> float:
        times = [self._renew_at]
        if not self._draining and len(self._tasks) < self._in_flight_max:
            open_lanes = [n for n in self._epochs if self._room(n) > 0]
            times += [0 if n in self._told_of else self._next_at.get(n, 0) for n in open_lanes]
        return max(0.0, (min(times) - now_ms) / 1000)

    async def _renew(self) -> None:
        now = self._clock.now()
        wish = lanes.Hold(self._owner, now, now + self._lease, self._alone)
        held: list[lanes.Lane] = await self._store.write(lanes.hold, wish)
        before = self._epochs
        self._epochs = {lane.number_id: lane.epoch for lane in held}
        for number_id in self._epochs.keys() - before.keys():
            self._next_at[number_id] = 0
        self._renew_at = to_ms(now + self._lease / 4)

    def _start(self, claimed: Claimed) -> None:
        self._flying[claimed.number_id] = self._flying.get(claimed.number_id, 0) + 1
        task = asyncio.create_task(self._speak(claimed))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finished(done, claimed.number_id))

    def _finished(self, task: asyncio.Task[None], number_id: str) -> None:
        self._tasks.discard(task)
        self._flying[number_id] -= 1
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("attempt_abandoned", number_id=number_id, error=type(error).__name__)
        self.woken.set()

    async def _speak(self, claimed: Claimed) -> None:
        kind: Literal["phone", "bsuid"] = "bsuid" if claimed.recipient_kind == "bsuid" else "phone"
        try:
            access = await self._access_of(claimed.number_id)
            outcome: Outcome = await self._transport.send(
                access, Recipient(kind, claimed.recipient), claimed.content, claimed.attempt_id
            )
        except Exception as error:
            # Transports answer with values; whatever escapes one is our bug, and says nothing about the wire.
            log.error("transport_raised", attempt_id=claimed.attempt_id, error=type(error).__name__)
            outcome = Unknown("internal_error")
        await self._record(claimed, outcome)

    async def _record(self, claimed: Claimed, outcome: Outcome) -> None:
        while True:
            answered = Answered(
                claimed.attempt_id, outcome, claimed.recipient, self._rules, self._clock.now()
            )
            try:
                await self._store.write(record_outcomes, answered)
                return
            except Unavailable as fault:
                log.warning("outcome_not_yet_recorded", attempt_id=claimed.attempt_id, code=fault.code)
                await self._clock.sleep(fault.retry_after_seconds or 1)

    async def drain(self) -> None:
        """Claim nothing more, let what is being spoken end, and give the lanes back."""
        self._draining = True
        if self._tasks:
            # Every call ends by its own timeout. What is left then waits for a store that takes nothing: the next
            # process finds those attempts without an outcome, and evidence decides.
            _, left = await asyncio.wait(set(self._tasks), timeout=self._call_seconds + 1)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        try:
            await self._store.write(lanes.let_go, self._owner)
        except Unavailable as fault:
            log.warning("lanes_not_given_back", code=fault.code)
