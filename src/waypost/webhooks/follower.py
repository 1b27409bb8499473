"""One subscriber being told: what goes next, and what an answer means for its events and for the endpoint.

The endpoint as a whole and a single event fail differently. No connection, a timeout, a 5xx or a request to wait
speak of the endpoint: telling pauses with a growing wait and no event loses a try; then one event of another
conversation asks whether it is back. A 4xx speaks of its event: only its conversation waits, until the event is
parked. Both can lie: several events refused in a row are the endpoint's fault, and an event that fails twice while
others right after it succeed is poisoned, whatever its status says.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from waypost.store.journal import Event
from waypost.store.subscriber_progress import Health, Progress, Standing, Stop
from waypost.webhooks.backlog import Backlog, Entry
from waypost.webhooks.filters import Filter
from waypost.webhooks.payloads import is_pushed
from waypost.webhooks.verdicts import Verdict

# How long an endpoint that fails as a whole is left alone: from 2 s doubling to 5 min, so that it is back within
# minutes of its recovery; one small POST every five minutes burdens nobody.
_ENDPOINT_WAIT_SECONDS_MIN = 2.0
_ENDPOINT_WAIT_SECONDS_MAX = 300.0
# Different events refused with nothing taken in between: more than chance, and few enough to lose no time.
_REFUSALS_IN_A_ROW = 3
# An event that failed together with the endpoint may be the cause; the second time while others pass it is.
_DOUBTS_MAX = 2
# The last success is written this often when nothing else changes.
_SUCCESS_WRITTEN_MS = 10_000
_REMEMBERED_MAX = 10_000


class Rules(Struct, frozen=True):
    """The configured waits, in milliseconds."""

    retry_delays: tuple[int, ...]
    park_after: int
    pause_after: int


class Follower:
    """Telling one subscriber. `stale`: read it again from the store before going on."""

    def __init__(self, standing: Standing, rules: Rules, jitter: Callable[[], float], now: int) -> None:
        self._rules, self._jitter = rules, jitter
        self._limits: dict[int, int] = {}  # position → the largest batch it may be part of
        self._doubts: dict[int, int] = {}
        self._suspects: dict[int, int] = {}  # position → size of the batch that failed with the endpoint
        self._accused: set[int] = set()
        self._refused: dict[int, str] = {}  # position → conversation, in a row
        self._avoid: set[str] = set()
        self._round = 0
        self.begin(standing, now)

    def begin(self, standing: Standing, now: int) -> None:
        """Take over what the store says; what was learnt about single events is kept."""
        found = standing.subscriber
        self.id, self.tenant_id, self.url = found.id, found.tenant_id, found.url
        self.batch_events_max, self.keys = found.batch_events_max, standing.keys
        self._filter = Filter(found.kinds)
        self.backlog: Backlog | None = Backlog(found.position, standing.owed, now)
        self.health = Health(found.failing_since, found.failures, found.next_try_at, found.last_success_at)
        self._written = self.health
        self.stop: Stop | None = None
        self._stop_written = False
        self.stale = False
        self.written_at = now

    def wants(self, event: Event) -> bool:
        """Say whether this event is told to this subscriber."""
        return event.tenant_id == self.tenant_id and self._filter.wants(event.kind) and is_pushed(event)

    @property
    def is_failing(self) -> bool:
        """Say whether the endpoint as a whole is being left alone."""
        return self.health.failures > 0

    @property
    def in_flight(self) -> int:
        """Give the number of POSTs under way."""
        return 0 if self.backlog is None else self.backlog.in_flight

    def may_read(self, now: int) -> bool:
        """Say whether it makes sense to hold events in memory now."""
        return (
            not self.stale and self.stop is None and (not self.is_failing or now >= self.health.next_try_at)
        )

    def wants_to_fly(self, now: int, share: int) -> bool:
        """Say whether another POST may start now."""
        if self.backlog is None or not self.may_read(now):
            return False
        self.backlog.wake_held(now)
        in_flight = self.backlog.in_flight
        if not self.backlog.has_ready or in_flight >= (1 if self.is_failing else share):
            return False
        # Batches grow while others are on their way; many small ones would cost both sides more.
        return in_flight < 2 or self.backlog.in_memory >= self.batch_events_max

    def take(self) -> tuple[list[Entry], int]:
        """Take what goes in the next POST, and the round it belongs to."""
        assert self.backlog is not None
        if self.is_failing:
            return self.backlog.take(1, self._limits, self._avoid), self._round
        return self.backlog.take(self.batch_events_max, self._limits), self._round

    def answered(self, entries: Sequence[Entry], verdict: Verdict, turn: int, now: int) -> None:
        """Draw the conclusions of one answer."""
        assert self.backlog is not None
        match verdict.meaning:
            case "told":
                self.backlog.land(entries, True, now)
                self._succeeded([entry.position for entry in entries], now)
            case "refused" if len(entries) > 1:
                self._split(entries)
                self.backlog.land(entries, False, now)
            case "refused":
                self._refuse(entries[0], verdict.fault, turn, now)
            case "gone":
                self.backlog.land(entries, False, now)
                self.stop = self.stop or Stop("disabled", verdict.fault)
            case "failing" if self._is_poison(entries) and verdict.retry_after_seconds is None:
                self._refuse(entries[0], verdict.fault, turn, now)
            case "failing":
                for entry in entries:
                    self._suspects[entry.position] = len(entries)
                    self._avoid.add(entry.key)
                self.backlog.land(entries, False, now)
                self._fail(verdict.fault, verdict.retry_after_seconds, turn, now)

    def dropped(self, entries: Sequence[Entry], now: int) -> None:
        """Take events off that are not in the journal any more."""
        assert self.backlog is not None
        self.backlog.land(entries, True, now)

    def _is_poison(self, entries: Sequence[Entry]) -> bool:
        if len(entries) > 1 or self.is_failing:
            return False
        return entries[0].tries > 0 or self._doubts.get(entries[0].position, 0) >= _DOUBTS_MAX

    def _split(self, entries: Sequence[Entry]) -> None:
        """Narrow a refused batch down to the event that is meant."""
        for entry in entries:
            self._limits[entry.position] = max(1, len(entries) // 2)

    def _succeeded(self, positions: Sequence[int], now: int) -> None:
        for position in positions:
            self._suspects.pop(position, None)
            self._doubts.pop(position, None)
            self._limits.pop(position, None)
            self._accused.discard(position)
        for position, size in self._suspects.items():
            if size > 1:
                self._limits[position] = size // 2
            else:
                self._doubts[position] = self._doubts.get(position, 0) + 1
        for position in self._accused:
            self._doubts[position] = _DOUBTS_MAX
        self._suspects.clear()
        self._accused.clear()
        self._refused.clear()
        self._avoid.clear()
        for memory in (self._doubts, self._limits):
            if len(memory) > _REMEMBERED_MAX:
                memory.clear()
        self.health = Health(None, 0, 0, now)

    def _refuse(self, entry: Entry, fault: str, turn: int, now: int) -> None:
        backlog = self.backlog
        assert backlog is not None
        if self.is_failing:
            # It was sent to see whether the endpoint is back. It is not, or this very event is poisoned: ask another.
            self._avoid.add(entry.key)
            self._accused.add(entry.position)
            backlog.land([entry], False, now)
            self._fail(fault, None, turn, now)
            return
        is_news = entry.tries == 0 and self._doubts.get(entry.position, 0) < _DOUBTS_MAX
        entry.tries, entry.fault = entry.tries + 1, fault
        entry.first_failed_at = entry.first_failed_at or now
        deadline = entry.first_failed_at + self._rules.park_after
        delays = self._rules.retry_delays
        if now >= deadline or entry.tries > len(delays):
            backlog.park(entry)
            self._doubts.pop(entry.position, None)
        else:
            delay = int(delays[entry.tries - 1] * (0.9 + self._jitter() / 5))
            entry.next_try_at = min(now + delay, deadline)
            backlog.hold(entry)
        backlog.land([entry], False, now)
        if is_news:
            self._refused[entry.position] = entry.key
        if len(self._refused) >= _REFUSALS_IN_A_ROW:
            backlog.forgive(list(self._refused), now)
            self._accused.update(self._refused)
            self._avoid.update(self._refused.values())
            self._refused.clear()
            self._fail(fault, None, turn, now)

    def _fail(self, fault: str, retry_after_seconds: float | None, turn: int, now: int) -> None:
        # What was on its way together fails together: that is one failure of the endpoint, not several.
        if turn != self._round and retry_after_seconds is None:
            return
        self._round += 1
        failures = self.health.failures + 1
        wait = min(_ENDPOINT_WAIT_SECONDS_MIN * 2.0 ** min(failures - 1, 20), _ENDPOINT_WAIT_SECONDS_MAX)
        wait *= 0.75 + self._jitter() / 2
        if retry_after_seconds is not None:
            wait = max(retry_after_seconds, 1.0)
        since = self.health.failing_since or now
        self.health = Health(since, failures, now + int(wait * 1000), self.health.last_success_at)
        if now - since >= self._rules.pause_after and self.stop is None:
            self.stop = Stop("paused", f"endpoint_failing:{fault}")

    @property
    def has_news(self) -> bool:
        """Say whether there is something to write now."""
        if self.stop is not None and not self._stop_written:
            return True
        if self.backlog is not None and self.backlog.has_news:
            return True
        old, new = self._written, self.health
        if (old.failures, old.next_try_at) != (new.failures, new.next_try_at):
            return True
        return (new.last_success_at or 0) - (old.last_success_at or 0) >= _SUCCESS_WRITTEN_MS

    @property
    def has_moved(self) -> bool:
        """Say whether the mark could move past filtered events."""
        return self.backlog is not None and self.backlog.reached > self.backlog.mark

    @property
    def is_settled(self) -> bool:
        """Say whether it can be read again from the store without telling anything twice."""
        return not self.has_news and (self.backlog is None or self.backlog.is_settled)

    def harvest(self, now: int) -> Progress | None:
        """Give what is to be written, all of it together."""
        if self.backlog is None:
            return None
        progress = self.backlog.harvest(self.id)
        self._written, self.written_at = self.health, now
        stop = None if self._stop_written else self.stop
        self._stop_written = self.stop is not None
        return Progress(
            **{name: getattr(progress, name) for name in ("subscriber_id", "position", "told", "cleared")},
            waiting=progress.waiting,
            parked=progress.parked,
            sweep=progress.sweep,
            health=self.health,
            stop=stop,
        )
