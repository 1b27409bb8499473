"""What one subscriber is owed, in memory: which events may go now, which wait, and how far the low-water mark is.

Pure bookkeeping over what the store says; it can be thrown away and read again at any time while nothing of it is on
the wire. An event goes only when no earlier one of the same order key is untold; keys go side by side.
"""

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Literal

from waypost.store.subscriber_progress import GivenUp, Owed, Progress
from waypost.webhooks.payloads import Telling

# Events held in memory for one subscriber: a few rounds of the largest batches on all its connections.
WINDOW_EVENTS = 2000
# Rows of events that wait behind refused ones. Beyond, reading stops until some are told or parked: an endpoint that
# refuses this much is in need of a person, and its rows must not grow without end.
WAITING_EVENTS_MAX = 10_000
_BATCH_BYTES_MAX = 512 * 1024


class Entry:
    """An event owed. `stored`: it has a row; `closed`: it is settled; `telling`: None until it is read again."""

    __slots__ = (
        "closed",
        "fault",
        "first_failed_at",
        "key",
        "next_try_at",
        "position",
        "stored",
        "telling",
        "tries",
    )

    def __init__(self, position: int, key: str, telling: Telling | None, stored: bool) -> None:
        self.position, self.key, self.telling, self.stored = position, key, telling, stored
        self.closed = False
        self.tries = self.next_try_at = 0
        self.first_failed_at: int | None = None
        self.fault: str | None = None

    def __lt__(self, other: "Entry") -> bool:
        return self.position < other.position

    def owed(self, state: Literal["waiting", "parked"]) -> Owed:
        """Give its row."""
        return Owed(
            self.position, self.key, state, self.tries, self.first_failed_at, self.next_try_at, self.fault
        )


