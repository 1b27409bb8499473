"""How an event looks outside: the same bytes for webhooks, the pull cursor and the stream.

Content is spliced in as the JSON it is stored as, never decoded.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from waypost.domain.times import rfc3339
from waypost.store.journal import Event

_encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


class EventShown(Struct, frozen=True):
    """An event. Standard Webhooks' fields are `type`, `timestamp` and `data`."""

    id: str
    type: str
    timestamp: str
    version: int
    aggregate_id: str
    number_id: str | None
    contact_id: str | None
    actor: str
    reason: str | None
    # The wire's own word. What is known of the event as ids and codes, and `content` (Meta's object) or `erased`.
    facts: dict[str, Any] = msgspec.field(name="data")


class Telling:
    """One event with its content as read at `read_at` (milliseconds), rendered at most once."""

    __slots__ = ("_json", "content", "event", "read_at")

    def __init__(self, event: Event, contents: dict[str, bytes | None], read_at: int) -> None:
        self.event = event
        self.content = contents.get(event.content_id) if event.content_id is not None else None
        self.read_at = read_at
        self._json: bytes | None = None

    @property
    def size(self) -> int:
        """Give about how many bytes it takes."""
        return 400 + len(self.content or b"")

    @property
    def json(self) -> bytes:
        """Give the event as JSON."""
        if self._json is None:
            self._json = _encode(self._shown())
        return self._json

    def _shown(self) -> EventShown:
        event = self.event
        told: dict[str, Any] = dict(event.facts)
        if self.content is not None:
            told["content"] = Raw(self.content)
        elif event.content_id is not None:
            told["erased"] = True
        return EventShown(
            event.id,
            event.kind,
            rfc3339(event.at) or "",
            event.version,
            event.aggregate_id,
            event.number_id,
            event.contact_id,
            event.actor,
            event.reason,
            told,
        )


def tellings(events: Sequence[Event], contents: dict[str, bytes | None], read_at: int) -> list[Telling]:
    """Put events and their contents together."""
    return [Telling(event, contents, read_at) for event in events]


def is_pushed(event: Event) -> bool:
    """Say whether an event goes to subscribers at all.

    A test is told by whoever asked for it. That an `event.parked` was itself parked is for pull and console only:
    two subscribers that cannot digest it would else tell each other for ever.
    """
    if event.kind == "subscriber.tested":
        return False
    return not (event.kind == "event.parked" and event.facts.get("kind") == "event.parked")


def body_of(told: Sequence[Telling], batched: bool) -> tuple[str, bytes]:
    """Give the webhook's id and body: the event itself, or `{"events": […]}`.

    The id stays the same when the same events are told again, so that a consumer can drop the repeat.
    """
    if not batched:
        (one,) = told
        return one.event.id, one.json
    ids = ",".join(each.event.id for each in told)
    name = hashlib.sha256(ids.encode()).hexdigest()[:32]
    return f"bat_{name}", b'{"events":[' + b",".join([each.json for each in told]) + b"]}"
