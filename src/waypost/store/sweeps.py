"""What time alone brings about: expiries, unknown outcomes that fall to their class's policy, overdue messages.

Each sweep takes a bounded page, so that a backlog never makes one long transaction; the caller repeats it.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from waypost.domain.classes import CLASSES, RANKS
from waypost.domain.statuses import Command, Status, after
from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.lines import SHORTEST_BLOCK_SECONDS, promote
from waypost.store.transaction import Line, Reading, Row, Transaction

_PAGE = 500


class Change(Struct, frozen=True):
    """A command on one message, given by time, a policy or a person."""

    command: Command
    actor: str
    reason: str | None
    now: datetime
    due_at: int | None = None


def command(tx: Transaction, row: Row, change: Change) -> Status | None:
    """Carry out a command on a message row `(id, tenant_id, number_id, contact_id, content_id, status, version)`;
    None when its present status does not allow it."""
    message_id, tenant_id, number_id, contact_id, content_id, status, version = row[:7]
    new = after(status, change.command)
    if new is None:
        return None
    at = to_ms(change.now)
    tx.execute(
        "UPDATE messages SET status = ?, reason = ?, version = ?, changed_at = ?, unknown_since = NULL,"
        " due_at = coalesce(?, due_at) WHERE id = ?",
        (new, change.reason, version + 1, at, change.due_at, message_id),
    )
    kind = "message.released" if change.command == "release" else f"message.{new}"
    tx.journal(
        Line(
            tenant_id,
            kind,
            message_id,
            version + 1,
            change.actor,
            change.now,
            reason=change.reason,
            number_id=number_id,
            contact_id=contact_id,
            content_id=content_id,
        )
    )
    promote(tx, number_id, contact_id, at)
    if change.due_at is not None:
        tx.wake(number_id)
    return new


_COLUMNS = "id, tenant_id, number_id, contact_id, content_id, status, version"


@single
def expire(tx: Transaction, now: datetime) -> int:
    """End waiting messages whose time has run out; gives how many."""
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM messages WHERE status IN ('accepted', 'held', 'retrying') AND expires_at <= ?"
        f" ORDER BY expires_at LIMIT {_PAGE}",
        (to_ms(now),),
    )
    for row in rows:
        command(tx, row, Change("expire", "gateway", "expired", now))
    return len(rows)


@single
def settle_unknown(tx: Transaction, now: datetime) -> int:
    """Apply the declared policy to unknown messages whose wait for evidence is over; gives how many moved."""
    at = to_ms(now)
    rows = tx.rows(
        f"SELECT {_COLUMNS}, rank, on_unknown, unknown_since, expires_at FROM messages WHERE status = 'unknown'"
        f" AND unknown_since <= ? ORDER BY unknown_since LIMIT {_PAGE}",
        (at - min(rule.unknown_wait_seconds for rule in CLASSES.values()) * 1000,),
    )
    moved = 0
    for row in rows:
        change = _policy(row[7], row[8], row[9], row[10], now)
        if change is not None:
            command(tx, row, change)
            moved += 1
    return moved


def _policy(rank: int, on_unknown: str, since: int, expires_at: int, now: datetime) -> Change | None:
    rule = CLASSES[RANKS[rank]]
    at = to_ms(now)
    if at >= since + rule.unknown_deadline_seconds * 1000:
        return Change("give_up", "gateway", "no_evidence", now)
    if at < since + rule.unknown_wait_seconds * 1000 or on_unknown == "wait":
        return None
    if on_unknown == "fail":
        return Change("settle_failed", "gateway", "declared_on_unknown", now)
    if at >= expires_at:
        # Too late to resend; only evidence may still tell.
        return Change("give_up", "gateway", "no_evidence", now)
    # The caller's class, or the caller, has declared that a double is better than silence.
    return Change("resend", "gateway", "declared_on_unknown", now, due_at=at)


@single
def tell_overdue(tx: Transaction, now: datetime) -> int:
    """Journal `message.overdue` for messages not known to be delivered at their `deliver_by`; gives how many."""
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM messages WHERE overdue_at IS NOT NULL AND overdue_at <= ?"
        f" ORDER BY overdue_at LIMIT {_PAGE}",
        (to_ms(now),),
    )
    told = 0
    for message_id, tenant_id, number_id, contact_id, content_id, status, version in rows:
        late = status not in ("delivered", "read", "played")
        tx.execute(
            "UPDATE messages SET overdue_at = NULL, version = ? WHERE id = ?", (version + late, message_id)
        )
        if late:
            told += 1
            tx.journal(
                Line(
                    tenant_id,
                    "message.overdue",
                    message_id,
                    version + 1,
                    "gateway",
                    now,
                    reason=status,
                    number_id=number_id,
                    contact_id=contact_id,
                    content_id=content_id,
                )
            )
    return told


Sweep = Literal["recover", "expire", "settle_unknown", "tell_overdue", "lift_blocks"]
_DUE: tuple[tuple[Sweep, str], ...] = (
    ("recover", "SELECT 1 FROM attempts WHERE state = 'sending' AND lease_until <= ? LIMIT 1"),
    (
        "expire",
        "SELECT 1 FROM messages WHERE status IN ('accepted', 'held', 'retrying') AND expires_at <= ? LIMIT 1",
    ),
    ("settle_unknown", "SELECT 1 FROM messages WHERE status = 'unknown' AND unknown_since <= ? LIMIT 1"),
    ("tell_overdue", "SELECT 1 FROM messages WHERE overdue_at IS NOT NULL AND overdue_at <= ? LIMIT 1"),
    ("lift_blocks", "SELECT 1 FROM messages WHERE status = 'unknown' AND unknown_since <= ? LIMIT 1"),
)


def due(reading: Reading, now: datetime) -> frozenset[Sweep]:
    """Give the sweeps that may find something now, so that an idle sweeper never takes the writer's turn."""
    earlier = {
        "settle_unknown": min(rule.unknown_wait_seconds for rule in CLASSES.values()),
        "lift_blocks": SHORTEST_BLOCK_SECONDS,
    }
    at = to_ms(now)
    return frozenset(name for name, sql in _DUE if reading.one(sql, (at - earlier.get(name, 0) * 1000,)))


def next_sweep_at(reading: Reading) -> int | None:
    """Give when time next brings something about, in milliseconds."""
    queries = (
        "SELECT min(expires_at) FROM messages WHERE status IN ('accepted', 'held', 'retrying')",
        "SELECT min(overdue_at) FROM messages WHERE overdue_at IS NOT NULL",
    )
    times = [row[0] for sql in queries if (row := reading.one(sql)) and row[0] is not None]
    for rank, on_unknown, since in reading.rows(
        "SELECT rank, on_unknown, min(unknown_since) FROM messages WHERE status = 'unknown' GROUP BY rank, on_unknown"
    ):
        rule = CLASSES[RANKS[rank]]
        wait = rule.unknown_deadline_seconds if on_unknown == "wait" else rule.unknown_wait_seconds
        times.append(since + wait * 1000)
    return min(times, default=None)
