"""The story of sending, on one page: keep the lanes, claim what is due, speak, record the outcome.

A claim is made only with a free slot to speak in, and the attempt is real from the claim's commit on. An outcome is
recorded until the store takes it: while it cannot, the slot stays taken, so a full disk slows sending instead of
losing what the provider said. What this process cannot record because it dies is found by its successor and becomes
`unknown`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import structlog

from waypost.domain.errors import Unavailable
from waypost.domain.outcomes import Failed, Outcome, Unknown
from waypost.domain.ports import Clock
from waypost.domain.retry import RetryRules
from waypost.domain.times import to_ms
from waypost.outbox.holding import HAND_OVER_SECONDS, Holding
from waypost.policies.decide import decide
from waypost.store.claims import Claim, Claimed, ClaimRequest, claim
from waypost.store.database import Store
from waypost.store.engine import Committed
from waypost.store.lines import IN_LINE
from waypost.store.outcomes import Answered, Recovery, record_outcomes, recover
from waypost.transports.base import Access, Recipient, Transport

log = structlog.get_logger("waypost.outbox")
_NOT_SPOKEN = Failed(
    None,
    "retry",
    "not spoken",
    "it was not said: its lease, or the database, was gone before the call could begin",
)


class Sender:
    """Sends what is due on the lanes that `holding` keeps; `step` drives it, too."""

    def __init__(
        self,
        store: Store,
        transport: Transport,
        access_of: Callable[[str], Awaitable[Access]],
        clock: Clock,
        holding: Holding,
        *,
        in_flight_max: int,
        per_number_in_flight_max: int,
        rules: RetryRules,
    ) -> None:
        self._store, self._transport, self._access_of, self._clock = store, transport, access_of, clock
        self._holding = holding
        self._in_flight_max, self._per_number_max = in_flight_max, per_number_in_flight_max
        self._rules = rules
        self._epochs: dict[str, int] = {}
        self._next_at: dict[str, int] = {}  # per lane, milliseconds: when to ask it again
        # Told of while a claim may be under way: kept apart, or the claim's answer would overwrite the wake-up.
        self._told_of: set[str] = set()
        self._flying: dict[str, int] = {}
        self._turn = 0
        self._asked_in: dict[str, int] = {}  # by lane: the turn in which it was asked last
        self._tasks: set[asyncio.Task[None]] = set()
        self.woken = holding.woken
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
        while count := await self._store.write(recover, Recovery(self._clock.now(), self._holding.alone)):
            found += count
        return found

    async def step(self) -> float:
        """Keep the lanes, claim what is due and start speaking it; gives seconds until it wants to run again."""
        await self._keep()
        now, claimed_at = self._clock.now(), self._clock.monotonic()
        now_ms = to_ms(now)
        free = self._in_flight_max - len(self._tasks)
        ready = [n for n in self._epochs if self._is_due(n, now_ms) and self._room(n) > 0]
        if free <= 0 or not ready or not self._holding.may_claim():
            return self._idle_seconds(now_ms)
        asked = self._in_turn(ready)[:free]
        # So many that twice the rest is left, where that can be.
        share = min(free // len(asked), -(-2 * free // (2 * len(asked) + 1)))
        # The attempt's own lease: its call may take this long to start, and then to end.
        lease_seconds = self._holding.start_seconds + self._holding.call_seconds
        requests = [
            ClaimRequest(
                number_id,
                self._holding.owner,
                self._epochs[number_id],
                min(share, self._room(number_id)),
                lease_seconds,
                now,
                decide,
            )
            for number_id in asked
        ]
        self._turn += 1
        self._asked_in.update(dict.fromkeys(asked, self._turn))
        self._told_of.difference_update(asked)
        try:
            claims: list[Claim] = await self._store.write(claim, requests, late=True)
        except BaseException:
            # Nothing was claimed: who was told of is still to be asked.
            self._told_of.update(asked)
            raise
        for request, answer in zip(requests, claims, strict=True):
            self._note(request, answer)
            for claimed in answer.claimed:
                self._start(claimed, request.epoch, claimed_at)
        return self._idle_seconds(to_ms(self._clock.now()))

    async def _keep(self) -> None:
        holding = self._holding
        if not all(map(holding.knows, self._told_of)):
            # A number nobody holds yet has work: take its lane now. One that another process holds is theirs to wake.
            holding.hurry()
        did_beat = await holding.keep(self._flying)
        before, self._epochs = self._epochs, dict(holding.lanes)
        for gone in before.keys() - self._epochs.keys():
            self._asked_in.pop(gone, None)
        self._told_of &= self._epochs.keys()
        # Other processes accept for our lanes, and their word may be lost: each beat asks every lane.
        for number_id in (
            self._epochs if did_beat and not holding.alone else self._epochs.keys() - before.keys()
        ):
            self._next_at[number_id] = 0

    def _note(self, request: ClaimRequest, answer: Claim) -> None:
        if answer.fenced:
            # Another process took the lane, or the lease is too short for a call: beat before the next claim.
            self._holding.hurry()
        if len(answer.claimed) == request.limit:
            self._next_at[request.number_id] = 0
        else:
            self._next_at[request.number_id] = IN_LINE if answer.next_at is None else answer.next_at

    def _is_due(self, number_id: str, now_ms: int) -> bool:
        return number_id in self._told_of or self._next_at.get(number_id, 0) <= now_ms

    def _in_turn(self, ready: list[str]) -> list[str]:
        # Where there is room for a few calls only, lanes that always have work would else take every place that gets
        # free, and one behind them would never send.
        return sorted(ready, key=lambda number_id: self._asked_in.get(number_id, 0))

    def _room(self, number_id: str) -> int:
        # No lane holds more than twice the calls it leaves free: however many are silent, the next one finds some.
        # (Dynamic thresholds, as switches share a buffer: Choudhury and Hahne, 1998.)
        flying = self._flying.get(number_id, 0)
        free = self._in_flight_max - len(self._tasks)
        return min(self._per_number_max - flying, -(-(2 * free - flying) // 3))

    def _idle_seconds(self, now_ms: int) -> float:
        wait = self._holding.wait_seconds()
        if len(self._tasks) < self._in_flight_max:
            open_lanes = [n for n in self._epochs if self._room(n) > 0]
            times = [0 if n in self._told_of else self._next_at.get(n, 0) for n in open_lanes]
            wait = min([wait, *((at - now_ms) / 1000 for at in times)])
        return max(0.0, wait)

    def _start(self, claimed: Claimed, epoch: int, claimed_at: float) -> None:
        self._flying[claimed.number_id] = self._flying.get(claimed.number_id, 0) + 1
        task = asyncio.create_task(self._speak(claimed, epoch, claimed_at))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finished(done, claimed.number_id))

    def _finished(self, task: asyncio.Task[None], number_id: str) -> None:
        self._tasks.discard(task)
        self._flying[number_id] -= 1
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("attempt_abandoned", number_id=number_id, error=type(error).__name__)
        self.woken.set()

    async def _speak(self, claimed: Claimed, epoch: int, claimed_at: float) -> None:
        kind: Literal["phone", "bsuid"] = "bsuid" if claimed.recipient_kind == "bsuid" else "phone"
        try:
            access = await self._access_of(claimed.number_id)
        except Unavailable as fault:
            # The store is away, and the number's secret with it: nothing was said.
            log.warning("attempt_not_spoken", attempt_id=claimed.attempt_id, code=fault.code)
            await self._record(claimed, _NOT_SPOKEN)
            return
        try:
            # A slow commit, or a pause of the whole process, may have eaten the time to start. Nothing may be awaited
            # between the last look at the clock and the call.
            while not self._holding.may_call(claimed.number_id, epoch, claimed_at):
                again = await self._holding.prolong(claimed.attempt_id, claimed.number_id, epoch)
                if again is None:
                    # No longer ours to say, and never said: that much is known, whoever holds the lane now.
                    log.warning("attempt_not_spoken", attempt_id=claimed.attempt_id)
                    await self._record(claimed, _NOT_SPOKEN)
                    return
                claimed_at = again
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
        """Claim nothing more, hand the lanes over as their calls end, let what is being spoken end."""
        holding = self._holding
        await holding.begin_drain()
        self._epochs = {}
        await holding.hand_over(self._flying)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=HAND_OVER_SECONDS)
            await holding.hand_over({})
        if self._tasks:
            # Every call ends by its own timeout. What is left then waits for a store that takes nothing: the next
            # process finds those attempts without an outcome, and evidence decides.
            _, left = await asyncio.wait(set(self._tasks), timeout=holding.call_seconds + 1)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
