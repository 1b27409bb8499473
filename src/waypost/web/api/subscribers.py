"""`/v1/subscribers`: who is told of events, how, and how it goes; tests, replays and retries."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, cast

from msgspec import UNSET, Meta, Struct

from waypost.domain.errors import Conflict, InvalidRequest, NotFound, TimelineChanged, Unavailable
from waypost.domain.times import to_ms
from waypost.store import subscriber_replays as replays
from waypost.store import subscribers
from waypost.store.engine import Operation
from waypost.store.journal import positions_named
from waypost.store.transaction import Reading, Transaction
from waypost.transports.egress import check_url
from waypost.web.api import subscriber_types as types
from waypost.web.api.reasons import WithReason, reason_of
from waypost.web.routing import Answer, Ask, Page, PageQuery, Route, page_of, running
from waypost.webhooks import filters
from waypost.webhooks.payloads import is_pushed
from waypost.webhooks.signing import given_secret, new_secret, shown_secret
from waypost.webhooks.trial import Trial, try_out

_TAG = "subscribers"
_ONE = "/v1/subscribers/{subscriber_id}"


class OwedQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events that were not told in their turn."""

    state: Literal["waiting", "parked", "replay"] | None = None
    cursor: Annotated[str, Meta(max_length=200, description="`next_cursor` of the page before.")] | None = (
        None
    )
    limit: Annotated[int, Meta(ge=1, le=200, description="Most items of one page.")] = 50


def _viewing(run: Callable[[Transaction], Any], now: datetime) -> Callable[[Transaction], Any]:
    """Make a change and look at the result in the same transaction."""
    return lambda tx: types.shown(tx, cast(subscribers.Subscriber, run(tx)), now)


def _view(reading: Reading, tenant_id: str, subscriber_id: str, now: datetime) -> types.SubscriberShown:
    return types.shown(reading, subscribers.show(reading, tenant_id, subscriber_id), now)


def _check_batch(ask: Ask, count: int) -> None:
    most = ask.parts.config.webhooks.batch_events_max
    if count > most:
        raise InvalidRequest(
            f"At most {most} events go in one POST here.",
            field="batch_events_max",
            remedy="Ask for less, or raise webhooks.batch_events_max.",
        )


def _secret(ask: Ask, scheme: subscribers.Scheme, given: str | None) -> subscribers.NewSecret:
    if given is None:
        return new_secret(scheme, ask.parts.randomness)
    if scheme != "v1":
        raise InvalidRequest(
            "A secret can be given for v1 only.", field="secret", remedy="Leave it out to get a new key pair."
        )
    return given_secret(given)


async def _create(ask: Ask) -> Answer:
    body: types.CreateSubscriber = ask.body
    check_url(body.url, ask.parts.config.webhooks.allow_private_addresses)
    _check_batch(ask, body.batch_events_max)
    secret = _secret(ask, body.scheme, body.secret)
    item = subscribers.NewSubscriber(
        tenant_id=ask.caller.tenant_id,
        url=body.url,
        label=body.label,
        kinds=filters.check(body.kinds),
        batch_events_max=body.batch_events_max,
        from_beginning=body.start == "beginning",
        secret=secret,
        actor=ask.caller.actor,
        now=ask.now,
    )
    return await ask.once(
        _viewing(running(subscribers.add, item), ask.now),
        lambda found: types.made(found, shown_secret(secret)),
        secret_fields=("secret",),
    )


async def _list(ask: Ask) -> Page[types.SubscriberShown]:
    query: PageQuery = ask.query

    def found(reading: Reading) -> list[types.SubscriberShown]:
        some = subscribers.newest_first(reading, ask.caller.tenant_id, query.cursor, query.limit + 1)
        return [types.shown(reading, each, ask.now) for each in some]

    return page_of(await ask.parts.store.read(found), query.limit, lambda each: each.id)


async def _show(ask: Ask) -> types.SubscriberShown:
    return await ask.parts.store.read(_view, ask.caller.tenant_id, ask.path["subscriber_id"], ask.now)


