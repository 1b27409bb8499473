"""Conversations: one number with one contact, its service window and its assignee.

The window is Meta's: 24 hours from the customer's last message or call; it only ever moves forward here.
"""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from waypost.domain.errors import Conflict, InvalidRequest, NotFound
from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.transaction import Line, Reading, Transaction

Assignee = Literal["bot", "person"]

WINDOW = timedelta(hours=24)
_COLUMNS = (
    "id, tenant_id, number_id, contact_id, assignee, window_expires_at, last_inbound_at, last_event_at, version,"
    " created_at"
)


class Conversation(Struct, frozen=True):
    """A conversation; times in milliseconds since the epoch."""

    id: str
    tenant_id: str
    number_id: str
    contact_id: str
    assignee: Assignee | None
    window_expires_at: int | None
    last_inbound_at: int | None
    last_event_at: int
    version: int
    created_at: int

    def is_open(self, now: datetime) -> bool:
        """Say whether the service window is open: anything may be written, not only templates."""
        return self.window_expires_at is not None and self.window_expires_at > to_ms(now)


class Search(Struct, frozen=True):
    """What to list, most recent first; `cursor` is what `cursor_of` gave for the last one seen."""

    tenant_id: str
    limit: int
    cursor: str | None = None
    number_id: str | None = None
    contact_id: str | None = None
    assignee: Literal["bot", "person", "none"] | None = None


class Assign(Struct, frozen=True):
    """Hand a conversation over; refused when `expected` is given and somebody else has it by now."""

    tenant_id: str
    conversation_id: str
    assignee: Literal["bot", "person", "none"]
    expected: Literal["bot", "person", "none"] | None
    reason: str | None
    actor: str
    now: datetime


def get(reading: Reading, tenant_id: str, conversation_id: str) -> Conversation:
    """Give a conversation by id; `NotFound` when it is not this tenant's."""
    row = reading.one(
        f"SELECT {_COLUMNS} FROM conversations WHERE id = ? AND tenant_id = ?", (conversation_id, tenant_id)
    )
    if row is None:
        raise NotFound("no such conversation", code="conversation_not_found")
    return Conversation(*row)


def find(reading: Reading, number_id: str, contact_id: str) -> Conversation | None:
    """Give the conversation of a number with a contact."""
    row = reading.one(
        f"SELECT {_COLUMNS} FROM conversations WHERE number_id = ? AND contact_id = ?",
        (number_id, contact_id),
    )
    return None if row is None else Conversation(*row)


def search(reading: Reading, wish: Search) -> list[Conversation]:
    """Give the tenant's conversations that fit, most recent first."""
    where, values = ["tenant_id = ?"], [wish.tenant_id]
    if wish.number_id is not None:
        where.append("number_id = ?")
        values.append(wish.number_id)
    if wish.contact_id is not None:
        where.append("contact_id = ?")
        values.append(wish.contact_id)
    if wish.assignee == "none":
        where.append("assignee IS NULL")
    elif wish.assignee is not None:
        where.append("assignee = ?")
        values.append(wish.assignee)
    parameters: list[str | int] = list(values)
    if wish.cursor is not None:
        last_event_at, last_id = _read_cursor(wish.cursor)
        where.append("last_event_at <= ? AND (last_event_at < ? OR id < ?)")
        parameters += [last_event_at, last_event_at, last_id]
    sql = (
        f"SELECT {_COLUMNS} FROM conversations WHERE {' AND '.join(where)}"
        " ORDER BY last_event_at DESC, id DESC LIMIT ?"
    )
    return [Conversation(*row) for row in reading.rows(sql, (*parameters, wish.limit))]


def cursor_of(conversation: Conversation) -> str:
    """Give the cursor that stands right behind `conversation`; it stays good when the conversation moves up."""
    return f"{conversation.last_event_at}.{conversation.id}"


def _read_cursor(cursor: str) -> tuple[int, str]:
    at, dot, last_id = cursor.partition(".")
    if not dot or not at.isdecimal() or not at.isascii() or len(at) > 15:
        raise InvalidRequest(
            "not a cursor of this list",
            code="bad_cursor",
            field="cursor",
            remedy="use `next_cursor` of the page before, or leave it out to start at the beginning",
        )
    return int(at), last_id


def ensure(
    tx: Transaction, tenant_id: str, number_id: str, contact_id: str, now: datetime, actor: str
) -> Conversation:
    """Give the conversation of a number with a contact, opened when there is none.

    Sending does not move it up among the recent ones: those wait for somebody, and a campaign would bury them.
    """
    at = to_ms(now)
    known = find(tx, number_id, contact_id)
    if known is not None:
        return known
    opened = Conversation(
        tx.ids.new("conversation", now), tenant_id, number_id, contact_id, None, None, None, at, 1, at
    )
    tx.execute(
        f"INSERT INTO conversations ({_COLUMNS}) VALUES (?, ?, ?, ?, NULL, NULL, NULL, ?, 1, ?)",
        (opened.id, tenant_id, number_id, contact_id, at, at),
    )
    tx.journal(
        Line(
            tenant_id,
            "conversation.opened",
            opened.id,
            1,
            actor,
            now,
            number_id=number_id,
            contact_id=contact_id,
        )
    )
    return opened


def heard(tx: Transaction, conversation: Conversation, said_at: datetime, now: datetime) -> None:
    """Open or renew the service window for a customer's message or call; what comes late never shortens it."""
    # A provider's clock ahead of ours must not keep the window open for longer than a day from now.
    said = min(said_at, now)
    expires_at, last_at = to_ms(said + WINDOW), to_ms(said)
    tx.execute(
        "UPDATE conversations SET window_expires_at = ?, last_inbound_at = ?, last_event_at = ? WHERE id = ?",
        (
            max(expires_at, conversation.window_expires_at or 0),
            max(last_at, conversation.last_inbound_at or 0),
            max(to_ms(now), conversation.last_event_at),
            conversation.id,
        ),
    )


def hand_over(tx: Transaction, item: Assign) -> Conversation:
    """Assign a conversation and journal it; the same assignee again changes nothing."""
    known = get(tx, item.tenant_id, item.conversation_id)
    present = known.assignee or "none"
    if item.expected is not None and present != item.expected:
        raise Conflict(
            f"the conversation is with {present}, not with {item.expected}",
            code="assignee_changed",
            field="expected",
            remedy="look at it again, then decide",
        )
    if present == item.assignee:
        return known
    assignee = None if item.assignee == "none" else item.assignee
    tx.execute(
        "UPDATE conversations SET assignee = ?, version = version + 1 WHERE id = ?", (assignee, known.id)
    )
    tx.journal(
        Line(
            item.tenant_id,
            "conversation.assigned",
            known.id,
            known.version + 1,
            item.actor,
            item.now,
            reason=item.reason,
            number_id=known.number_id,
            contact_id=known.contact_id,
            facts={"assignee": item.assignee, "assignee_before": present},
        )
    )
    # What waits for the conversation to come back to its speaker may be claimed now.
    tx.wake(known.number_id)
    return get(tx, item.tenant_id, known.id)


assign = single(hand_over)
