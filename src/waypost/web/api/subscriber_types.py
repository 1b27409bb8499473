"""What is said to and by `/v1/subscribers`."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from waypost.domain.times import rfc3339, to_ms
from waypost.store import subscriber_replays as replays
from waypost.store import subscribers
from waypost.store.journal import Event
from waypost.store.subscriber_progress import Owed
from waypost.store.transaction import Reading
from waypost.webhooks.filters import PATTERNS_MAX

Url = Annotated[str, Meta(min_length=1, max_length=2048, description="Where to POST; https and public.")]
Label = Annotated[str, Meta(min_length=1, max_length=100, description="What it is for.")]
Kinds = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=100)]],
    Meta(
        max_length=PATTERNS_MAX,
        description="Kinds of event to tell: `message.sent`, `message.*`; empty for all.",
    ),
]
BatchEvents = Annotated[
    int,
    Meta(ge=1, le=100, description='1: one event per POST. More: `{"events": […]}` with up to this many.'),
]
Scheme = Annotated[
    Literal["v1", "v1a"], Meta(description="`v1`: HMAC-SHA256. `v1a`: Ed25519, with a public key to verify.")
]
Secret = Annotated[
    str, Meta(max_length=120, description="A `whsec_…` secret to use instead of a new one; `v1` only.")
]


class CreateSubscriber(Struct, frozen=True, forbid_unknown_fields=True):
    """A subscriber to add."""

    url: Url
    label: Label = "subscriber"
    kinds: Kinds = []
    batch_events_max: BatchEvents = 1
    start: Annotated[
        Literal["now", "beginning"], Meta(description="`beginning`: all events ever, oldest first.")
    ] = "now"
    scheme: Scheme = "v1"
    secret: Secret | None = None


class ChangeSubscriber(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    url: Url | UnsetType = UNSET
    label: Label | UnsetType = UNSET
    kinds: Kinds | UnsetType = UNSET
    batch_events_max: BatchEvents | UnsetType = UNSET


class RotateSecret(Struct, frozen=True, forbid_unknown_fields=True):
    """How to rotate a secret."""

    scheme: Scheme | None = None
    secret: Secret | None = None
    overlap_hours: (
        Annotated[
            float,
            Meta(
                ge=0,
                le=720,
                description="How long the old secret still signs; `webhooks.secret_overlap_hours` by default.",
            ),
        ]
        | None
    ) = None


class ReplayEvents(Struct, frozen=True, forbid_unknown_fields=True):
    """Events to tell again: by id, or all of a time that the filter lets through."""

    event_ids: (
        Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(min_length=1, max_length=1000)] | None
    ) = None
    since: Annotated[datetime, Meta(tz=True)] | None = None
    until: Annotated[datetime, Meta(tz=True, description="Exclusive; now by default.")] | None = None


class ReplayTold(Struct, frozen=True):
    """What a replay will do."""

    replayed: Annotated[int, Meta(description="Events that are told again.")]
    pending: Annotated[int, Meta(description="Events that are still to be told for the first time anyway.")]


class SecretShown(Struct, frozen=True):
    """A secret without itself."""

    id: str
    scheme: Literal["v1", "v1a"]
    public_key: Annotated[str, Meta(description="`whpk_…`, of `v1a`.")] | None
    created_at: str
    valid_until: Annotated[str, Meta(description="When its overlap ends; null for the current one.")] | None


class HealthShown(Struct, frozen=True):
    """How telling goes."""

    last_success_at: Annotated[str, Meta(description="To about ten seconds.")] | None
    failing_since: str | None
    failures: Annotated[int, Meta(description="Of the endpoint as a whole, in a row.")]
    next_try_at: str | None
    lag_events: Annotated[
        int,
        Meta(description=f"Not told yet, filtered ones included; counted up to {replays.LAG_EVENTS_MAX}."),
    ]
    lag_seconds: float
    waiting_events: Annotated[int, Meta(description="Refused, behind a refused one, or to be replayed.")]
    parked_events: Annotated[int, Meta(description="Given up, until retried.")]


class SubscriberShown(Struct, frozen=True):
    """A subscriber."""

    id: str
    url: str
    label: str
    kinds: list[str]
    batch_events_max: int
    state: Annotated[
        Literal["active", "paused", "disabled", "removed"], Meta(description="`disabled`: it answered 410.")
    ]
    state_reason: str | None
    created_at: str
    secrets: list[SecretShown]
    health: HealthShown


class SubscriberMade(SubscriberShown, frozen=True, omit_defaults=True):
    """A subscriber with its new secret, shown once; `v1a` has only a public key, which is always shown."""

    secret: Annotated[str, Meta(description="Keep it now, it is never shown again.")] | None = None
    secret_already_shown: (
        Annotated[
            list[str], Meta(description="In a replayed answer: the fields left out because shown before.")
        ]
        | None
    ) = None


class OwedEvent(Struct, frozen=True):
    """An event that was not told in its turn."""

    event_id: str
    type: str
    state: Annotated[
        Literal["waiting", "parked", "replay"],
        Meta(description="`waiting`: it, or one before it in its conversation, was refused."),
    ]
    conversation: Annotated[str, Meta(description="What it is in order with.")]
    tries: int
    first_failed_at: str | None
    next_try_at: str | None
    fault: str | None
    happened_at: str


class TestTold(Struct, frozen=True):
    """What the endpoint said to a test."""

    event_id: str
    told: Annotated[bool, Meta(description="Whether it answered 2xx.")]
    status: int | None
    fault: Annotated[str, Meta(description="`timeout`, `connect_failed`, `http_404`, …")] | None
    took_seconds: float
    said: Annotated[str, Meta(description="How its answer begins.")]


def shown(reading: Reading, found: subscribers.Subscriber, now: datetime) -> SubscriberShown:
    """Give a subscriber as it is shown, with its secrets and health."""
    backlog = replays.backlog(reading, found)
    is_failing = found.failures > 0
    return SubscriberShown(
        id=found.id,
        url=found.url,
        label=found.label,
        kinds=list(found.kinds),
        batch_events_max=found.batch_events_max,
        state=found.state,
        state_reason=found.state_reason,
        created_at=rfc3339(found.created_at) or "",
        secrets=[
            SecretShown(
                each.id,
                each.scheme,
                each.public_key,
                rfc3339(each.created_at) or "",
                rfc3339(each.valid_until),
            )
            for each in subscribers.secrets_of(reading, found.tenant_id, found.id)
            if each.valid_until is None or each.valid_until > to_ms(now)
        ],
        health=HealthShown(
            last_success_at=rfc3339(found.last_success_at),
            failing_since=rfc3339(found.failing_since),
            failures=found.failures,
            next_try_at=rfc3339(found.next_try_at) if is_failing else None,
            lag_events=backlog.events,
            lag_seconds=0.0 if backlog.since is None else max(0.0, (to_ms(now) - backlog.since) / 1000),
            waiting_events=backlog.waiting,
            parked_events=backlog.parked,
        ),
    )


def made(found: SubscriberShown, secret: str | None) -> SubscriberMade:
    """Give a subscriber with its secret."""
    fields = {name: getattr(found, name) for name in SubscriberShown.__struct_fields__}
    return SubscriberMade(**fields, secret=secret)


def owed_event(owed: Owed, event: Event) -> OwedEvent:
    """Give a row of an exception as it is shown."""
    assert owed.state != "told"
    return OwedEvent(
        event_id=event.id,
        type=event.kind,
        state=owed.state,
        conversation=owed.conversation,
        tries=owed.tries,
        first_failed_at=rfc3339(owed.first_failed_at),
        next_try_at=rfc3339(owed.next_try_at) if owed.state == "waiting" and owed.next_try_at else None,
        fault=owed.fault,
        happened_at=rfc3339(event.at) or "",
    )