async def _change(ask: Ask) -> types.SubscriberShown:
    body: types.ChangeSubscriber = ask.body
    if body.url is not UNSET:
        check_url(body.url, ask.parts.config.webhooks.allow_private_addresses)
    if body.batch_events_max is not UNSET:
        _check_batch(ask, body.batch_events_max)
    item = subscribers.Change(
        tenant_id=ask.caller.tenant_id,
        subscriber_id=ask.path["subscriber_id"],
        url=None if body.url is UNSET else body.url,
        label=None if body.label is UNSET else body.label,
        kinds=None if body.kinds is UNSET else filters.check(body.kinds),
        batch_events_max=None if body.batch_events_max is UNSET else body.batch_events_max,
        actor=ask.caller.actor,
        now=ask.now,
    )
    found = await ask.parts.store.write(subscribers.change, item)
    return await ask.parts.store.read(_view, ask.caller.tenant_id, found.id, ask.now)


def _turn(ask: Ask, reason: str | None) -> subscribers.Turn:
    return subscribers.Turn(
        ask.caller.tenant_id, ask.path["subscriber_id"], reason, ask.caller.actor, ask.now
    )


async def _remove(ask: Ask) -> None:
    await ask.parts.store.write(subscribers.remove, _turn(ask, None))


async def _turned(ask: Ask, operation: Operation, reason: str | None) -> Answer:
    return await ask.once(_viewing(running(operation, _turn(ask, reason)), ask.now), status=200)


async def _pause(ask: Ask) -> Answer:
    return await _turned(ask, subscribers.pause, ask.body.reason or "paused by an operator")


async def _resume(ask: Ask) -> Answer:
    return await _turned(ask, subscribers.resume, ask.body.reason)


async def _rotate(ask: Ask) -> Answer:
    body: types.RotateSecret = ask.body
    tenant_id, subscriber_id = ask.caller.tenant_id, ask.path["subscriber_id"]
    found = await ask.parts.store.read(subscribers.show, tenant_id, subscriber_id)
    present = await ask.parts.store.read(subscribers.secrets_of, tenant_id, found.id)
    secret = _secret(ask, body.scheme or ("v1" if body.secret else present[0].scheme), body.secret)
    hours = (
        ask.parts.config.webhooks.secret_overlap_hours if body.overlap_hours is None else body.overlap_hours
    )
    item = subscribers.Rotation(
        tenant_id, found.id, secret, timedelta(hours=hours), ask.caller.actor, ask.now
    )
    return await ask.once(
        _viewing(running(subscribers.rotate, item), ask.now),
        lambda changed: types.made(changed, shown_secret(secret)),
        status=200,
        secret_fields=("secret",),
    )


async def _test(ask: Ask) -> types.TestTold:
    parts = ask.parts
    await parts.store.read(subscribers.show, ask.caller.tenant_id, ask.path["subscriber_id"])
    if parts.egress is None:
        raise Unavailable(
            "This process does not send webhooks.", code="no_egress", remedy="Ask one that serves."
        )
    seconds = parts.config.webhooks.timeout_seconds
    trial: Trial = await try_out(parts.store, parts.clock, parts.egress.post, seconds, _turn(ask, None))
    return types.TestTold(
        trial.event_id, trial.told, trial.status, trial.fault, trial.took_seconds, trial.said
    )


async def _replay(ask: Ask) -> Answer:
    body: types.ReplayEvents = ask.body
    tenant_id = ask.caller.tenant_id
    found = await ask.parts.store.read(subscribers.show, tenant_id, ask.path["subscriber_id"])
    if (body.event_ids is None) == (body.since is None) or (body.event_ids and body.until):
        raise InvalidRequest(
            "Name either events or a time.",
            code="replay_ambiguous",
            field="event_ids",
            remedy="Give event_ids, or since with until.",
        )
    if body.event_ids is not None:
        timeline = ask.parts.store.timeline
        positions = await ask.parts.store.read(_positions, body.event_ids, timeline, "event_ids")
    else:
        assert body.since is not None
        until = body.until or ask.now
        if until <= body.since:
            raise InvalidRequest("This time is empty.", field="until", remedy="Let it end after it begins.")
        kinds = filters.Filter(found.kinds)
        positions = await ask.parts.store.read(
            replays.positions_between,
            tenant_id,
            to_ms(body.since),
            to_ms(until),
            lambda event: kinds.wants(event.kind) and is_pushed(event),
        )
    item = replays.Replay(tenant_id, found.id, positions, ask.caller.actor, ask.now)
    return await ask.change(
        replays.replay, item, lambda told: types.ReplayTold(told.replayed, told.pending), status=202
    )


