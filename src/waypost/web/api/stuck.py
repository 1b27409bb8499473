"""`GET /v1/stuck`: one look at everything that waits for a person, each with the route that settles it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from waypost.domain.times import rfc3339
from waypost.store import stuck
from waypost.store.transaction import Reading
from waypost.web.routing import Ask, Route

_TAG = "operations"
Time = Annotated[str, Meta(description="RFC 3339, UTC.")]
Settle = Annotated[
    list[Literal["resend", "fail", "release", "cancel", "replay", "retry", "resume"]],
    Meta(description="What may be done about it."),
]
_SETTLE: dict[
    str, tuple[Literal["resend", "fail", "release", "cancel", "replay", "retry", "resume"], ...]
] = {
    "held": ("release", "cancel"),
    "retrying": ("fail", "cancel"),
    "unknown": ("resend", "fail"),
    "unresolved": ("fail",),
}


class StuckQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How much to show of each sort."""

    limit: Annotated[int, Meta(ge=1, le=200, description="Most items of each list.")] = 50
    retrying_minutes: Annotated[
        int, Meta(ge=0, le=43_200, description="Retrying messages count when accepted this long ago.")
    ] = 15
    unresolved_days: Annotated[
        int, Meta(ge=1, le=90, description="Unresolved messages count when accepted this recently.")
    ] = 7


class StuckMessageShown(Struct, frozen=True, kw_only=True):
    """A message that does not go on by itself, or not soon. Settle: `POST /v1/messages/{id}:settle`."""

    id: str
    status: str
    number_id: str
    contact_id: str
    type: str
    class_: str = field(name="class")
    reason: str | None
    failure: dict[str, Any] | None
    attempts: int
    accepted_at: Time
    changed_at: Time
    due_at: Annotated[str, Meta(description="When it goes again by itself; null when it does not.")] | None
    expires_at: Time
    settle: Settle


class ParkedCallbackShown(Struct, frozen=True):
    """A callback that could not be read. Settle: `POST /v1/callbacks/{id}:replay`."""

    id: str
    app_id: str
    fault: str | None
    tries: int
    received_at: Time
    settle: Settle


class ParkedEventShown(Struct, frozen=True):
    """An event a subscriber would not take. Settle: `POST /v1/subscribers/{id}/events/{event_id}:retry`."""

    event_id: str
    type: str
    subscriber_id: str
    aggregate_id: str
    tries: int
    first_failed_at: Time | None
    fault: str | None
    settle: Settle


class StuckLaneShown(Struct, frozen=True):
    """A number that does not send at its pace. Settle: `POST /v1/numbers/{number_id}:resume` once mended."""

    number_id: str
    label: str
    state: str
    reason: str | None
    slow_until: Time | None
    slow_reason: str | None
    waiting: Annotated[int, Meta(description=f"Messages that wait; counted up to {stuck.WAITING_COUNT_MAX}.")]
    settle: Settle


class FailingSubscriberShown(Struct, frozen=True):
    """A subscriber that fails, is paused or disabled. Settle: `POST /v1/subscribers/{id}:resume`."""

    id: str
    url: str
    label: str
    state: str
    reason: str | None
    failing_since: Time | None
    failures: int
    next_try_at: Time | None
    behind: Annotated[int, Meta(description="Journal lines above its mark, of all kinds.")]
    settle: Settle


class Stuck(Struct, frozen=True):
    """All that waits for a person; `more` names the lists that were cut at `limit`."""

    held: list[StuckMessageShown]
    unknown: list[StuckMessageShown]
    unresolved: list[StuckMessageShown]
    retrying: list[StuckMessageShown]
    callbacks: list[ParkedCallbackShown]
    events: list[ParkedEventShown]
    lanes: list[StuckLaneShown]
    subscribers: list[FailingSubscriberShown]
    more: list[str]


