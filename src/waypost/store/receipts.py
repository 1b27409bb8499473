"""Receipts: sent, delivered, read, played, failed, as the provider tells them, in any order and more than once.

A receipt is matched by *our* attempt id first (the echo), then by the provider's id, because it can overtake the
answer that would teach us that id. What matches nothing is parked and tried again when an answer brings its id.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from waypost.domain.outcomes import Failed
from waypost.domain.retry import RetryRules
from waypost.domain.times import to_ms
from waypost.store.evidence import AttemptState, Bench, ReceiptStatus
from waypost.store.failures import record_failure
from waypost.store.transaction import Transaction

PARKED_DAYS = 7  # as long as Meta itself repeats a callback


class ReceiptItem(Struct, frozen=True):
    """One receipt. `echo` is our attempt id when the provider carries it; `pricing` its JSON, verbatim; `participant`
    is set for groups, where the message's status follows the first participant."""

    tenant_id: str
    number_id: str
    provider_message_id: str
    echo: str | None
    status: ReceiptStatus
    at: datetime
    failure: Failed | None
    pricing: bytes | None
    now: datetime
    participant: str | None = None
    rules: RetryRules = RetryRules()


_decode = msgspec.json.Decoder(ReceiptItem).decode
_encode = msgspec.json.Encoder().encode


def apply_receipts(tx: Transaction, items: Sequence[ReceiptItem]) -> int:
    """Apply receipts in the order given; gives how many were new."""
    if not items:
        return 0
    unmatched, applied = _apply(tx, items)
    for item in unmatched:
        expires = to_ms(item.now) + PARKED_DAYS * 86_400_000
        body = tx.codec.encode(item.tenant_id, None, _encode(item))
        tx.execute(
            "INSERT INTO parked_receipts (id, tenant_id, number_id, provider_message_id, body, parked_at, expires_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                tx.ids.new("receipt", item.now),
                item.tenant_id,
                item.number_id,
                item.provider_message_id,
                body,
                to_ms(item.now),
                expires,
            ),
        )
    return applied


def unpark(tx: Transaction, provider_ids: Sequence[str], now: datetime) -> int:
    """Apply parked receipts whose provider id has become known."""
    if not provider_ids or tx.one("SELECT 1 FROM parked_receipts LIMIT 1") is None:
        return 0
    applied = 0
    for provider_id in provider_ids:
        rows = sorted(
            tx.rows(
                "SELECT id, tenant_id, body FROM parked_receipts WHERE provider_message_id = ?",
                (provider_id,),
            )
        )
        if not rows:
            continue
        receipts = [_decode(tx.codec.decode(tenant_id, None, body)) for _, tenant_id, body in rows]
        tx.many("DELETE FROM parked_receipts WHERE id = ?", [(row[0],) for row in rows])
        applied += _apply(tx, receipts)[1]
    return applied


def purge_parked(tx: Transaction, items: Sequence[datetime]) -> Sequence[int]:
    """Drop parked receipts nobody claimed in seven days: messages sent by other software on the same number."""
    return [tx.execute("DELETE FROM parked_receipts WHERE expires_at <= ?", (to_ms(now),)) for now in items]


def _apply(tx: Transaction, items: Sequence[ReceiptItem]) -> tuple[list[ReceiptItem], int]:
    echoes = [item.echo for item in items if item.echo is not None and item.echo.startswith("att_")]
    bench = Bench(tx, echoes, [item.provider_message_id for item in items])
    unmatched: list[ReceiptItem] = []
    applied = 0
    for item in items:
        attempt = bench.attempts.get(item.echo) if item.echo is not None else None
        if attempt is None or attempt.number_id != item.number_id:
            attempt = bench.by_provider_id.get(item.provider_message_id)
        if attempt is None or attempt.tenant_id != item.tenant_id or attempt.number_id != item.number_id:
            unmatched.append(item)
            continue
        applied += _apply_one(tx, bench, attempt, item)
    bench.save(max(to_ms(item.now) for item in items))
    return unmatched, applied


def _apply_one(tx: Transaction, bench: Bench, attempt: AttemptState, item: ReceiptItem) -> bool:
    now = to_ms(item.now)
    if attempt.provider_message_id is None:
        attempt.provider_message_id = item.provider_message_id
        bench.by_provider_id[item.provider_message_id] = attempt
        attempt.changed = True
    if item.status == "failed":
        return _apply_failure(tx, bench, attempt, item, now)
    column = f"{item.status}_at"
    fresh_pricing = item.pricing is not None and attempt.pricing is None
    known = getattr(attempt, column) is not None
    if known and not fresh_pricing:
        return False
    if not known:
        setattr(attempt, column, to_ms(item.at))
    if attempt.state in ("sending", "unknown") or (attempt.state == "failed" and item.status != "sent"):
        # Proof that it went out settles what was in doubt; delivered beats an earlier failure.
        bench.take(attempt, now)
    if fresh_pricing:
        attempt.pricing = item.pricing
    attempt.changed = True
    facts: dict[str, object] = {"provider_at": item.at.isoformat()}
    if fresh_pricing and item.pricing is not None:
        facts["pricing"] = msgspec.Raw(item.pricing)
    if not (attempt.state == "failed" and item.status == "sent") and bench.move(
        attempt, item.status, now, facts=facts
    ):
        return True
    if fresh_pricing:
        bench.note(attempt, now, {"receipt": item.status, **facts})
    return not known


def _apply_failure(tx: Transaction, bench: Bench, attempt: AttemptState, item: ReceiptItem, now: int) -> bool:
    failure = item.failure or Failed(None, "fail", "failed", "the provider gave no reason")
    return record_failure(tx, bench, attempt, failure, item.rules, now, actor="meta")
