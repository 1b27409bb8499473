"""What time alone brings about, page by page: expiries, unknown outcomes, overdue messages, things kept long enough."""

from waypost.domain.ports import Clock
from waypost.domain.times import to_ms
from waypost.store import idempotency, lines, pacing, receipts, sweeps
from waypost.store.database import Store
from waypost.store.engine import Operation
from waypost.store.outcomes import Recovery, recover

_PURGE_SECONDS = 600
_SWEEPS: tuple[tuple[sweeps.Sweep, Operation], ...] = (
    ("expire", sweeps.expire),
    ("settle_unknown", sweeps.settle_unknown),
    ("tell_overdue", sweeps.tell_overdue),
)


class Sweeper:
    """Runs the sweeps; `interval_seconds` bounds how late one may be that nothing announced."""

    def __init__(self, store: Store, clock: Clock, interval_seconds: float) -> None:
        self._store, self._clock, self._interval_seconds = store, clock, interval_seconds
        self._purge_at_ms = 0

    async def step(self) -> float:
        """Do what is due; gives seconds until the next look."""
        now = self._clock.now()
        moved = 0
        due = await self._store.read(sweeps.due, now)
        if "recover" in due:
            moved += await self._store.write(recover, Recovery(now, all_in_flight=False))
        for name, sweep in _SWEEPS:
            if name in due:
                moved += await self._store.write(sweep, now)
        if "lift_blocks" in due:
            # Not counted: a line held back by a second unknown attempt goes back, and would make this spin.
            await self._store.write(lines.lift_blocks, now)
        if to_ms(now) >= self._purge_at_ms:
            await self._store.write(idempotency.purge, now)
            await self._store.write(receipts.purge_parked, now)
            await self._store.write(pacing.forget, now)
            self._purge_at_ms = to_ms(now) + _PURGE_SECONDS * 1000
        if moved:
            return 0.0
        next_at = await self._store.read(sweeps.next_sweep_at)
        wait = self._interval_seconds if next_at is None else (next_at - to_ms(self._clock.now())) / 1000
        # A message that cannot be settled yet must not make this spin.
        return min(max(wait, 0.05), self._interval_seconds)