def _message(message: stuck.StuckMessage) -> StuckMessageShown:
    goes_again = message.status in ("held", "retrying") and message.due_at < message.expires_at
    return StuckMessageShown(
        id=message.id,
        status=message.status,
        number_id=message.number_id,
        contact_id=message.contact_id,
        type=message.type,
        class_=message.message_class,
        reason=message.reason,
        failure=message.failure,
        attempts=message.attempts,
        accepted_at=rfc3339(message.accepted_at) or "",
        changed_at=rfc3339(message.changed_at) or "",
        due_at=rfc3339(message.due_at) if goes_again else None,
        expires_at=rfc3339(message.expires_at) or "",
        settle=list(_SETTLE[message.status]),
    )


def _callback(parked: stuck.ParkedCallback) -> ParkedCallbackShown:
    return ParkedCallbackShown(
        parked.id, parked.app_id, parked.fault, parked.tries, rfc3339(parked.received_at) or "", ["replay"]
    )


def _event(parked: stuck.ParkedEvent) -> ParkedEventShown:
    return ParkedEventShown(
        f"evt_{parked.timeline}_{parked.position}",
        parked.kind,
        parked.subscriber_id,
        parked.aggregate_id,
        parked.tries,
        rfc3339(parked.first_failed_at),
        parked.fault,
        ["retry"],
    )


def _lane(lane: stuck.StuckLane) -> StuckLaneShown:
    return StuckLaneShown(
        lane.number_id,
        lane.label,
        lane.state,
        lane.reason,
        rfc3339(lane.slow_until),
        lane.slow_reason,
        lane.waiting,
        [] if lane.state == "active" else ["resume"],
    )


def _subscriber(failing: stuck.FailingSubscriber) -> FailingSubscriberShown:
    return FailingSubscriberShown(
        failing.id,
        failing.url,
        failing.label,
        failing.state,
        failing.reason,
        rfc3339(failing.failing_since),
        failing.failures,
        rfc3339(failing.next_try_at) if failing.state == "active" else None,
        failing.behind,
        [] if failing.state == "active" else ["resume"],
    )


def _look(reading: Reading, tenant_id: str, query: StuckQuery, now: datetime) -> Stuck:
    most = query.limit + 1
    found: dict[str, list[Any]] = {
        "held": stuck.held(reading, tenant_id, most),
        "unknown": stuck.unknown(reading, tenant_id, most),
        "unresolved": stuck.unresolved(reading, tenant_id, now, query.unresolved_days, most),
        "retrying": stuck.retrying(reading, tenant_id, now, query.retrying_minutes, most),
        "callbacks": stuck.parked_callbacks(reading, tenant_id, most),
        "events": stuck.parked_events(reading, tenant_id, most),
        "lanes": stuck.lanes(reading, tenant_id, now, most),
        "subscribers": stuck.failing_subscribers(reading, tenant_id, most),
    }
    cut = {name: rows[: query.limit] for name, rows in found.items()}
    return Stuck(
        held=[_message(each) for each in cut["held"]],
        unknown=[_message(each) for each in cut["unknown"]],
        unresolved=[_message(each) for each in cut["unresolved"]],
        retrying=[_message(each) for each in cut["retrying"]],
        callbacks=[_callback(each) for each in cut["callbacks"]],
        events=[_event(each) for each in cut["events"]],
        lanes=[_lane(each) for each in cut["lanes"]],
        subscribers=[_subscriber(each) for each in cut["subscribers"]],
        more=[name for name, rows in found.items() if len(rows) > query.limit],
    )


async def _show(ask: Ask) -> Stuck:
    return await ask.parts.store.read(_look, ask.caller.tenant_id, ask.query, ask.now)


ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/v1/stuck", "operations:read", "Everything that waits for a person", _show, query=StuckQuery,
        answer=Stuck, tag=_TAG,
        description="Held, unknown, unresolved and long-retrying messages, parked callbacks and events, lanes that"
        " stopped or slowed, subscribers that fail; each with what may be done about it.",
    ),
)  # fmt: skip
