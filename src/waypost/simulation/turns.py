"""Fairness above a floor: while a lane has work that could go, its holder makes only so many attempts for its other
lanes before one of it. Lanes of one holder bear its pauses and its slow store alike: it holds through all trouble."""

from waypost.domain.statuses import WAITING
from waypost.simulation.history import History, Story
from waypost.store import rehearsal


class Turns:
    """Counts how often each lane was passed over. `floor`: at least one in so many attempts of its holder is for a lane
    with work; `per_number_max`: calls of one lane under way at a time."""

    def __init__(self, history: History, floor: int, per_number_max: int) -> None:
        self._history, self._floor, self._per_number_max = history, floor, per_number_max
        self._passed: dict[str, int] = {}

    def attempted(self, story: Story) -> str | None:
        """Take an attempt that was committed; gives a sentence when it was one too many."""
        number_id, now_ms = story.row.number_id, story.changed_at
        lanes = rehearsal.lanes(self._history.reading)
        if len(lanes) < 2:
            return None
        owner = story.attempts[-1].owner
        self._passed[number_id] = 0
        for lane in lanes:
            if lane.number_id == number_id:
                continue
            if lane.owner != owner or lane.slow_until > now_ms or not self._could_go(lane.number_id, now_ms):
                self._passed[lane.number_id] = 0
                continue
            passed = self._passed[lane.number_id] = self._passed.get(lane.number_id, 0) + 1
            if passed >= self._floor:
                return (
                    f"{owner} made {passed} attempts for others while the lane of {lane.number_id} had work"
                )
        return None

    def _could_go(self, number_id: str, now_ms: int) -> bool:
        flying, heads = 0, []
        for conversation, stories in self._history.conversations.items():
            if conversation[0] != number_id:
                continue
            blocking = [each.status for each in stories if each.status in ("sending", "unknown")]
            flying += blocking.count("sending")
            if not blocking:
                heads += [
                    each for each in stories if each.status in WAITING and each.row.not_before <= now_ms
                ]
        if flying >= self._per_number_max:
            return False
        rows = (rehearsal.message(self._history.reading, each.row.id) for each in heads)
        return any(row is not None and row.due_at <= now_ms < row.expires_at for row in rows)
