"""The journal's newest stretch, read once and rendered once for all subscribers that are up to date."""

from bisect import bisect_right
from collections.abc import Callable, Sequence

from waypost.store.journal import Event
from waypost.webhooks.payloads import Telling

# A few seconds at full speed; who is further behind reads for itself.
_EVENTS_MAX = 4096


class Tail:
    """Holds events of all tenants behind `begin`, in order, up to `end`."""

    def __init__(self, position: int) -> None:
        self.begin = self.end = position
        self._tellings: list[Telling] = []

    def extend(self, found: Sequence[Telling], end: int) -> None:
        """Append what was read behind `end`."""
        self._tellings += found
        self.end = end
        if len(self._tellings) > 2 * _EVENTS_MAX:
            del self._tellings[:-_EVENTS_MAX]
            self.begin = self._tellings[0].event.position - 1

    def skip(self, end: int) -> None:
        """Begin anew behind `end`."""
        self._tellings = []
        self.begin = self.end = end

    def wanted(
        self, position: int, count_max: int, wants: Callable[[Event], bool]
    ) -> tuple[list[Telling], int]:
        """Give up to `count_max` wanted events behind `position`, and how far they reach."""
        found: list[Telling] = []
        first = bisect_right(self._tellings, position, key=lambda each: each.event.position)
        for index in range(first, len(self._tellings)):
            telling = self._tellings[index]
            if wants(telling.event):
                found.append(telling)
                if len(found) >= count_max:
                    return found, telling.event.position
        return found, self.end
