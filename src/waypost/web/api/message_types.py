"""What `/v1/messages` shows: a message, its attempts, its timeline."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct, field

from waypost.domain.times import rfc3339
from waypost.store.journal import Event
from waypost.store.messages import Attempt, Message

Time = Annotated[str, Meta(description="RFC 3339, UTC.")]


class MessageView(Struct, frozen=True):
    """A message. `content` is Meta's message object, null once erased; `reason` and `failure` explain the status."""

    id: str
    status: str
    type: str
    number_id: str
    contact_id: str
    to: str
    class_: str = field(name="class")
    accepted_at: Time | None
    changed_at: Time | None
    not_before: Time | None
    due_at: Time | None
    expires_at: Time | None
    deliver_by: Time | None
    on_unknown: str
    assignee: str | None
    attempts: int
    reason: str | None
    failure: dict[str, Any] | None
    content: Any
    metadata: dict[str, str]


class AttemptView(Struct, frozen=True):
    """One try on the wire. `id` is what the provider echoes with every receipt."""

    id: str
    ordinal: int
    state: str
    started_at: Time | None
    answered_at: Time | None
    provider_message_id: str | None
    sent_at: Time | None
    delivered_at: Time | None
    read_at: Time | None
    played_at: Time | None
    failed_at: Time | None
    failure: dict[str, Any] | None
    pricing: dict[str, Any] | None


class TimelineView(Struct, frozen=True):
    """One journal line of a message."""

    event_id: str
    type: str
    at: Time | None
    actor: str
    reason: str | None
    facts: dict[str, Any]


class MessageDetail(Struct, frozen=True):
    """A message with its attempts and its whole timeline."""

    message: MessageView
    attempts: list[AttemptView]
    timeline: list[TimelineView]


_WAITING = ("accepted", "held", "retrying")


def message_view(message: Message) -> MessageView:
    """Render a message; `due_at` only while it waits for a time of its own."""
    due = message.due_at if message.status in _WAITING and message.due_at < message.expires_at else None
    scheduled = message.not_before if message.not_before > message.accepted_at else None
    return MessageView(
        id=message.id,
        status=message.status,
        type=message.type,
        number_id=message.number_id,
        contact_id=message.contact_id,
        to=message.recipient,
        class_=message.message_class,
        accepted_at=rfc3339(message.accepted_at),
        changed_at=rfc3339(message.changed_at),
        not_before=rfc3339(scheduled),
        due_at=rfc3339(due),
        expires_at=rfc3339(message.expires_at),
        deliver_by=rfc3339(message.deliver_by),
        on_unknown=message.on_unknown,
        assignee=message.assignee,
        attempts=message.attempts,
        reason=message.reason,
        failure=message.failure,
        content=None if message.content is None else Raw(message.content),
        metadata={} if message.metadata is None else msgspec.json.decode(message.metadata),
    )


def attempt_view(attempt: Attempt) -> AttemptView:
    """Render one try."""
    return AttemptView(
        id=attempt.id,
        ordinal=attempt.ordinal,
        state=attempt.state,
        started_at=rfc3339(attempt.started_at),
        answered_at=rfc3339(attempt.answered_at),
        provider_message_id=attempt.provider_message_id,
        sent_at=rfc3339(attempt.sent_at),
        delivered_at=rfc3339(attempt.delivered_at),
        read_at=rfc3339(attempt.read_at),
        played_at=rfc3339(attempt.played_at),
        failed_at=rfc3339(attempt.failed_at),
        failure=attempt.failure,
        pricing=attempt.pricing,
    )


def timeline_view(event: Event) -> TimelineView:
    """Render one journal line."""
    return TimelineView(event.id, event.kind, rfc3339(event.at), event.actor, event.reason, event.facts)
