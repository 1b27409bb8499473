"""`/v1/events`: what happened, pulled by cursor or followed as a stream; the same bytes subscribers are told."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import StreamingResponse

from waypost.domain.errors import Busy, TimelineChanged
from waypost.store.journal import ended_timelines, position_now, position_of
from waypost.store.transaction import Reading
from waypost.web.routing import Answer, Ask, Route, encode
from waypost.webhooks import filters
from waypost.webhooks.payloads import EventShown, Telling
from waypost.webhooks.pulling import Pulled, pull

_TAG = "events"
_HEARTBEAT_SECONDS = 15.0
# A stream ends now and then, so that a revoked key ends too; its reader comes again with Last-Event-ID.
_STREAM_SECONDS_MAX = 900.0
_STREAM_EVENTS = 200

After = Annotated[str, Meta(max_length=100, description="The id of the last event seen, or `next_cursor`.")]
KindsQuery = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=100)]],
    Meta(
        max_length=filters.PATTERNS_MAX, description="Kinds wanted, such as `message.*`; repeat for several."
    ),
]


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events to pull."""

    after: After | None = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="Most events of one answer.")] = 100
    kinds: KindsQuery = []
    wait_seconds: Annotated[
        float, Meta(ge=0, le=25, description="Wait this long for an event when there is none yet.")
    ] = 0.0


class StreamQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events to follow."""

    after: After | None = None
    kinds: KindsQuery = []


class EventPage(Struct, frozen=True):
    """Events in order; `next_cursor` is there even when nothing was found: use it as `after`."""

    items: list[EventShown]
    next_cursor: str


def _begin(reading: Reading, cursor: str | None, timeline: str, at_end: bool) -> int:
    last = position_now(reading)
    if cursor is None:
        return last if at_end else 0
    return position_of(cursor, timeline, last, ended_timelines(reading))


async def _pull(ask: Ask) -> Answer:
    query: EventsQuery = ask.query
    kinds = filters.Filter(filters.check(query.kinds))
    store, bell = ask.parts.store, ask.parts.bell
    position = await store.read(_begin, query.after, store.timeline, False)
    bell.hear(store)
    until = ask.now + timedelta(seconds=query.wait_seconds)
    while True:
        seen = bell.rings
        pulled: Pulled = await store.read(pull, ask.caller.tenant_id, position, query.limit, kinds)
        left = (until - ask.parts.clock.now()).total_seconds()
        if pulled.found or left <= 0 or bell.closed:
            break
        position = pulled.position
        await bell.wait(seen, ask.parts.clock, left)
    items = b",".join([each.json for each in pulled.found])
    cursor = encode(f"evt_{store.timeline}_{pulled.position}")
    return Answer(200, b'{"items":[' + items + b'],"next_cursor":' + cursor + b"}")


async def _stream(ask: Ask) -> Answer | StreamingResponse:
    query: StreamQuery = ask.query
    kinds = filters.Filter(filters.check(query.kinds))
    store = ask.parts.store
    cursor = ask.headers.get("last-event-id") or query.after
    position = await store.read(_begin, cursor, store.timeline, True)
    ask.parts.bell.check_room()
    if ask.request.method == "HEAD":
        return Answer(200, content_type="text/event-stream")
    return StreamingResponse(
        _follow(ask, position, kinds),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _follow(ask: Ask, position: int, kinds: filters.Filter) -> AsyncIterator[bytes]:
    """Give events as they come. The reader's own pace is the bound: the next page is read when this one is taken."""
    store, bell, clock = ask.parts.store, ask.parts.bell, ask.parts.clock
    bell.hear(store)
    end = ask.now + timedelta(seconds=_STREAM_SECONDS_MAX)
    beat_at = ask.now
    with bell.stream():
        while not bell.closed and clock.now() < end:
            seen = bell.rings
            pulled: Pulled = await store.read(pull, ask.caller.tenant_id, position, _STREAM_EVENTS, kinds)
            moved, position = pulled.position > position, pulled.position
            if pulled.found:
                yield b"".join([_message(each, store.timeline) for each in pulled.found])
            elif clock.now() >= beat_at:
                # Says that the line is alive, and where to go on from when nothing was wanted for a while.
                yield f": alive\nid: evt_{store.timeline}_{position}\n\n".encode()
            else:
                # Filtered events ring the bell too: nothing to say about them until the next beat.
                left = (beat_at - clock.now()).total_seconds()
                if not moved:
                    await bell.wait(seen, clock, left)
                continue
            beat_at = clock.now() + timedelta(seconds=_HEARTBEAT_SECONDS)


def _message(telling: Telling, timeline: str) -> bytes:
    event = telling.event
    # What the reader comes back with is a cursor of this life of the journal, also behind an event of an ended one.
    cursor = f"evt_{timeline}_{event.position}"
    # Stored content may hold line breaks between its tokens, and a line break ends a field here.
    body = telling.json.replace(b"\r", b"").replace(b"\n", b"\ndata: ")
    return f"id: {cursor}\nevent: {event.kind}\ndata: ".encode() + body + b"\n\n"


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/v1/events",
        "events:read",
        "Pull events",
        _pull,
        query=EventsQuery,
        answer=EventPage,
        problems=(TimelineChanged,),
        tag=_TAG,
    ),
    Route(
        "GET",
        "/v1/events/stream",
        "events:read",
        "Follow events as server-sent events",
        _stream,
        query=StreamQuery,
        answer=str,
        produces="text/event-stream",
        problems=(TimelineChanged, Busy),
        tag=_TAG,
        description="Goes on from `Last-Event-ID`, or `after`, or now. Ends after 15 minutes at most: reconnect.",
    ),
)