class Backlog:
    """Built from the mark and the rows; `mark` is what the store knows, `read_to` how far the journal was read."""

    def __init__(self, mark: int, owed: Sequence[Owed], now: int) -> None:
        self.mark = self.read_to = mark
        self._entries: dict[int, Entry] = {}
        self._order: deque[Entry] = deque()  # without a row, in order: they hold the mark back
        self._queues: dict[str, list[Entry]] = {}
        self._states: dict[str, Literal["ready", "held", "flying"]] = {}
        self._ready: deque[str] = deque()
        self._held: list[tuple[int, str]] = []
        self._told_above: set[int] = set()
        self._told: list[Entry] = []
        self._cleared: list[int] = []
        self._to_store: dict[int, Entry] = {}
        self._parked: list[GivenUp] = []
        self.in_flight = 0
        for row in owed:
            if row.state == "told":
                self._told_above.add(row.position)
                continue
            entry = Entry(row.position, row.conversation, None, True)
            entry.tries, entry.first_failed_at = row.tries, row.first_failed_at
            entry.next_try_at, entry.fault = row.next_try_at, row.fault
            self._entries[row.position] = entry
            heapq.heappush(self._queues.setdefault(entry.key, []), entry)
        for key in list(self._queues):
            self._settle(key, now)

    @property
    def room(self) -> int:
        """Give how many more events may be taken in."""
        waiting = len(self._entries) - len(self._order)
        return 0 if waiting >= WAITING_EVENTS_MAX else WINDOW_EVENTS - len(self._order)

    @property
    def has_ready(self) -> bool:
        """Say whether something may go now."""
        return bool(self._ready)

    @property
    def in_memory(self) -> int:
        """Give about how many events could go together."""
        return len(self._order)

    @property
    def is_settled(self) -> bool:
        """Say whether nothing is on the wire and everything that matters is written."""
        return not self.in_flight and not self.has_news

    @property
    def has_news(self) -> bool:
        """Say whether there is something that a crash must not lose."""
        return bool(self._told or self._cleared or self._to_store or self._parked)

    @property
    def reached(self) -> int:
        """Give the low-water mark as it could be written now."""
        order = self._order
        while order and (order[0].closed or order[0].stored):
            order.popleft()
        return order[0].position - 1 if order else self.read_to

    def next_due_at(self) -> int | None:
        """Give when the next held conversation is to be tried, in milliseconds."""
        return self._held[0][0] if self._held else None

    def admit(self, wanted: Sequence[Telling], read_to: int, now: int) -> None:
        """Take in the wanted events up to `read_to`."""
        for telling in wanted:
            position = telling.event.position
            if position in self._told_above or position in self._entries:
                continue
            entry = Entry(position, telling.event.order_key, telling, False)
            self._entries[position] = entry
            self._order.append(entry)
            heapq.heappush(self._queues.setdefault(entry.key, []), entry)
            state = self._states.get(entry.key)
            if state is None:
                self._settle(entry.key, now)
            elif state == "held":
                self._to_store[position] = entry
        self.read_to = max(self.read_to, read_to)

    def wake_held(self, now: int) -> None:
        """Make conversations ready whose time has come."""
        while self._held and self._held[0][0] <= now:
            _, key = heapq.heappop(self._held)
            if self._states.get(key) == "held":
                self._settle(key, now)

    def take(self, count_max: int, limits: Mapping[int, int], avoid: set[str] | None = None) -> list[Entry]:
        """Take up to `count_max` events that may go together, in order; of other keys than `avoid` if there are.

        `limits`: position → the largest batch that event may be part of.
        """
        if avoid:
            for _ in range(len(self._ready)):
                if self._ready[0] not in avoid:
                    break
                self._ready.rotate(-1)
        taken: list[Entry] = []
        size, limit = 0, count_max
        while self._ready and len(taken) < limit:
            key = self._ready[0]
            queue = self._queues[key]
            first = len(taken)
            while queue and len(taken) < limit:
                head = queue[0]
                # What was refused before goes alone: only then is the answer about it.
                limit = min(limit, 1 if head.tries else limits.get(head.position, limit))
                if taken and (len(taken) >= limit or size > _BATCH_BYTES_MAX):
                    limit = 0
                    break
                taken.append(heapq.heappop(queue))
                size += head.telling.size if head.telling is not None else 1000
            if len(taken) > first:
                self._ready.popleft()
                self._states[key] = "flying"
        self.in_flight += 1 if taken else 0
        taken.sort()
        return taken

    def land(self, entries: Sequence[Entry], told: bool, now: int) -> None:
        """Take the answer for what was taken together: told, or to go back into its place."""
        self.in_flight -= 1
        for entry in entries:
            if told:
                self.close(entry)
            elif not entry.closed:
                heapq.heappush(self._queues.setdefault(entry.key, []), entry)
        for key in {entry.key for entry in entries}:
            self._settle(key, now)

    def close(self, entry: Entry) -> None:
        """The event was told."""
        entry.closed = True
        self._entries.pop(entry.position, None)
        self._to_store.pop(entry.position, None)
        if entry.stored:
            self._cleared.append(entry.position)
        else:
            self._told.append(entry)

    def park(self, entry: Entry) -> None:
        """Give up on an event that is being landed; the rest of its conversation goes on."""
        assert entry.telling is not None
        event = entry.telling.event
        entry.closed = entry.stored = True
        self._entries.pop(entry.position, None)
        self._to_store.pop(entry.position, None)
        self._parked.append(GivenUp(entry.owed("parked"), event.id, event.kind))

    def hold(self, entry: Entry) -> None:
        """Note that an event which is being landed waits until its `next_try_at`."""
        self._to_store[entry.position] = entry

    def forgive(self, positions: Sequence[int], now: int) -> None:
        """Take back refusals that turned out to be the endpoint's as a whole."""
        for position in positions:
            entry = self._entries.get(position)
            if entry is not None:
                entry.tries, entry.first_failed_at, entry.next_try_at, entry.fault = 0, None, 0, None
                self._to_store[position] = entry
                if self._states.get(entry.key) == "held":
                    self._settle(entry.key, now)

    def _settle(self, key: str, now: int) -> None:
        queue = self._queues.get(key)
        if not queue:
            self._queues.pop(key, None)
            self._states.pop(key, None)
        elif queue[0].next_try_at > now:
            self._states[key] = "held"
            heapq.heappush(self._held, (queue[0].next_try_at, key))
            # All of the conversation gets rows, so that the mark can go on without it; bodies are read again later.
            for entry in queue:
                if not entry.stored:
                    self._to_store[entry.position] = entry
        else:
            self._states[key] = "ready"
            self._ready.append(key)

    def harvest(self, subscriber_id: str) -> Progress:
        """Give what is to be written, and count it as written: the caller repeats the write until it holds."""
        waiting = []
        for entry in self._to_store.values():
            entry.stored = True
            waiting.append(entry.owed("waiting"))
            if self._states.get(entry.key) == "held":
                entry.telling = None
        mark = self.reached
        told = [(entry.position, entry.key) for entry in self._told if entry.position > mark]
        self._told_above.update(position for position, _ in told)
        passed = [position for position in self._told_above if position <= mark]
        self._told_above.difference_update(passed)
        progress = Progress(
            subscriber_id,
            mark,
            told=tuple(told),
            cleared=tuple(self._cleared),
            waiting=tuple(waiting),
            parked=tuple(self._parked),
            sweep=bool(passed),
        )
        self.mark = mark
        self._told, self._cleared, self._to_store, self._parked = [], [], {}, []
        return progress
