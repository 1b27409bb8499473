"""Messages as callers and operators see them: one, many, its timeline; cancel, release, settle."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from waypost.domain.classes import RANKS, MessageClass
from waypost.domain.errors import Conflict, NotFound
from waypost.domain.statuses import Command, Status
from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.sweeps import Change, command
from waypost.store.transaction import Reading, Row, Transaction


class Message(Struct, frozen=True):
    """A message as stored; times in milliseconds, content and metadata as bytes (None once erased or absent)."""

    id: str
    tenant_id: str
    number_id: str
    contact_id: str
    type: str
    message_class: MessageClass
    status: Status
    reason: str | None
    failure: dict[str, Any] | None
    recipient: str
    assignee: str | None
    on_unknown: str
    attempts: int
    not_before: int
    due_at: int
    expires_at: int
    deliver_by: int | None
    accepted_at: int
    changed_at: int
    version: int
    content: bytes | None
    metadata: bytes | None


class Attempt(Struct, frozen=True):
    """One try; times in milliseconds."""

    id: str
    ordinal: int
    state: str
    started_at: int
    answered_at: int | None
    provider_message_id: str | None
    failure: dict[str, Any] | None
    sent_at: int | None
    delivered_at: int | None
    read_at: int | None
    played_at: int | None
    failed_at: int | None
    pricing: dict[str, Any] | None


_SELECT = """
SELECT m.id, m.tenant_id, m.number_id, m.contact_id, m.type, m.rank, m.status, m.reason, m.failure, m.recipient,
       m.assignee, m.on_unknown, m.attempts, m.not_before, m.due_at, m.expires_at, m.deliver_by, m.accepted_at,
       m.changed_at, m.version, m.metadata, c.contact_id, c.body
FROM messages m JOIN contents c ON c.id = m.content_id
"""


def _message(reading: Reading, row: Row) -> Message:
    tenant_id, written_under = row[1], row[21]

    def opened(column: bytes | None) -> bytes | None:
        return None if column is None else reading.codec.decode(tenant_id, written_under, column)

    values: list[Any] = [
        *row[:5],
        RANKS[row[5]],
        row[6],
        row[7],
        _json(row[8]),
        (opened(row[9]) or b"").decode(),
        *row[10:20],
        opened(row[22]),
        opened(row[20]),
    ]
    return Message(*values)


def _json(column: bytes | None) -> Any:
    return None if column is None else msgspec.json.decode(column)


def get(reading: Reading, tenant_id: str, message_id: str) -> Message:
    """Give one message; `NotFound` also for another tenant's."""
    row = reading.one(f"{_SELECT} WHERE m.id = ? AND m.tenant_id = ?", (message_id, tenant_id))
    if row is None:
        raise no_such_message(message_id)
    return _message(reading, row)


def no_such_message(message_id: str) -> NotFound:
    """Give the error for an id this tenant has no message of."""
    return NotFound("no message of this id", field="message_id", remedy=f"check the id {message_id[:40]!r}")


def attempts_of(reading: Reading, tenant_id: str, message_id: str) -> list[Attempt]:
    """Give the tries of a message, first to last."""
    attempts: list[Attempt] = []
    for row in reading.rows(
        "SELECT id, ordinal, state, started_at, answered_at, provider_message_id, failure, sent_at, delivered_at,"
        " read_at, played_at, failed_at, pricing FROM attempts WHERE message_id = ? AND tenant_id = ?"
        " ORDER BY ordinal",
        (message_id, tenant_id),
    ):
        values: list[Any] = list(row)
        values[6], values[12] = _json(row[6]), _json(row[12])
        attempts.append(Attempt(*values))
    return attempts


class Search(Struct, frozen=True):
    """What to list: newest first, behind `cursor` (a message id)."""

    tenant_id: str
    limit: int = 50
    cursor: str | None = None
    statuses: tuple[Status, ...] = ()
    number_id: str | None = None
    contact_id: str | None = None
    type: str | None = None
    provider_message_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def search(reading: Reading, wish: Search) -> list[Message]:
    """Give a page of messages."""
    where, parameters = ["m.tenant_id = ?"], [wish.tenant_id]
    conditions: list[tuple[str, Any]] = [
        ("m.id < ?", wish.cursor),
        ("m.number_id = ?", wish.number_id),
        ("m.contact_id = ?", wish.contact_id),
        ("m.type = ?", wish.type),
        ("m.accepted_at >= ?", None if wish.since is None else to_ms(wish.since)),
        ("m.accepted_at < ?", None if wish.until is None else to_ms(wish.until)),
        (
            "m.id IN (SELECT message_id FROM attempts WHERE provider_message_id = ?)",
            wish.provider_message_id,
        ),
    ]
    for condition, value in conditions:
        if value is not None:
            where.append(condition)
            parameters.append(value)
    if wish.statuses:
        where.append(f"m.status IN ({', '.join('?' * len(wish.statuses))})")
        parameters += wish.statuses
    sql = f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY m.id DESC LIMIT ?"
    return [_message(reading, row) for row in reading.rows(sql, (*parameters, wish.limit))]


class ByHand(Struct, frozen=True):
    """A person's or a caller's command on one message."""

    tenant_id: str
    message_id: str
    command: Command
    actor: str
    reason: str | None
    now: datetime


_ALLOWED: dict[str, str] = {
    "cancel": "only a message that is still waiting can be cancelled: once claimed it may have gone out",
    "release": "only a held message can be released",
    "resend": "only a message of unknown outcome can be sent again",
    "settle_failed": "only a message of unknown, unresolved or retrying status can be settled as failed",
}


@single
def by_hand(tx: Transaction, wish: ByHand) -> Status:
    """Carry out `cancel`, `release`, `resend` or `settle_failed`; `Conflict` when the status does not allow it."""
    row = tx.one(
        "SELECT id, tenant_id, number_id, contact_id, content_id, status, version FROM messages"
        " WHERE id = ? AND tenant_id = ?",
        (wish.message_id, wish.tenant_id),
    )
    if row is None:
        raise no_such_message(wish.message_id)
    due_at = to_ms(wish.now) if wish.command in ("release", "resend") else None
    new = command(tx, row, Change(wish.command, wish.actor, wish.reason, wish.now, due_at))
    if new is None:
        raise Conflict(
            f"the message is {row[5]}",
            code=f"cannot_{wish.command}",
            field="message_id",
            remedy=_ALLOWED[wish.command],
        )
    return new
