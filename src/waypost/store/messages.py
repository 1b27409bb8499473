"""Messages as callers and operators see them: one, many, its timeline; cancel, release, settle."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from waypost.domain.classes import RANKS, MessageClass
from waypost.domain.errors import Conflict, NotFound
from waypost.domain.ids import PREFIXES, encode
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
    """What to list: newest first, behind `cursor` (a message id). A message's place in time, in this order and for
    `since` and `until`, is its id's: when it was accepted, but never before an earlier one of the same process."""

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


_NEWEST = "ORDER BY m.id DESC LIMIT ?"
# Each in the words of a partial index; the status written out, so that PostgreSQL's planner knows how rare it is.
_OF_NUMBER = "SELECT m.id FROM messages m WHERE m.number_id = ? AND m.status = '{status}' AND m.status"
_OF_NUMBER_BY_STATUS: dict[Status, str] = {
    "accepted": f"{_OF_NUMBER} IN ('accepted', 'held', 'retrying')",
    "sending": f"{_OF_NUMBER} IN ('sending', 'unknown')",
}
_OF_NUMBER_ELSE = f"{_OF_NUMBER} NOT IN ('accepted', 'sending')"


def search(reading: Reading, wish: Search) -> list[Message]:
    """Give a page of messages. Whatever is asked for, an index leads to it; what is left (a type, say, of one contact)
    is chosen from what that gives."""
    ids = sorted(_ids(reading, wish), reverse=True)[: wish.limit]
    rows = sorted(reading.rows_in(f"{_SELECT} WHERE m.id IN (%s)", ids), reverse=True)
    return [_message(reading, row) for row in rows]


def _ids(reading: Reading, wish: Search) -> set[str]:
    narrowed, values = _where(
        ("m.id < ?", wish.cursor),
        ("m.id >= ?", _id_at(wish.since)),
        ("m.id < ?", _id_at(wish.until)),
        ("m.type = ?", wish.type),
    )
    whose, keys = _where(
        ("m.tenant_id = ?", wish.tenant_id),
        ("m.number_id = ?", wish.number_id),
        ("m.contact_id = ?", wish.contact_id),
        ("a.provider_message_id = ?", wish.provider_message_id),
    )
    if wish.statuses and wish.contact_id is None and wish.provider_message_id is None:
        return _of_statuses(reading, wish, narrowed, values)
    # Written out, not marked: a closed set of words of our own.
    statuses = ", ".join(f"'{status}'" for status in wish.statuses)
    where = f"WHERE TRUE{whose}{narrowed}" + (f" AND m.status IN ({statuses})" if statuses else "")
    if wish.provider_message_id is not None:
        # Few messages have one provider's id; asked for in order, every message would be looked at for it.
        sql = f"SELECT m.id FROM attempts a JOIN messages m ON m.id = a.message_id {where}"
        return {row[0] for row in reading.rows(sql, (*keys, *values))}
    rows = reading.rows(f"SELECT m.id FROM messages m {where} {_NEWEST}", (*keys, *values, wish.limit))
    return {row[0] for row in rows}


def _of_statuses(reading: Reading, wish: Search, narrowed: str, values: list[Any]) -> set[str]:
    """Look up each status of each number where an index ends in the id, or what is open: a number is one tenant's."""
    rows = reading.rows("SELECT id FROM numbers WHERE tenant_id = ?", (wish.tenant_id,))
    asked = [(row[0], *values, wish.limit) for row in rows if wish.number_id in (None, row[0])]
    found: set[str] = set()
    for status in wish.statuses:
        start = _OF_NUMBER_BY_STATUS.get(status, _OF_NUMBER_ELSE).format(status=status)
        found.update(row[0] for row in reading.rows_for_each(f"{start}{narrowed} {_NEWEST}", asked))
    return found


def _where(*conditions: tuple[str, Any]) -> tuple[str, list[Any]]:
    """Give those conditions that have a value, each behind an AND, and the values."""
    asked = [(text, value) for text, value in conditions if value is not None]
    return "".join(f" AND {text}" for text, _ in asked), [value for _, value in asked]


def _id_at(at: datetime | None) -> str | None:
    """Give the bound between the ids from before `at` and those from it on."""
    return None if at is None else f"{PREFIXES['message']}_{encode(to_ms(at) << 80)}"


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