def _positions(reading: Reading, event_ids: list[str], timeline: str, field: str) -> tuple[int, ...]:
    try:
        return positions_named(reading, event_ids, timeline)
    except InvalidRequest:
        raise InvalidRequest(
            "This is not the id of an event.",
            code="bad_event_id",
            field=field,
            remedy="Use ids such as evt_….",
        ) from None


async def _owed(ask: Ask) -> Page[types.OwedEvent]:
    query: OwedQuery = ask.query
    store = ask.parts.store
    after = 0
    if query.cursor is not None:
        (after,) = await store.read(_positions, [query.cursor], store.timeline, "cursor")
    found = await store.read(
        replays.exceptions,
        ask.caller.tenant_id,
        ask.path["subscriber_id"],
        query.state,
        after,
        query.limit + 1,
    )
    items = [types.owed_event(owed, event) for owed, event in found]
    return page_of(items, query.limit, lambda each: each.event_id)


async def _retry(ask: Ask) -> Answer:
    store = ask.parts.store
    try:
        (position,) = await store.read(positions_named, (ask.path["event_id"],), store.timeline)
    except (InvalidRequest, TimelineChanged):
        raise NotFound(
            "There is no such event.", remedy="List them with GET /v1/subscribers/{id}/events."
        ) from None
    item = replays.Retry(
        ask.caller.tenant_id, ask.path["subscriber_id"], position, ask.caller.actor, reason_of(ask), ask.now
    )
    return await ask.change(replays.retry, item, lambda event: types.ReplayTold(1, 0), status=202)


def _route(method: Any, path: str, scope: Any, summary: str, run: Any, **over: Any) -> Route:
    return Route(method, path, scope, summary, run, tag=_TAG, **over)


ROUTES: tuple[Route, ...] = (
    _route(
        "POST",
        "/v1/subscribers",
        "subscribers:write",
        "Add a subscriber",
        _create,
        body=types.CreateSubscriber,
        answer=types.SubscriberMade,
        status=201,
        problems=(Conflict,),
    ),
    _route(
        "GET",
        "/v1/subscribers",
        "subscribers:read",
        "List subscribers",
        _list,
        query=PageQuery,
        answer=Page[types.SubscriberShown],
    ),
    _route("GET", _ONE, "subscribers:read", "Show a subscriber", _show, answer=types.SubscriberShown),
    _route(
        "PATCH",
        _ONE,
        "subscribers:write",
        "Change a subscriber",
        _change,
        body=types.ChangeSubscriber,
        answer=types.SubscriberShown,
    ),
    _route("DELETE", _ONE, "subscribers:write", "Remove a subscriber", _remove, status=204),
    _route(
        "POST",
        f"{_ONE}:pause",
        "subscribers:write",
        "Pause telling; events wait",
        _pause,
        body=WithReason,
        body_optional=True,
        answer=types.SubscriberShown,
    ),
    _route(
        "POST",
        f"{_ONE}:resume",
        "subscribers:write",
        "Resume after a pause or a 410",
        _resume,
        body=WithReason,
        body_optional=True,
        answer=types.SubscriberShown,
    ),
    _route(
        "POST",
        f"{_ONE}:rotate",
        "subscribers:write",
        "Rotate the secret; both sign during the overlap",
        _rotate,
        body=types.RotateSecret,
        body_optional=True,
        answer=types.SubscriberMade,
    ),
    _route(
        "POST",
        f"{_ONE}:test",
        "subscribers:write",
        "Send a test event now",
        _test,
        answer=types.TestTold,
    ),
    _route(
        "POST",
        f"{_ONE}:replay",
        "subscribers:write",
        "Tell events again",
        _replay,
        body=types.ReplayEvents,
        answer=types.ReplayTold,
        status=202,
        problems=(TimelineChanged,),
    ),
    _route(
        "GET",
        f"{_ONE}/events",
        "subscribers:read",
        "List what waits, is parked or is to be replayed",
        _owed,
        query=OwedQuery,
        answer=Page[types.OwedEvent],
        problems=(TimelineChanged,),
    ),
    _route(
        "POST",
        f"{_ONE}/events/{{event_id}}:retry",
        "subscribers:write",
        "Try a parked event again",
        _retry,
        body=WithReason,
        body_optional=True,
        answer=types.ReplayTold,
        status=202,
    ),
)
