"""`/v1/messages`: send, send many, list, show, cancel, settle; read marks and typing."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from waypost.domain.drafts import AnyDraft, decode_batch, decode_draft
from waypost.domain.errors import (
    CapabilityMissing,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    ProviderRefused,
)
from waypost.domain.outcomes import Failed
from waypost.domain.statuses import Status
from waypost.outbox.accept import AcceptedMessage, Sender
from waypost.store import inbound, journal, messages
from waypost.web.api.message_types import (
    MessageDetail,
    MessageView,
    attempt_view,
    message_view,
    timeline_view,
)
from waypost.web.api.reasons import WithReason, reason_of
from waypost.web.parts import Parts
from waypost.web.routing import Answer, Ask, Caller, Page, Route, page_of, replay


def _sender(ask: Ask) -> Sender:
    return Sender(ask.caller.tenant_id, ask.caller.actor, ask.caller.environment)


def _turn_away(parts: Parts, caller: Caller) -> None:
    # Also a repeat of what was taken: its stored answer is there once the quota lets requests through again.
    parts.acceptor.turn_away(caller.tenant_id)


async def send(ask: Ask) -> Answer:
    """Take one draft."""
    answer = await ask.parts.acceptor.take(decode_draft(ask.raw), _sender(ask), ask.claim)
    return replay(answer) if answer.replayed else Answer(answer.status, answer.body)


class Rejection(Struct, frozen=True):
    """Why one draft of a batch was not taken."""

    code: str
    status: int
    detail: str
    field: str | None
    remedy: str | None


class BatchResult(Struct, frozen=True, omit_defaults=True):
    """What became of the draft at `index`."""

    index: int
    status: Literal["accepted", "rejected"]
    message: AcceptedMessage | None = None
    problem: Rejection | None = None


class BatchBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Up to 1,000 drafts, taken in one commit."""

    messages: Annotated[list[AnyDraft], Meta(min_length=1, max_length=1000)]


class BatchAnswer(Struct, frozen=True):
    """One result per draft, in order."""

    results: list[BatchResult]


async def send_batch(ask: Ask) -> Answer:
    """Take many drafts."""
    answer = await ask.parts.acceptor.take_batch(decode_batch(ask.raw), _sender(ask), ask.claim)
    return replay(answer) if answer.replayed else Answer(answer.status, answer.body)


class MessagesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What to list; every filter narrows."""

    cursor: Annotated[str, Meta(max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    status: Status | None = None
    number_id: Annotated[str, Meta(max_length=64)] | None = None
    contact_id: Annotated[str, Meta(max_length=64)] | None = None
    type: Annotated[str, Meta(max_length=64)] | None = None
    provider_message_id: Annotated[str, Meta(max_length=512)] | None = None
    since: Annotated[datetime, Meta(tz=True)] | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None


async def list_messages(ask: Ask) -> Page[MessageView]:
    """List messages, newest first."""
    query: MessagesQuery = ask.query
    wish = messages.Search(
        tenant_id=ask.caller.tenant_id,
        limit=query.limit + 1,
        cursor=query.cursor,
        statuses=() if query.status is None else (query.status,),
        number_id=query.number_id,
        contact_id=query.contact_id,
        type=query.type,
        provider_message_id=query.provider_message_id,
        since=query.since,
        until=query.until,
    )
    found = await ask.parts.store.read(messages.search, wish)
    return page_of([message_view(message) for message in found], query.limit, lambda view: view.id)


async def show(ask: Ask) -> MessageDetail:
    """Show one message with its whole timeline."""
    tenant_id, message_id = ask.caller.tenant_id, ask.path["message_id"]

    def everything(reading: Any) -> MessageDetail:
        message = messages.get(reading, tenant_id, message_id)
        return MessageDetail(
            message_view(message),
            [attempt_view(attempt) for attempt in messages.attempts_of(reading, tenant_id, message_id)],
            [timeline_view(event) for event in journal.of_aggregate(reading, tenant_id, message_id)],
        )

    return await ask.parts.store.read(everything)


class SettleBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A person's word on work that is stuck, with the reason that goes into the journal."""

    action: Annotated[
        Literal["resend", "fail", "release"],
        Meta(description="`resend` an unknown one, `fail` an unknown or retrying one, `release` a held one."),
    ]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


