"""Looks at a world after every commit, call and telling, and stops it at the first broken invariant."""

import zlib
from collections import deque
from collections.abc import Callable, Mapping

from msgspec import Struct

from waypost.simulation import invariants
from waypost.simulation.history import History, Story
from waypost.simulation.provider import Call
from waypost.simulation.turns import Turns
from waypost.store import journal, rehearsal
from waypost.store.journal import Event
from waypost.store.transaction import Reading

_TRACE_LINES_MAX = 60
# Fairness: a lane with work gets at least one of as many attempts as its holder has room for, three times over.
_FLOOR_OF_ROOM = 3


class Violation(Struct, frozen=True):
    """An invariant that did not hold, the sentence that says why, and what happened right before."""

    invariant: str
    story: str
    trace: tuple[str, ...] = ()


class Listener:
    """What one subscriber wants and has been told, by position."""

    def __init__(self, subscriber_id: str, since: int) -> None:
        self.id, self.since, self.mark = subscriber_id, since, since
        self.wanted: list[int] = []
        self.by_key: dict[str, list[int]] = {}
        self.told: set[int] = set()
        self.parked: set[int] = set()


class Watch:
    """`stop` ends the run; `now_seconds` is for the trace only."""

    def __init__(
        self,
        reading: Reading,
        ledger: Mapping[str, Call],
        stop: Callable[[], None],
        now_seconds: Callable[[], float],
        in_flight_max: int,
    ) -> None:
        self.reading, self._ledger, self._stop, self._now_seconds = reading, ledger, stop, now_seconds
        self.history = History(reading)
        self._turns = Turns(self.history, _FLOOR_OF_ROOM * in_flight_max, in_flight_max // 2)
        self.listeners: dict[str, Listener] = {}
        self.violation: Violation | None = None
        self.steps = 0
        self._trace: deque[tuple[float, str, str | Event]] = deque(maxlen=_TRACE_LINES_MAX)

    def note(self, who: str, what: str) -> None:
        """Keep a line of the trace."""
        self._trace.append((self._now_seconds(), who, what))

    def broken(self, invariant: str, story: str) -> None:
        """Keep the first broken invariant and stop."""
        if self.violation is None:
            trace = tuple(f"{at:9.3f} {who:8} {_shown(what)}" for at, who, what in self._trace)
            self.violation = Violation(invariant, story, trace)
            self._stop()

    def check(self, invariant: str, story: str | None) -> None:
        """Break on a sentence."""
        if story is not None:
            self.broken(invariant, story)

    def committed(self, who: str, position: int) -> None:
        """Look at what a commit brought; `position` is the journal's last one now."""
        self.steps += 1
        for subscriber_id, mark in rehearsal.marks(self.reading):
            if mark != self.listeners[subscriber_id].mark:
                self._marked(self.listeners[subscriber_id], mark)
        if position == self.history.position:
            return
        self.history.committer, before = who, len(self.history.lines)
        for event in journal.after(self.reading, self.history.position, 1000):
            story = self.history.take(event)
            self._trace.append((self._now_seconds(), who, event))
            for rule in invariants.EVERY_LINE:
                if (told := rule(self.history, event, story)) is not None:
                    self.broken(rule.__name__, told)
            self._owe(event)
        # Rows are as they are after the commit, so all of its lines are taken first.
        for event in self.history.lines[before:]:
            if event.kind == "message.attempted":
                self.check(
                    "nobody_is_passed_over", self._turns.attempted(self.history.stories[event.aggregate_id])
                )

    def _owe(self, event: Event) -> None:
        if event.kind == "event.parked":
            self.listeners[event.aggregate_id].parked.add(int(event.facts["event_id"].rsplit("_", 1)[1]))
            if event.facts["kind"] == "event.parked":
                return
        for listener in self.listeners.values():
            if event.position <= listener.since:
                continue
            listener.wanted.append(event.position)
            listener.by_key.setdefault(event.order_key, []).append(event.position)

    def _marked(self, listener: Listener, mark: int) -> None:
        missed = [p for p in listener.wanted if listener.mark < p <= mark and p not in listener.told]
        if missed:
            owed = set(rehearsal.owed(self.reading, listener.id))
            story = invariants.marks_rest_on_answers(mark, missed, listener.told, owed | listener.parked)
            self.check("marks_rest_on_answers", story)
        listener.mark = max(mark, listener.mark)

    def took(self, subscriber_id: str, positions: list[int]) -> None:
        """Look at what a subscriber takes."""
        listener = self.listeners[subscriber_id]
        for position in positions:
            if position not in listener.told:
                key = self.history.lines[position - 1].order_key
                told = listener.told | listener.parked if listener.parked else listener.told
                self.check(
                    "first_tellings_are_in_order",
                    invariants.first_tellings_are_in_order(position, listener.by_key[key], told),
                )
                listener.told.add(position)

    def spoken(self, process: str, echo: str, at_ms: int, is_misled: bool) -> None:
        """Look at a call as it begins. A machine whose clock stood still cannot know that its lease is over: then only
        the database's fences count, and the call's attempt is `unknown` to its successor."""
        self.note(process, f"speaks {echo[-6:]}")
        self.check(
            "every_call_has_its_attempt",
            invariants.every_call_has_its_attempt(self.history, echo, self._ledger, at_ms),
        )
        if not is_misled:
            self.check("one_live_holder", invariants.one_live_holder(self.history, process, echo))

    def digest(self) -> int:
        """Give a number that two runs share only when they wrote the same journal."""
        return zlib.crc32(
            "\n".join([f"{e.kind} {e.aggregate_id} {e.at}" for e in self.history.lines]).encode()
        )

    def is_all_told(self) -> bool:
        """Say whether every subscriber was told everything."""
        return all(
            listener.told.issuperset(set(listener.wanted) - listener.parked)
            for listener in self.listeners.values()
        )

    def stories(self) -> list[Story]:
        """Give all messages."""
        return list(self.history.stories.values())


def _shown(event: str | Event) -> str:
    if isinstance(event, str):
        return event
    facts = " ".join(f"{name}={str(value)[-12:]}" for name, value in event.facts.items())
    return f"{event.position:4} {event.kind} {event.aggregate_id[-6:]} v{event.version} {event.reason or ''} {facts}"
