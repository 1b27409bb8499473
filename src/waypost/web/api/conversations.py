"""`/v1/conversations`: list, show with the service window, hand over, and what was said in either direction."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from waypost.conversations import history
from waypost.conversations.history import Said
from waypost.domain.errors import Conflict, InvalidRequest, NotFound
from waypost.domain.times import rfc3339
from waypost.store import conversations
from waypost.store.conversations import Conversation, cursor_of
from waypost.web.api.inbound import InboundView, inbound_view
from waypost.web.api.message_types import MessageView, message_view
from waypost.web.routing import Answer, Ask, Page, PageQuery, Route, page_of

_TAG = "conversations"
Assignee = Literal["bot", "person", "none"]


class WindowView(Struct, frozen=True):
    """The service window: while it is open anything may be written, otherwise templates only."""

    open: bool
    expires_at: Annotated[str, Meta(description="24 hours from the last word or call.")] | None


class ConversationView(Struct, frozen=True):
    """A number with a contact."""

    id: str
    number_id: str
    contact_id: str
    assignee: Assignee
    window: WindowView
    last_inbound_at: str | None
    last_event_at: str | None
    created_at: str | None


class ConversationsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What to list; every filter narrows."""

    cursor: Annotated[str, Meta(max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    number_id: Annotated[str, Meta(max_length=64)] | None = None
    contact_id: Annotated[str, Meta(max_length=64)] | None = None
    assignee: Assignee | None = None


class AssignBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the conversation goes to."""

    assignee: Annotated[
        Assignee, Meta(description="Others' replies are refused from now on; `none`: anybody's.")
    ]
    expected: (
        Annotated[Assignee, Meta(description="Refused with 409 when somebody else has it by now.")] | None
    ) = None
    reason: (
        Annotated[str, Meta(min_length=1, max_length=200, description="Told in the event; nothing personal.")]
        | None
    ) = None


class SaidView(Struct, frozen=True, omit_defaults=True):
    """One thing that was said: `message` when outbound, `inbound` when inbound."""

    id: str
    direction: Literal["inbound", "outbound"]
    message: MessageView | None = None
    inbound: InboundView | None = None


def _view(found: Conversation, now: datetime) -> ConversationView:
    return ConversationView(
        id=found.id,
        number_id=found.number_id,
        contact_id=found.contact_id,
        assignee=found.assignee or "none",
        window=WindowView(found.is_open(now), rfc3339(found.window_expires_at)),
        last_inbound_at=rfc3339(found.last_inbound_at),
        last_event_at=rfc3339(found.last_event_at),
        created_at=rfc3339(found.created_at),
    )


async def list_conversations(ask: Ask) -> Page[ConversationView]:
    """List conversations, most recent first."""
    query: ConversationsQuery = ask.query
    wish = conversations.Search(
        tenant_id=ask.caller.tenant_id,
        limit=query.limit + 1,
        cursor=query.cursor,
        number_id=query.number_id,
        contact_id=query.contact_id,
        assignee=query.assignee,
    )
    found = await ask.parts.store.read(conversations.search, wish)
    page = page_of(found, query.limit, cursor_of)
    return Page([_view(each, ask.now) for each in page.items], page.next_cursor)


async def show(ask: Ask) -> ConversationView:
    """Show one conversation."""
    found = await ask.parts.store.read(conversations.get, ask.caller.tenant_id, ask.path["conversation_id"])
    return _view(found, ask.now)


async def assign(ask: Ask) -> Answer:
    """Hand a conversation over."""
    body: AssignBody = ask.body
    item = conversations.Assign(
        ask.caller.tenant_id,
        ask.path["conversation_id"],
        body.assignee,
        body.expected,
        body.reason,
        ask.caller.actor,
        ask.now,
    )
    return await ask.change(conversations.assign, item, lambda found: _view(found, ask.now), status=200)


async def list_said(ask: Ask) -> Page[SaidView]:
    """List what was said, newest first."""
    query: PageQuery = ask.query
    found = await ask.parts.store.read(
        history.page, ask.caller.tenant_id, ask.path["conversation_id"], query.cursor, query.limit + 1
    )
    return page_of([_said(each) for each in found], query.limit, lambda view: view.id)


def _said(each: Said) -> SaidView:
    return SaidView(
        each.id,
        each.direction,
        None if each.message is None else message_view(each.message),
        None if each.inbound is None else inbound_view(each.inbound),
    )


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET", path="/v1/conversations", scope="conversations:read", tag=_TAG, run=list_conversations,
        summary="List conversations, most recent first", query=ConversationsQuery, answer=Page[ConversationView],
        problems=(InvalidRequest,),
    ),
    Route(
        method="GET", path="/v1/conversations/{conversation_id}", scope="conversations:read", tag=_TAG, run=show,
        summary="Show a conversation with its service window", answer=ConversationView, problems=(NotFound,),
    ),
    Route(
        method="POST", path="/v1/conversations/{conversation_id}:assign", scope="conversations:write", tag=_TAG,
        run=assign, summary="Hand a conversation over to bot, person or none", body=AssignBody,
        answer=ConversationView, problems=(NotFound, Conflict),
        examples={"to a person": {"assignee": "person", "expected": "bot", "reason": "asked_for_a_person"}},
    ),
    Route(
        method="GET", path="/v1/conversations/{conversation_id}/messages", scope="messages:read", tag=_TAG,
        run=list_said, summary="List what was said in both directions, newest first", query=PageQuery,
        answer=Page[SaidView], problems=(NotFound,),
        description="In the order in which things were accepted or read here; Meta's own times stand on each.",
    ),
)  # fmt: skip
