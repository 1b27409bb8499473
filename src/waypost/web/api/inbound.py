"""`/v1/inbound`: what customers sent; `/v1/callbacks`: what Meta posted, parked ones read again."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Raw, Struct

from waypost.domain.errors import Conflict, NotFound
from waypost.domain.provider_events import InboundKind
from waypost.domain.times import rfc3339
from waypost.store import callbacks, inbound
from waypost.store.callbacks import CallbackRow
from waypost.store.inbound import Inbound
from waypost.web.api.reasons import WithReason, reason_of
from waypost.web.routing import Answer, Ask, Page, PageQuery, Route, page_of

_INBOUND, _CALLBACKS = "inbound", "callbacks"


class InboundView(Struct, frozen=True):
    """What a customer sent. `content` is Meta's message object as it came, null once erased."""

    id: str
    type: str
    number_id: str
    contact_id: str
    provider_message_id: str
    context_message_id: Annotated[str, Meta(description="Meta's id of the message it answers.")] | None
    media_id: Annotated[str, Meta(description="For `GET /v1/media/{id}`.")] | None
    sent_at: Annotated[str, Meta(description="When the customer sent it, as Meta says.")] | None
    received_at: Annotated[str, Meta(description="When it was read here.")] | None
    content: Any


class InboundQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What to list; every filter narrows."""

    cursor: Annotated[str, Meta(max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    number_id: Annotated[str, Meta(max_length=64)] | None = None
    contact_id: Annotated[str, Meta(max_length=64)] | None = None
    type: InboundKind | None = None
    provider_message_id: Annotated[str, Meta(max_length=512)] | None = None


class CallbackView(Struct, frozen=True):
    """A callback, without its body. `fault` says why it is parked; `tries` counts parkings and replays."""

    id: str
    app_id: str
    state: Literal["stored", "read", "parked"]
    fault: str | None
    tries: int
    received_at: str | None
    read_at: str | None


class CallbacksQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """What to list."""

    state: Literal["stored", "read", "parked"] | None = None


def inbound_view(found: Inbound) -> InboundView:
    """Render an inbound message."""
    return InboundView(
        id=found.id,
        type=found.type,
        number_id=found.number_id,
        contact_id=found.contact_id,
        provider_message_id=found.provider_message_id,
        context_message_id=found.context_provider_id,
        media_id=found.media_id,
        sent_at=rfc3339(found.sent_at),
        received_at=rfc3339(found.received_at),
        content=None if found.content is None else Raw(found.content),
    )


def _callback_view(row: CallbackRow) -> CallbackView:
    return CallbackView(
        id=row.id,
        app_id=row.app_id,
        state=row.state,
        fault=row.fault,
        tries=row.tries,
        received_at=rfc3339(row.received_at),
        read_at=rfc3339(row.read_at),
    )


async def list_inbound(ask: Ask) -> Page[InboundView]:
    """List what customers sent, newest first."""
    query: InboundQuery = ask.query
    wish = inbound.Search(
        tenant_id=ask.caller.tenant_id,
        limit=query.limit + 1,
        cursor=query.cursor,
        number_id=query.number_id,
        contact_id=query.contact_id,
        type=query.type,
        provider_message_id=query.provider_message_id,
    )
    found = await ask.parts.store.read(inbound.search, wish)
    return page_of([inbound_view(each) for each in found], query.limit, lambda view: view.id)


async def show_inbound(ask: Ask) -> InboundView:
    """Show one inbound message."""
    found = await ask.parts.store.read(inbound.get, ask.caller.tenant_id, ask.path["inbound_id"])
    return inbound_view(found)


async def list_callbacks(ask: Ask) -> Page[CallbackView]:
    """List callbacks, oldest first."""
    query: CallbacksQuery = ask.query
    found = await ask.parts.store.read(
        callbacks.page, ask.caller.tenant_id, query.state, query.cursor, query.limit + 1
    )
    return page_of([_callback_view(row) for row in found], query.limit, lambda view: view.id)


async def replay_callback(ask: Ask) -> Answer:
    """Read a parked callback again."""
    item = callbacks.Replay(
        ask.caller.tenant_id, ask.path["callback_id"], ask.caller.actor, reason_of(ask), ask.now
    )
    return await ask.change(callbacks.replay, item, _callback_view, status=202)


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET", path="/v1/inbound", scope="messages:read", tag=_INBOUND, run=list_inbound,
        summary="List and search what customers sent, newest first", query=InboundQuery, answer=Page[InboundView],
    ),
    Route(
        method="GET", path="/v1/inbound/{inbound_id}", scope="messages:read", tag=_INBOUND, run=show_inbound,
        summary="Show what a customer sent", answer=InboundView, problems=(NotFound,),
        description="By our id (`inb_…`) or Meta's (`wamid.…`).",
    ),
    Route(
        method="GET", path="/v1/callbacks", scope="operations:read", tag=_CALLBACKS, run=list_callbacks,
        summary="List callbacks, oldest first", query=CallbacksQuery, answer=Page[CallbackView],
        description="Without their bodies. `state=parked` lists what could not be read, with the fault.",
    ),
    Route(
        method="POST", path="/v1/callbacks/{callback_id}:replay", scope="operations:write", tag=_CALLBACKS,
        run=replay_callback, summary="Read a parked callback again", body=WithReason, body_optional=True,
        answer=CallbackView, status=202,
        problems=(NotFound, Conflict),
        description="When its number was added, or its fault mended. What was applied before is not told again.",
    ),
)  # fmt: skip
