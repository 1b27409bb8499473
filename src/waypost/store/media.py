"""Media rows: inbound wanted → stored | failed | expired, outbound uploaded. Bytes lie in files, by hash."""

import base64
import binascii
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from waypost.domain.errors import InvalidRequest, NotFound
from waypost.domain.times import from_ms, to_ms
from waypost.store.engine import single
from waypost.store.transaction import Line, Reading, Transaction

# Meta keeps media of webhooks for 7 days and uploads for 30.
INBOUND_DAYS = 7
UPLOADED_DAYS = 30


class Media(Struct, frozen=True):
    """A media row; times in milliseconds. `sha256` in hex: of the bytes, or as told while they are wanted."""

    id: str
    tenant_id: str
    number_id: str
    contact_id: str | None
    direction: str
    state: str
    provider_media_id: str | None
    mime_type: str
    size_bytes: int | None
    sha256: str | None
    filename: str | None
    tries: int
    next_try_at: int | None
    fault: str | None
    provider_expires_at: int | None
    created_at: int
    version: int


_COLUMNS = ", ".join(Media.__struct_fields__)


class Want(Struct, frozen=True):
    """Inbound media as a callback names it; `sha256` is Meta's base64 (hex is taken too)."""

    tenant_id: str
    number_id: str
    contact_id: str | None
    provider_media_id: str
    mime_type: str
    sha256: str | None
    filename: str | None
    now: datetime


class Claim(Struct, frozen=True):
    """A wanted row to try now: nobody else looks at it before `until`."""

    media: Media
    until: datetime


class Fetched(Struct, frozen=True):
    """Inbound media whose bytes are on disk under `sha256`."""

    media: Media
    sha256: str
    size_bytes: int
    mime_type: str
    now: datetime


class NotFetched(Struct, frozen=True):
    """A try that failed. `state` wanted: again at `next_try_at`; failed, expired: for good. `counts` False gives the
    try back: it was not the media's fault."""

    media: Media
    state: str
    fault: str
    next_try_at: datetime | None
    now: datetime
    counts: bool = True


class Uploaded(Struct, frozen=True):
    """Outbound media that Meta has taken."""

    id: str
    tenant_id: str
    number_id: str
    provider_media_id: str
    mime_type: str
    size_bytes: int
    sha256: str
    filename: str | None
    actor: str
    now: datetime


def want(tx: Transaction, item: Want) -> str:
    """Note inbound media to be fetched at once; gives our id. Called inside the inbox's own transaction."""
    media_id = tx.ids.new("media", item.now)
    tx.announce("media")
    tx.execute(
        "INSERT INTO media (id, tenant_id, number_id, contact_id, direction, state, provider_media_id, mime_type,"
        " sha256, filename, tries, next_try_at, provider_expires_at, created_at, version)"
        " VALUES (?, ?, ?, ?, 'inbound', 'wanted', ?, ?, ?, ?, 0, ?, ?, ?, 1)",
        (
            media_id, item.tenant_id, item.number_id, item.contact_id, item.provider_media_id, item.mime_type[:255],
            hex_of(item.sha256), _encoded(tx, item.tenant_id, item.contact_id, item.filename), to_ms(item.now),
            to_ms(item.now + timedelta(days=INBOUND_DAYS)), to_ms(item.now),
        ),
    )  # fmt: skip
    line = Line(
        item.tenant_id, "media.wanted", media_id, 1, "customer", item.now,
        number_id=item.number_id, contact_id=item.contact_id, facts={"mime_type": item.mime_type[:255]},
    )  # fmt: skip
    tx.journal(line)
    return media_id