async def cancel(ask: Ask) -> Answer:
    """Cancel a message that has not been claimed."""
    wish = _by_hand(ask, "cancel", reason_of(ask) or "cancelled_by_caller")
    return await ask.change(messages.by_hand, wish, _settled(ask), status=200)


async def settle(ask: Ask) -> Answer:
    """Settle a stuck message by hand."""
    body: SettleBody = ask.body
    command = "settle_failed" if body.action == "fail" else body.action
    return await ask.change(messages.by_hand, _by_hand(ask, command, body.reason), _settled(ask), status=200)


class Settled(Struct, frozen=True):
    """The message's status after the command."""

    id: str
    status: str


def _by_hand(ask: Ask, command: Any, reason: str) -> messages.ByHand:
    return messages.ByHand(
        ask.caller.tenant_id, ask.path["message_id"], command, ask.caller.actor, reason, ask.now
    )


def _settled(ask: Ask) -> Any:
    return lambda status: Settled(ask.path["message_id"], status)


class MarkBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Marks an inbound message of the last 30 days, and those before it, as read."""

    message_id: Annotated[
        str, Meta(min_length=1, max_length=512, description="The inbound message (`inb_…`).")
    ]
    typing: Annotated[bool, Meta(description="Also show typing, for up to 25 s or until the reply.")] = False


class Marked(Struct, frozen=True):
    """The provider took the read mark."""

    message_id: str
    marked: bool = True


async def mark_read(ask: Ask) -> Marked:
    """Mark as read, and show typing when asked: a command to the provider, not a message."""
    body: MarkBody = ask.body
    found = await ask.parts.store.read(inbound.get, ask.caller.tenant_id, body.message_id)
    access = await ask.parts.access_of(found.number_id)
    result = await ask.parts.transport.mark_read(access, found.provider_message_id, body.typing)
    if isinstance(result, Failed):
        raise ProviderRefused(
            f"{result.title}: {result.detail}",
            remedy="Meta marks messages of the last 30 days only",
        )
    return Marked(body.message_id)


_EXAMPLE = {
    "from": "num_06f1000000000000000000000",
    "to": "+4915550001111",
    "type": "text",
    "text": {"body": "Your table is ready."},
}

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST", path="/v1/messages", scope="messages:send", tag="messages", run=send, reads="raw", hot=True,
        admit=_turn_away, idempotency="own", summary="Send a message", body=AnyDraft,
        answer=AcceptedMessage, status=202, problems=(NotFound, Conflict, InvalidRequest, CapabilityMissing, Forbidden),
        description="`202` means: on disk. What becomes of it is told by events, and by `GET /v1/messages/{id}`.",
        examples={"text": _EXAMPLE},
    ),
    Route(
        method="POST", path="/v1/messages:batch", scope="messages:send", tag="messages", run=send_batch, reads="raw",
        hot=True, admit=_turn_away, idempotency="own", summary="Send up to 1,000 messages in one commit",
        body=BatchBody, answer=BatchAnswer, problems=(InvalidRequest,), examples={"texts": {"messages": [_EXAMPLE]}},
    ),
    Route(
        method="GET", path="/v1/messages", scope="messages:read", tag="messages", run=list_messages,
        summary="List and search messages, newest first", query=MessagesQuery, answer=Page[MessageView],
    ),
    Route(
        method="GET", path="/v1/messages/{message_id}", scope="messages:read", tag="messages", run=show,
        summary="Show a message with its timeline", answer=MessageDetail, problems=(NotFound,),
    ),
    Route(
        method="POST", path="/v1/messages/{message_id}:cancel", scope="messages:send", tag="messages", run=cancel,
        summary="Cancel a message that has not been claimed", body=WithReason, body_optional=True,
        answer=Settled, problems=(NotFound, Conflict),
    ),
    Route(
        method="POST", path="/v1/messages/{message_id}:settle", scope="operations:write", tag="messages", run=settle,
        summary="Settle a stuck message by hand", body=SettleBody, answer=Settled, problems=(NotFound, Conflict),
    ),
    Route(
        method="POST", path="/v1/messages:mark-read", scope="messages:send", tag="messages", run=mark_read,
        summary="Mark an inbound message as read, and show typing", body=MarkBody, answer=Marked,
        problems=(NotFound, ProviderRefused),
    ),
)  # fmt: skip
