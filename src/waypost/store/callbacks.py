"""Raw callbacks: stored once by digest before they are answered, read later, parked when they cannot be read."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from waypost.domain.errors import Conflict, NotFound
from waypost.domain.ids import PREFIXES, encode
from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.transaction import Line, Reading, Row, Transaction

State = Literal["stored", "read", "parked"]

# How often the proof that callbacks arrive is renewed in the app's row, at most.
_SEEN_MS = 1_000
# Meta repeats a callback for seven days. Digests stay far longer, so that one caught on its way and sent again with
# its good signature is still known; after that only what carries no id of its own could be told twice.
DIGEST_DAYS = 90
_COLUMNS = "id, app_id, state, fault, tries, received_at, read_at"


class AppSecrets(Struct, frozen=True):
    """An app's secrets, opened; kept in memory only."""

    tenant_id: str
    secret: bytes
    verify_token: bytes

    def __repr__(self) -> str:
        return f"AppSecrets({self.tenant_id})"


class NewCallback(Struct, frozen=True):
    """A callback whose signature was good. `digest`: SHA-256 of the raw bytes."""

    tenant_id: str
    app_id: str
    digest: bytes
    body: bytes
    now: datetime


class StoredCallback(Struct, frozen=True):
    """A callback to be read."""

    id: str
    tenant_id: str
    app_id: str
    body: bytes


class CallbackRow(Struct, frozen=True):
    """What is known of a callback, without its body; times in milliseconds."""

    id: str
    app_id: str
    state: State
    fault: str | None
    tries: int
    received_at: int
    read_at: int | None


class Park(Struct, frozen=True):
    """Set a callback aside with the fault that keeps it from being read."""

    tenant_id: str
    callback_id: str
    fault: str
    now: datetime


class Replay(Struct, frozen=True):
    """Read a parked callback again: its number was added, or the reader was mended."""

    tenant_id: str
    callback_id: str
    actor: str
    reason: str | None
    now: datetime


def app_secrets(reading: Reading, app_id: str) -> AppSecrets | None:
    """Give the opened secrets of an app."""
    row = reading.one("SELECT tenant_id, secret, verify_token FROM apps WHERE id = ?", (app_id,))
    if row is None:
        return None
    unseal = reading.codec.unseal
    return AppSecrets(
        row[0], unseal(f"app:{app_id}:secret", row[1]), unseal(f"app:{app_id}:verify_token", row[2])
    )


def store_callbacks(tx: Transaction, items: Sequence[NewCallback]) -> Sequence[bool]:
    """Store callbacks, each once by app and digest; True for those not seen before."""
    rows: list[Row] = []
    for item in items:
        body = tx.codec.encode(item.tenant_id, None, item.body)
        callback_id = tx.ids.new("callback", item.now)
        rows.append((callback_id, item.tenant_id, item.app_id, item.digest, body, to_ms(item.now)))
    tx.announce("callbacks")
    inserted: set[str] = set()
    start = 0
    while start < len(rows):
        # Powers of two, so that a few prepared statements serve every size.
        size = min(64, 1 << (len(rows) - start).bit_length() - 1)
        values = ", ".join(["(?, ?, ?, ?, ?, 'stored', 0, ?)"] * size)
        sql = (
            "INSERT INTO callbacks (id, tenant_id, app_id, digest, body, state, tries, received_at)"
            f" VALUES {values} ON CONFLICT (app_id, digest) DO NOTHING RETURNING id"
        )
        parameters = [value for row in rows[start : start + size] for value in row]
        inserted.update(row[0] for row in tx.rows(sql, parameters))
        start += size
    # Proof that the status channel is alive: silence about a message means nothing without it.
    for app_id, at in {item.app_id: to_ms(item.now) for item in items}.items():
        tx.execute(
            "UPDATE apps SET last_callback_at = ? WHERE id = ?"
            " AND (last_callback_at IS NULL OR last_callback_at <= ?)",
            (at, app_id, at - _SEEN_MS),
        )
    return [row[0] in inserted for row in rows]


def unread(reading: Reading, callbacks_max: int, bytes_max: int) -> list[StoredCallback]:
    """Give the oldest callbacks not read yet; at least one, and no more than `bytes_max` bytes of them beyond it."""
    chosen: list[str] = []
    total = 0
    sql = "SELECT id, length(body) FROM callbacks WHERE state = 'stored' ORDER BY id LIMIT ?"
    for callback_id, size in reading.rows(sql, (callbacks_max,)):
        total += size or 0
        if chosen and total > bytes_max:
            break
        chosen.append(callback_id)
    if not chosen:
        return []
    sql = "SELECT id, tenant_id, app_id, body FROM callbacks WHERE state = 'stored' AND id <= ? ORDER BY id"
    return [
        StoredCallback(callback_id, tenant_id, app_id, reading.codec.decode(tenant_id, None, body))
        for callback_id, tenant_id, app_id, body in reading.rows(sql, (chosen[-1],))
    ]