def hex_of(sha256: str | None) -> str | None:
    """Read a SHA-256 told in base64 or hex as hex; None when it is neither, and then nothing can be checked."""
    if sha256 is None:
        return None
    if len(sha256) == 64 and all(character in "0123456789abcdefABCDEF" for character in sha256):
        return sha256.lower()
    try:
        raw = base64.b64decode(sha256 + "=" * (-len(sha256) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw.hex() if len(raw) == 32 else None


def get(reading: Reading, tenant_id: str, media_id: str) -> Media:
    """Give media by id; `NotFound` when it is not this tenant's."""
    row = reading.one(f"SELECT {_COLUMNS} FROM media WHERE id = ? AND tenant_id = ?", (media_id, tenant_id))
    if row is None:
        raise NotFound("no such media", code="media_not_found")
    return _media(reading, row)


def page(reading: Reading, tenant_id: str, after: str | None, limit: int) -> list[Media]:
    """Give media behind the id `after`, oldest first."""
    sql = f"SELECT {_COLUMNS} FROM media WHERE tenant_id = ? AND id > ? ORDER BY id LIMIT ?"
    return [_media(reading, row) for row in reading.rows(sql, (tenant_id, after or "", limit))]


def due(reading: Reading, now: datetime, limit: int) -> list[Media]:
    """Give wanted media whose time has come, longest waiting first."""
    sql = f"SELECT {_COLUMNS} FROM media WHERE state = 'wanted' AND next_try_at <= ? ORDER BY next_try_at LIMIT ?"
    return [_media(reading, row) for row in reading.rows(sql, (to_ms(now), limit))]


def next_due_at(reading: Reading) -> datetime | None:
    """Give when the next wanted media is due."""
    row = reading.one("SELECT min(next_try_at) FROM media WHERE state = 'wanted'")
    return None if row is None or row[0] is None else from_ms(row[0])


def provider_id_of(
    reading: Reading, tenant_id: str, number_id: str, media_id: str, now: datetime, field: str | None = None
) -> str:
    """Give Meta's id of uploaded media for a send from `number_id`; refused when it can't be sent, saying why."""
    row = reading.one(
        "SELECT number_id, direction, state, provider_media_id, provider_expires_at FROM media"
        " WHERE id = ? AND tenant_id = ?",
        (media_id, tenant_id),
    )
    if row is None:
        raise NotFound("no such media", code="media_not_found", field=field)
    if row[1] != "outbound" or row[2] != "uploaded" or row[3] is None:
        raise InvalidRequest(
            "this media was not uploaded for sending",
            code="media_not_sendable",
            field=field,
            remedy="upload it with POST /v1/media, or send it by link",
        )
    if row[0] != number_id:
        raise InvalidRequest(
            "this media was uploaded for another number",
            code="media_of_other_number",
            field=field,
            remedy="upload it for the number that sends: Meta keeps media per number",
        )
    if row[4] is not None and row[4] <= to_ms(now):
        raise InvalidRequest(
            "Meta has dropped this media: an upload lives 30 days",
            code="media_expired",
            field=field,
            remedy="upload it again",
        )
    return str(row[3])


def take(tx: Transaction, item: Claim) -> Media | None:
    """Count the try and keep others away until its end; None when somebody was first."""
    changed = tx.execute(
        "UPDATE media SET tries = tries + 1, next_try_at = ? WHERE id = ? AND state = 'wanted' AND tries = ?",
        (to_ms(item.until), item.media.id, item.media.tries),
    )
    return get(tx, item.media.tenant_id, item.media.id) if changed else None


def keep_fetched(tx: Transaction, item: Fetched) -> bool:
    """Mark media as stored; the caller has synced the file before."""
    changes = {
        "state": "stored",
        "sha256": item.sha256,
        "size_bytes": item.size_bytes,
        "mime_type": item.mime_type,
        "next_try_at": None,
        "fault": None,
    }
    facts = {"sha256": item.sha256, "size_bytes": item.size_bytes, "mime_type": item.mime_type}
    return _change(tx, item.media, changes, "media.stored", item.now, facts, None)


def keep_not_fetched(tx: Transaction, item: NotFetched) -> bool:
    """Note a failed try: the next one's time, or the end with its line."""
    media = item.media
    if item.state == "wanted":
        due_at = None if item.next_try_at is None else to_ms(item.next_try_at)
        sql = (
            "UPDATE media SET fault = ?, next_try_at = ?, tries = tries - ? WHERE id = ? AND state = 'wanted'"
        )
        return bool(tx.execute(sql, (item.fault, due_at, 0 if item.counts else 1, media.id)))
    changes = {"state": item.state, "fault": item.fault, "next_try_at": None}
    facts = {"state": item.state, "tries": media.tries}
    return _change(tx, media, changes, "media.failed", item.now, facts, item.fault)


def keep_uploaded(tx: Transaction, item: Uploaded) -> Media:
    """Keep outbound media that Meta has taken."""
    expires_at = to_ms(item.now + timedelta(days=UPLOADED_DAYS))
    tx.execute(
        "INSERT INTO media (id, tenant_id, number_id, direction, state, provider_media_id, mime_type, size_bytes,"
        " sha256, filename, tries, provider_expires_at, created_at, version)"
        " VALUES (?, ?, ?, 'outbound', 'uploaded', ?, ?, ?, ?, ?, 1, ?, ?, 1)",
        (
            item.id, item.tenant_id, item.number_id, item.provider_media_id, item.mime_type, item.size_bytes,
            item.sha256, _encoded(tx, item.tenant_id, None, item.filename), expires_at, to_ms(item.now),
        ),
    )  # fmt: skip
    facts = {"sha256": item.sha256, "size_bytes": item.size_bytes, "mime_type": item.mime_type}
    line = Line(
        item.tenant_id,
        "media.uploaded",
        item.id,
        1,
        item.actor,
        item.now,
        number_id=item.number_id,
        facts=facts,
    )
    tx.journal(line)
    return get(tx, item.tenant_id, item.id)


def _change(
    tx: Transaction,
    media: Media,
    changes: dict[str, Any],
    kind: str,
    now: datetime,
    facts: dict[str, Any],
    reason: str | None,
) -> bool:
    """End the fetching of media, unless it has ended already (two fetchers after a lease ran out)."""
    sets = "".join(f"{name} = ?, " for name in changes)
    changed = tx.execute(
        f"UPDATE media SET {sets}version = version + 1 WHERE id = ? AND state = 'wanted'",
        (*changes.values(), media.id),
    )
    if not changed:
        return False
    line = Line(
        media.tenant_id, kind, media.id, media.version + 1, "gateway", now, reason=reason,
        number_id=media.number_id, contact_id=media.contact_id, facts=facts,
    )  # fmt: skip
    tx.journal(line)
    return True


def _media(reading: Reading, row: tuple[Any, ...]) -> Media:
    values = list(row)
    at = Media.__struct_fields__.index("filename")
    if values[at] is not None:
        values[at] = reading.codec.decode(row[1], row[3], row[at]).decode()
    return Media(*values)


def _encoded(tx: Transaction, tenant_id: str, contact_id: str | None, text: str | None) -> bytes | None:
    return None if text is None else tx.codec.encode(tenant_id, contact_id, text.encode())


claim = single(take)
fetched = single(keep_fetched)
not_fetched = single(keep_not_fetched)
uploaded = single(keep_uploaded)
