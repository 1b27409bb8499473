"""What the journal says so far, kept as a run goes: messages, conversations, attempts, lanes. Facts only; what must
hold of them is in `invariants`."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from waypost.domain.statuses import FINAL
from waypost.domain.times import from_ms
from waypost.store import rehearsal
from waypost.store.journal import Event
from waypost.store.transaction import Reading

# Kinds about a message that leave its status alone.
_NOTES = ("message.overdue", "message.doubled", "message.released")


class Told(Struct):
    """An attempt as the journal tells of it, with its lane's epoch and owner when it was claimed."""

    id: str
    ordinal: int
    epoch: int
    lane_epoch: int
    owner: str | None
    claimed_by: str
    at: datetime


class Story(Struct):
    """A message as the journal tells of it; `before` is its status before the latest line."""

    row: rehearsal.MessageRow
    status: str
    before: str
    version: int
    changed_at: int
    reason: str | None
    attempts: list[Told]
    unknown_at: int | None = None
    position: int = 0
    lines: int = 1

    @property
    def place(self) -> tuple[int, str]:
        """Give its place in line."""
        return (self.row.not_before, self.row.id)

    @property
    def conversation(self) -> tuple[str, str]:
        """Give whom it is for, from which number."""
        return (self.row.number_id, self.row.contact_id)

    @property
    def is_final(self) -> bool:
        """Say whether nothing is owed any more."""
        return self.status in FINAL


class History:
    """Follows the journal line by line."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.position = 0
        self.committer = ""  # who made the commit whose lines are being taken
        self.stories: dict[str, Story] = {}
        self.conversations: dict[tuple[str, str], list[Story]] = {}
        self.by_attempt: dict[str, Story] = {}
        self.epochs: dict[str, int] = {}
        self.lines: list[Event] = []  # all of them; the one at `position` is at place position - 1

    def take(self, event: Event) -> Story | None:
        """Take one line; gives the message it changed."""
        self.position = event.position
        self.lines.append(event)
        if event.kind == "lane.taken":
            self.epochs[event.aggregate_id] = event.version
        if event.kind == "message.accepted":
            return self._accepted(event)
        story = self.stories.get(event.aggregate_id)
        if story is None:
            return None
        story.version = event.version
        story.lines += 1
        if event.kind.startswith("message.") and event.kind not in _NOTES:
            status = event.kind.removeprefix("message.")
            self._moved(story, "sending" if status == "attempted" else status, event)
        return story

    def _accepted(self, event: Event) -> Story | None:
        row = rehearsal.message(self.reading, event.aggregate_id)
        if row is None:
            return None
        story = Story(row, "accepted", "", event.version, event.at, None, [], None, event.position)
        self.stories[row.id] = story
        self.conversations.setdefault(story.conversation, []).append(story)
        return story

    def _moved(self, story: Story, status: str, event: Event) -> None:
        story.before, story.status = story.status, status
        story.changed_at, story.position, story.reason = event.at, event.position, event.reason
        story.unknown_at = event.at if status == "unknown" else None
        if status == "sending":
            found: Any = rehearsal.attempt(self.reading, event.facts["attempt_id"])
            story.attempts.append(
                Told(
                    found.id,
                    found.ordinal,
                    found.epoch,
                    found.lane_epoch,
                    found.owner,
                    self.committer,
                    from_ms(event.at),
                )
            )
            self.by_attempt[found.id] = story