def mark_read(tx: Transaction, callback_ids: Sequence[str], now: datetime) -> None:
    """Note that everything these callbacks tell has been applied."""
    start = 0
    while start < len(callback_ids):
        size = min(256, 1 << (len(callback_ids) - start).bit_length() - 1)
        tx.execute(
            "UPDATE callbacks SET state = 'read', fault = NULL, read_at = ?"
            f" WHERE id IN ({', '.join('?' * size)})",
            (to_ms(now), *callback_ids[start : start + size]),
        )
        start += size


def set_aside(tx: Transaction, item: Park) -> None:
    """Park a callback, or part of one; its raw bytes stay until it was read in full."""
    tx.execute(
        "UPDATE callbacks SET state = 'parked', fault = ?, tries = tries + 1 WHERE id = ?",
        (item.fault[:500], item.callback_id),
    )
    reason = item.fault.partition(":")[0]
    _note(tx, item.tenant_id, item.callback_id, "callback.parked", "gateway", item.now, reason, item.fault)


def take_up(tx: Transaction, item: Replay) -> CallbackRow:
    """Put a parked callback back in line to be read."""
    known = get(tx, item.tenant_id, item.callback_id)
    if known.state != "parked":
        raise Conflict(
            f"this callback is {known.state}, not parked",
            code="callback_not_parked",
            remedy="only parked callbacks need to be read again",
        )
    tx.announce("callbacks")
    tx.execute(
        "UPDATE callbacks SET state = 'stored', tries = tries + 1 WHERE id = ?",
        (item.callback_id,),
    )
    _note(tx, item.tenant_id, item.callback_id, "callback.replayed", item.actor, item.now, item.reason, None)
    return get(tx, item.tenant_id, item.callback_id)


def _note(
    tx: Transaction,
    tenant_id: str,
    callback_id: str,
    kind: str,
    actor: str,
    now: datetime,
    reason: str | None,
    fault: str | None,
) -> None:
    # `tries` counts parkings and replays, each of which has one line: it is the version, too.
    row = tx.one("SELECT tries, app_id FROM callbacks WHERE id = ?", (callback_id,))
    assert row is not None
    facts = {"app_id": row[1]} if fault is None else {"app_id": row[1], "fault": fault[:500]}
    tx.journal(Line(tenant_id, kind, callback_id, row[0], actor, now, reason=reason, facts=facts))


def get(reading: Reading, tenant_id: str, callback_id: str) -> CallbackRow:
    """Give what is known of a callback; `NotFound` when it is not this tenant's."""
    row = reading.one(
        f"SELECT {_COLUMNS} FROM callbacks WHERE id = ? AND tenant_id = ?", (callback_id, tenant_id)
    )
    if row is None:
        raise NotFound("no such callback", code="callback_not_found")
    return CallbackRow(*row)


def page(
    reading: Reading, tenant_id: str, state: State | None, cursor: str | None, limit: int
) -> list[CallbackRow]:
    """Give the tenant's callbacks behind the id `cursor`, oldest first."""
    values: list[str | int] = [tenant_id, cursor or ""]
    # Spelled out, so that the partial indexes of the open states serve.
    clause = "" if state is None else f" AND state = '{state}'"
    sql = f"SELECT {_COLUMNS} FROM callbacks WHERE tenant_id = ? AND id > ?{clause} ORDER BY id LIMIT ?"
    return [CallbackRow(*row) for row in reading.rows(sql, (*values, limit))]


class Purge(Struct, frozen=True):
    """Drop what was read more than `raw_days` ago, at most `rows_max` of each kind in one go."""

    raw_days: int
    rows_max: int
    now: datetime


class Purged(Struct, frozen=True):
    """How many raw bodies and how many whole rows went."""

    bodies: int
    rows: int


def drop_old(tx: Transaction, item: Purge) -> Purged:
    """Drop raw bodies a while after reading, and the rows themselves once their digests have served."""
    before = to_ms(item.now - timedelta(days=item.raw_days))
    bodies = tx.execute(
        "UPDATE callbacks SET body = NULL WHERE id IN (SELECT id FROM callbacks"
        " WHERE state = 'read' AND body IS NOT NULL AND read_at <= ? ORDER BY read_at LIMIT ?)",
        (before, item.rows_max),
    )
    # Ids ascend with time, so the oldest rows are found by their ids.
    oldest = to_ms(item.now - timedelta(days=max(DIGEST_DAYS, item.raw_days)))
    bound = f"{PREFIXES['callback']}_{encode(oldest << 80)}"
    rows = tx.execute(
        "DELETE FROM callbacks WHERE id IN (SELECT id FROM callbacks"
        " WHERE id < ? AND state = 'read' AND body IS NULL ORDER BY id LIMIT ?)",
        (bound, item.rows_max),
    )
    return Purged(bodies, rows)


park = single(set_aside)
replay = single(take_up)
purge = single(drop_old)
