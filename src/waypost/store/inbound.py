"""What customers sent: rows, each once by the provider's id, with their content apart."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct

from waypost.domain.errors import NotFound
from waypost.domain.times import to_ms
from waypost.store.transaction import Reading, Row, Transaction

_COLUMNS = (
    "i.id, i.tenant_id, i.number_id, i.contact_id, i.provider_message_id, i.type, i.content_id, i.media_id,"
    " i.context_provider_id, i.sent_at, i.received_at"
)
# Content stays under the key of the contact it was written for, which a merge does not change.
_WITH_CONTENT = (
    f"SELECT {_COLUMNS}, c.contact_id, c.body FROM inbound i LEFT JOIN contents c ON c.id = i.content_id"
)
# The provider's id is indexed within a number.
_BY_PROVIDER_ID = "i.number_id IN (SELECT id FROM numbers WHERE tenant_id = ?) AND i.provider_message_id = ?"


class Inbound(Struct, frozen=True):
    """An inbound message; times in milliseconds. `content` is Meta's message object, None once erased."""

    id: str
    tenant_id: str
    number_id: str
    contact_id: str
    provider_message_id: str
    type: str
    content_id: str
    media_id: str | None
    context_provider_id: str | None
    sent_at: int
    received_at: int
    content: bytes | None


class Search(Struct, frozen=True):
    """What to list, newest first; `cursor` is the last id seen."""

    tenant_id: str
    limit: int
    cursor: str | None = None
    number_id: str | None = None
    contact_id: str | None = None
    type: str | None = None
    provider_message_id: str | None = None


class NewInbound(Struct, frozen=True):
    """An inbound message to keep."""

    id: str
    tenant_id: str
    number_id: str
    contact_id: str
    provider_message_id: str
    type: str
    media_id: str | None
    context_provider_id: str | None
    sent_at: datetime
    content: bytes
    now: datetime


def get(reading: Reading, tenant_id: str, inbound_id: str) -> Inbound:
    """Give an inbound message by our id or the provider's; `NotFound` when it is not this tenant's."""
    if inbound_id.startswith("inb_"):
        row = reading.one(f"{_WITH_CONTENT} WHERE i.id = ? AND i.tenant_id = ?", (inbound_id, tenant_id))
    else:
        sql = f"{_WITH_CONTENT} WHERE {_BY_PROVIDER_ID} AND i.tenant_id = ? ORDER BY i.id DESC"
        row = reading.one(sql, (tenant_id, inbound_id, tenant_id))
    if row is None:
        raise NotFound("no such inbound message", code="inbound_not_found")
    return _inbound(reading, row)


def search(reading: Reading, wish: Search) -> list[Inbound]:
    """Give the tenant's inbound messages that fit, newest first."""
    where: list[str] = ["i.tenant_id = ?"]
    values: list[Any] = [wish.tenant_id]
    for column in ("number_id", "contact_id", "type"):
        wanted = getattr(wish, column)
        if wanted is not None:
            where.append(f"i.{column} = ?")
            values.append(wanted)
    if wish.provider_message_id is not None:
        where.append(_BY_PROVIDER_ID)
        values += [wish.tenant_id, wish.provider_message_id]
    if wish.cursor is not None:
        where.append("i.id < ?")
        values.append(wish.cursor)
    sql = f"{_WITH_CONTENT} WHERE {' AND '.join(where)} ORDER BY i.id DESC LIMIT ?"
    return [_inbound(reading, row) for row in reading.rows(sql, (*values, wish.limit))]


def known_ids(reading: Reading, number_id: str, provider_message_ids: Iterable[str]) -> set[str]:
    """Give those of the provider's ids that are here already."""
    wanted = sorted(set(provider_message_ids))
    found: set[str] = set()
    start = 0
    while start < len(wanted):
        # Powers of two, so that a few prepared statements serve every size.
        size = min(256, 1 << (len(wanted) - start).bit_length() - 1)
        sql = (
            "SELECT provider_message_id FROM inbound WHERE number_id = ? AND provider_message_id IN"
            f" ({', '.join('?' * size)})"
        )
        found.update(row[0] for row in reading.rows(sql, (number_id, *wanted[start : start + size])))
        start += size
    return found


def insert(tx: Transaction, item: NewInbound) -> str:
    """Keep an inbound message with its content; gives the content's id. The caller knows that it is new."""
    content_id = "cnt_" + item.id[4:]
    body = tx.codec.encode(item.tenant_id, item.contact_id, item.content)
    tx.execute(
        "INSERT INTO contents (id, tenant_id, contact_id, body) VALUES (?, ?, ?, ?)",
        (content_id, item.tenant_id, item.contact_id, body),
    )
    tx.execute(
        "INSERT INTO inbound (id, tenant_id, number_id, contact_id, provider_message_id, type, content_id, media_id,"
        " context_provider_id, sent_at, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            item.id,
            item.tenant_id,
            item.number_id,
            item.contact_id,
            item.provider_message_id,
            item.type,
            content_id,
            item.media_id,
            item.context_provider_id,
            to_ms(item.sent_at),
            to_ms(item.now),
        ),
    )
    return content_id


def keep_once(
    tx: Transaction, content_id: str, tenant_id: str, contact_id: str | None, content: bytes
) -> bool:
    """Keep content under an id made from what it tells; False: told before, so there is nothing more to do."""
    body = tx.codec.encode(tenant_id, contact_id, content)
    sql = "INSERT INTO contents (id, tenant_id, contact_id, body) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
    return tx.execute(sql, (content_id, tenant_id, contact_id, body)) > 0


def _inbound(reading: Reading, row: Row) -> Inbound:
    body = row[12]
    content = None if body is None else reading.codec.decode(row[1], row[11], body)
    values: list[Any] = [*row[:11], content]
    return Inbound(*values)
