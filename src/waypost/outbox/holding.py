"""What this process holds, and until when it may use it: lanes and roles, kept by a beat.

Every lease is fenced twice: in the database by owner and epoch, and here on the process's own monotonic clock, counted
from before the beat was asked for. A process that was paused knows by that clock that its time may be over, and does
nothing under a lease until a beat has told it what it still holds.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta

import structlog

from waypost.domain.errors import Unavailable
from waypost.domain.ports import Clock
from waypost.domain.times import to_ms
from waypost.store import lanes, processes
from waypost.store.database import Store
from waypost.store.engine import Committed
from waypost.store.processes import MARGIN_SECONDS, Fence, Held

log = structlog.get_logger("waypost.outbox")
# Also how often lanes are asked for what a lost wake-up hid, where other processes accept for them.
_BEAT_SECONDS_MAX = 5.0
# A lane that is handed over is not claimed from while its calls end. Longer than this would be a gap in its sending;
# what is still on the wire then goes on: its attempt has a lease of its own, and keeps its conversation's place.
HAND_OVER_SECONDS = 1.0
_NOTHING = Held({}, {}, (), (), frozenset(), None)


class Role:
    """Work that one process does at a time, as this process sees it."""

    def __init__(self, name: str, holding: "Holding") -> None:
        self.name, self._holding = name, holding
        self.woken = asyncio.Event()  # replaced by the loop that does the work
        self.is_in_use = False

    @property
    def fence(self) -> Fence | None:
        """Give what writes of this role are fenced by; None when it is not ours to do now."""
        return self._holding.fence_of(self.name)

    def begin(self) -> None:
        """Say that the work goes on: the role is not let go before `end`."""
        self.is_in_use = True

    def end(self) -> None:
        """Say that the work has come to rest."""
        self.is_in_use = False
        self._holding.woken.set()


class Holding:
    """Lanes and roles of one life of a process. `woken` is set when `keep` has something to do.

    `alone`: no other process can exist. `call_seconds` is the longest that one call to the provider takes. `capacity`
    weighs this process's share of the lanes.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        owner: str,
        alone: bool,
        lease_seconds: float,
        call_seconds: float,
        capacity: int = 1,
        roles: Iterable[str] = (),
        release: str = "",
    ) -> None:
        self._store, self._clock = store, clock
        self.owner, self.alone = owner, alone
        self._capacity, self._release = capacity, release
        self._lease, self.call_seconds = timedelta(seconds=lease_seconds), call_seconds
        # Half of what the lease leaves beside a call is for getting the call started, a quarter at most is margin.
        spare = max(0.0, lease_seconds - call_seconds)
        self.start_seconds = spare / 2
        self._usable_seconds = lease_seconds - min(MARGIN_SECONDS, spare / 4)
        self._period = min(lease_seconds / 4, _BEAT_SECONDS_MAX)
        self._roles = {name: Role(name, self) for name in roles}
        self._held = _NOTHING
        self._lanes: dict[str, int] = {}
        self._giving_until: dict[
            str, float
        ] = {}  # lanes that are not claimed from any more: when they go at the latest
        self._usable_until = self._claim_until = self._beat_at = float("-inf")
        self._draining = False
        self.beats = 0
        self._asking = asyncio.Lock()  # many late attempts at once want one beat
        self.woken = asyncio.Event()
        store.follow(self._told)

    def _told(self, commit: Committed) -> None:
        if "lanes" in commit.waiting and not self._draining:
            self.hurry()

    def hurry(self) -> None:
        """Beat at the next `keep`."""
        self._beat_at = float("-inf")
        self.woken.set()

    def role(self, name: str) -> Role:
        """Give the role of this name."""
        return self._roles[name]

    @property
    def lanes(self) -> Mapping[str, int]:
        """Give the lanes to claim from, with their epochs."""
        return self._lanes

    def knows(self, number_id: str) -> bool:
        """Say whether the lane is ours, or another process's to wake."""
        return number_id in self._held.lanes or number_id in self._held.others

    def epoch_of(self, number_id: str) -> int | None:
        """Give the epoch under which a lane is ours, one that is being handed over included."""
        return self._held.lanes.get(number_id)

    def fence_of(self, role: str) -> Fence | None:
        """Give what writes of a role are fenced by; None when it is not ours now."""
        epoch = self._held.roles.get(role)
        if epoch is None or role in self._held.roles_to_give or self._is_over:
            return None
        return Fence(role, self.owner, epoch)

    @property
    def _is_over(self) -> bool:
        return self._clock.monotonic() > self._usable_until

    def may_claim(self) -> bool:
        """Say whether a call that starts in time after a claim now would end within every lease."""
        return self._clock.monotonic() < self._claim_until

    def may_call(self, number_id: str, epoch: int, claimed_at: float) -> bool:
        """Say whether a call may start now: the lane is ours under the epoch of its claim, and the claim's time (by the
        monotonic clock, before it was asked for) is recent enough for the call to end within its leases."""
        is_in_time = self._clock.monotonic() <= claimed_at + self.start_seconds
        return is_in_time and self._held.lanes.get(number_id) == epoch

    async def keep(self, flying: Mapping[str, int]) -> bool:
        """Beat when it is time, hand over what is to go; `flying`: calls under way by lane. Gives whether it beat."""
        did_beat = self._clock.monotonic() >= self._beat_at or not self.may_claim()
        if did_beat:
            await self._beat()
        await self._hand_over(flying)
        return did_beat

    async def _beat(self) -> None:
        now, before = self._clock.now(), self._clock.monotonic()
        wish = processes.Beat(
            self.owner,
            now,
            now + self._lease,
            self._capacity,
            tuple(self._roles),
            self._draining,
            self.alone,
            self._release,
        )
        held: Held = await self._store.write(processes.beat, wish)
        self.beats += 1
        self._usable_until = before + self._usable_seconds
        self._claim_until = self._usable_until - self.call_seconds - self.start_seconds
        wait = self._period
        if held.look_at is not None:
            wait = min(wait, max(0.0, (held.look_at - to_ms(now)) / 1000))
        self._beat_at = before + wait
        self._learn(held)

    def _learn(self, held: Held) -> None:
        changed = [
            role
            for role in self._roles.values()
            if (self._held.roles.get(role.name), role.name in self._held.roles_to_give)
            != (held.roles.get(role.name), role.name in held.roles_to_give)
        ]
        self._held = held
        latest = self._clock.monotonic() + HAND_OVER_SECONDS
        self._giving_until = {name: self._giving_until.get(name, latest) for name in held.lanes_to_give}
        self._lanes = {name: epoch for name, epoch in held.lanes.items() if name not in self._giving_until}
        for role in changed:
            role.woken.set()

    async def _hand_over(self, flying: Mapping[str, int]) -> None:
        now = self._clock.monotonic()
        ready = [name for name, until in self._giving_until.items() if not flying.get(name) or until <= now]
        roles = [name for name in self._held.roles_to_give if not self._roles[name].is_in_use]
        if ready:
            # Not ours from before the write on: a call that was not started yet must not start beside the successor's.
            self._forget(ready, [])
            await self._store.write(
                lanes.hand_over, lanes.Giving(self.owner, tuple(ready), self._clock.now())
            )
        if roles:
            self._forget([], roles)
            item = processes.Leaving(self.owner, tuple(roles), False, self._clock.now())
            await self._store.write(processes.leave, item)

    def _forget(self, gone_lanes: Iterable[str], gone_roles: Iterable[str]) -> None:
        gone, left = set(gone_lanes), set(gone_roles)
        held = self._held
        self._held = Held(
            {name: epoch for name, epoch in held.lanes.items() if name not in gone},
            {name: epoch for name, epoch in held.roles.items() if name not in left},
            tuple(name for name in held.lanes_to_give if name not in gone),
            tuple(name for name in held.roles_to_give if name not in left),
            held.others | gone,
            held.look_at,
        )
        for name in gone:
            self._giving_until.pop(name, None)

    def wait_seconds(self) -> float:
        """Give seconds until `keep` wants to run again."""
        left = min(self._beat_at, self._claim_until, *self._giving_until.values()) - self._clock.monotonic()
        # Not so little that no clock could tell it apart from nothing.
        return max(left, 0.001) if left > 0 else 0.0

    async def prolong(self, attempt_id: str, number_id: str, epoch: int) -> float | None:
        """Ask for another start of an attempt whose time to start is over; gives the monotonic time it counts from, or
        None when lane or attempt are no longer ours: then it is never spoken."""
        try:
            async with self._asking:
                if not self.may_claim():
                    await self._beat()
            before = self._clock.monotonic()
            until = self._clock.now() + timedelta(seconds=self.start_seconds + self.call_seconds)
            if self.epoch_of(number_id) != epoch:
                return None
            item = lanes.Prolonging(attempt_id, number_id, self.owner, epoch, until)
            return before if await self._store.write(lanes.prolong, item) else None
        except Unavailable as fault:
            log.warning("attempt_not_prolonged", attempt_id=attempt_id, code=fault.code)
            return None

    async def begin_drain(self) -> None:
        """Take nothing more, and say so: the others share out anew."""
        self._draining = True
        try:
            await self._beat()
        except Unavailable as fault:
            log.warning("drain_not_announced", code=fault.code)
            self._lanes = {}
            self._giving_until = dict.fromkeys(self._held.lanes, self._clock.monotonic() + HAND_OVER_SECONDS)

    async def hand_over(self, flying: Mapping[str, int]) -> None:
        """While draining: let go of the lanes that have come to rest, or have had their time."""
        try:
            await self._hand_over(flying)
        except Unavailable as fault:
            log.warning("lanes_not_given_back", code=fault.code)

    async def leave(self) -> None:
        """At the end, with everything at rest: let go of what is left, and of the process's own row."""
        at = self._clock.now()
        try:
            if self._held.lanes:
                await self._store.write(
                    lanes.hand_over, lanes.Giving(self.owner, tuple(self._held.lanes), at)
                )
            await self._store.write(
                processes.leave, processes.Leaving(self.owner, tuple(self._held.roles), True, at)
            )
        except Unavailable as fault:
            log.warning("process_not_signed_off", code=fault.code)
        self._held, self._lanes, self._giving_until = _NOTHING, {}, {}
