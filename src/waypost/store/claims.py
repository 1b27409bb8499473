"""Claiming: the one transaction in which a message's attempt becomes real.

For each lane asked for: fence by owner, epoch and lease; spend the number's and the pair's pace; ask the policies with
facts gathered here; write the attempt and its journal line. The attempt starts at this commit: whatever happens
afterwards, it is known that it may have been spoken.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import assert_never

from msgspec import Struct

from waypost.domain import pace
from waypost.domain.classes import CLASSES, RANKS
from waypost.domain.decisions import Allow, Decision, Facts, Hold, Refuse
from waypost.domain.statuses import Command, Status, after
from waypost.domain.times import from_ms, to_ms
from waypost.store.lines import IN_LINE, is_behind, promote
from waypost.store.transaction import Line, Row, Transaction


class ClaimRequest(Struct, frozen=True):
    """Up to `limit` messages of one lane. `call_seconds` is the longest a provider call may take: nothing is claimed
    that could outlive the lease."""

    number_id: str
    owner: str
    epoch: int
    limit: int
    call_seconds: float
    now: datetime
    decide: Callable[[Facts], Decision]


class Claimed(Struct, frozen=True):
    """A message whose attempt has started."""

    attempt_id: str
    message_id: str
    number_id: str
    recipient_kind: str
    recipient: str
    content: bytes


class Claim(Struct, frozen=True):
    """What a lane gave: the messages to speak, and when to ask again (milliseconds; None: when woken)."""

    claimed: Sequence[Claimed]
    next_at: int | None
    fenced: bool = False


_DUE = """
SELECT m.id, m.tenant_id, m.contact_id, m.content_id, m.type, m.rank, m.recipient_kind, m.recipient, m.assignee,
       m.status, m.attempts, m.not_before, m.expires_at, m.version
FROM messages m
WHERE m.number_id = ? AND m.rank = ? AND m.status IN ('accepted', 'held', 'retrying') AND m.due_at <= ?
ORDER BY m.due_at, m.id LIMIT ?
"""
_CLAIM = """
UPDATE messages SET status = 'sending', reason = NULL, attempts = ?, attempt_id = ?, version = ?, changed_at = ?
WHERE id = ?
"""
_INSERT_ATTEMPT = """
INSERT INTO attempts (id, tenant_id, message_id, number_id, ordinal, epoch, state, started_at, lease_until)
VALUES (?, ?, ?, ?, ?, ?, 'sending', ?, ?)
"""
_SPEND = """
INSERT INTO pace (key, arrival_us) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET arrival_us = excluded.arrival_us
"""


def claim(tx: Transaction, asks: Sequence[Sequence[ClaimRequest]]) -> Sequence[Sequence[Claim]]:
    """Claim for every lane asked for; one answer per request."""
    return [[_claim(tx, request) for request in requests] for requests in asks]


def _claim(tx: Transaction, request: ClaimRequest) -> Claim:
    now = to_ms(request.now)
    lane = tx.one(
        "SELECT l.owner, l.epoch, l.lease_until, l.slow_until, n.state, n.pace_per_second FROM lanes l"
        " JOIN numbers n ON n.id = l.number_id WHERE l.number_id = ?",
        (request.number_id,),
    )
    call_ms = int(request.call_seconds * 1000)
    if lane is None or lane[0] != request.owner or lane[1] != request.epoch or lane[2] < now + call_ms:
        return Claim((), None, fenced=True)
    if lane[4] != "active":
        return Claim((), None)
    if lane[3] > now:
        return Claim((), lane[3])
    rate = pace.number_rate(lane[5])
    key = f"n:{request.number_id}"
    arrival = _arrival(tx, key)
    allowed = min(request.limit, pace.available(rate, arrival, now * 1000))
    if allowed == 0:
        return Claim((), -(-pace.next_at_us(rate, arrival) // 1000))
    claimed: list[Claimed] = []
    for row in _shares(tx, request.number_id, now, allowed):
        if len(claimed) == allowed:
            break
        taken = _consider(tx, request, row, now, call_ms)
        if taken is not None:
            claimed.append(taken)
    if claimed:
        tx.execute(_SPEND, (key, pace.spend(rate, arrival, now * 1000, len(claimed))))
    return Claim(claimed, _next_at(tx, request.number_id))


def _shares(tx: Transaction, number_id: str, now: int, allowed: int) -> list[Row]:
    """Give due rows by class: the higher first, but an eighth is kept for each lower one that has work."""
    by_rank = [tx.rows(_DUE, (number_id, rank, now, allowed)) for rank in range(len(CLASSES))]
    reserve = allowed // 8
    reserved = [0, *(min(len(rows), reserve) for rows in by_rank[1:])]
    chosen: list[Row] = []
    left: list[Row] = []
    free = allowed
    for rank, rows in enumerate(by_rank):
        take = max(0, free - sum(reserved[rank + 1 :]))
        chosen += rows[:take]
        left += rows[take:]
        free -= min(take, len(rows))
    # What the policies or the pair's pace turn away makes room for the rest.
    return chosen + left


def _consider(tx: Transaction, request: ClaimRequest, row: Row, now: int, call_ms: int) -> Claimed | None:
    message_id, tenant_id, contact_id, content_id = row[0], row[1], row[2], row[3]
    rank, status, attempts, version = row[5], row[9], row[10], row[13]
    if is_behind(tx, request.number_id, contact_id, rank, row[11], message_id):
        _postpone(tx, message_id, IN_LINE)
        return None
    blocked_until = _blocked_until(tx, request.number_id, contact_id, now)
    if blocked_until is not None:
        _postpone(tx, message_id, blocked_until)
        return None
    decision = request.decide(_facts(tx, request.number_id, row, now))
    match decision:
        case Hold() | Refuse():
            _turn_away(tx, request, row, decision)
            return None
        case Allow():
            pair_key = f"p:{request.number_id}:{contact_id}"
            arrival = _arrival(tx, pair_key)
            if pace.available(pace.PAIR, arrival, now * 1000) == 0:
                _postpone(tx, message_id, -(-pace.next_at_us(pace.PAIR, arrival) // 1000))
                return None
            tx.execute(_SPEND, (pair_key, pace.spend(pace.PAIR, arrival, now * 1000, 1)))
        case _:
            assert_never(decision)
    assert after(status, "claim") == "sending"
    attempt_id = tx.ids.new("attempt", request.now)
    tx.execute(_CLAIM, (attempts + 1, attempt_id, version + 1, now, message_id))
    tx.execute(
        _INSERT_ATTEMPT,
        (
            attempt_id,
            tenant_id,
            message_id,
            request.number_id,
            attempts + 1,
            request.epoch,
            now,
            now + call_ms,
        ),
    )
    tx.journal(
        Line(
            tenant_id,
            "message.attempted",
            message_id,
            version + 1,
            "gateway",
            request.now,
            number_id=request.number_id,
            contact_id=contact_id,
            content_id=content_id,
            facts={"attempt_id": attempt_id, "ordinal": attempts + 1},
        )
    )
    content, recipient = _content(tx, tenant_id, contact_id, content_id, row[7])
    return Claimed(attempt_id, message_id, request.number_id, row[6], recipient, content)


def _content(
    tx: Transaction, tenant_id: str, contact_id: str, content_id: str, recipient: bytes
) -> tuple[bytes, str]:
    found = tx.one("SELECT contact_id, body FROM contents WHERE id = ?", (content_id,))
    assert found is not None, "a waiting message keeps its content"
    # Content and recipient were written under one contact, which may have been merged since.
    decode = tx.codec.decode
    return decode(tenant_id, found[0], found[1]), decode(tenant_id, found[0], recipient).decode()


def _facts(tx: Transaction, number_id: str, row: Row, now: int) -> Facts:
    assignee, window = None, None
    if row[8] is not None:
        conversation = tx.one(
            "SELECT assignee, window_expires_at FROM conversations WHERE number_id = ? AND contact_id = ?",
            (number_id, row[2]),
        )
        assignee, window = conversation or (None, None)
    return Facts(RANKS[row[5]], row[4], row[8], assignee, window, row[12], now)


def _blocked_until(tx: Transaction, number_id: str, contact_id: str, now: int) -> int | None:
    """Tell until when an attempt in flight or unknown blocks the conversation; `IN_LINE`: until it is settled."""
    until: int | None = None
    for status, since, rank in tx.rows(
        "SELECT status, unknown_since, rank FROM messages WHERE number_id = ? AND contact_id = ?"
        " AND status IN ('sending', 'unknown')",
        (number_id, contact_id),
    ):
        if status == "sending":
            return IN_LINE
        lifted = since + CLASSES[RANKS[rank]].unknown_block_seconds * 1000
        if lifted > now:
            until = max(until or 0, lifted)
    return until


def _turn_away(tx: Transaction, request: ClaimRequest, row: Row, decision: Hold | Refuse) -> None:
    message_id, tenant_id, contact_id, content_id, version = row[0], row[1], row[2], row[3], row[13]
    status: Status = row[9]
    until = request.now + timedelta(minutes=1)
    if isinstance(decision, Hold):
        move: Command = "hold"
        until = decision.until or until
    else:
        move = "expire" if decision.reason == "expired" else "refuse"
    new = after(status, move)
    assert new is not None
    if isinstance(decision, Hold) and status == "held" and _reason(tx, message_id) == decision.reason:
        _postpone(tx, message_id, to_ms(until))
        return
    tx.execute(
        "UPDATE messages SET status = ?, reason = ?, due_at = ?, version = ?, changed_at = ? WHERE id = ?",
        (new, decision.reason, to_ms(until), version + 1, to_ms(request.now), message_id),
    )
    tx.journal(
        Line(
            tenant_id,
            f"message.{new}",
            message_id,
            version + 1,
            "gateway",
            request.now,
            reason=decision.reason,
            number_id=request.number_id,
            contact_id=contact_id,
            content_id=content_id,
            facts={"until": from_ms(to_ms(until)).isoformat()} if new == "held" else {},
        )
    )
    if new != "held":
        promote(tx, request.number_id, contact_id, to_ms(request.now))


def _reason(tx: Transaction, message_id: str) -> str | None:
    row = tx.one("SELECT reason FROM messages WHERE id = ?", (message_id,))
    return None if row is None else row[0]


def _postpone(tx: Transaction, message_id: str, due_at: int) -> None:
    # Waiting on pace or in line is not a change of state: no journal line.
    tx.execute("UPDATE messages SET due_at = ? WHERE id = ?", (due_at, message_id))


def _arrival(tx: Transaction, key: str) -> int:
    row = tx.one("SELECT arrival_us FROM pace WHERE key = ?", (key,))
    return 0 if row is None else int(row[0])


def _next_at(tx: Transaction, number_id: str) -> int | None:
    times = [
        row[0]
        for rank in range(len(CLASSES))
        for row in tx.rows(
            "SELECT due_at FROM messages WHERE number_id = ? AND rank = ?"
            " AND status IN ('accepted', 'held', 'retrying') ORDER BY due_at LIMIT 1",
            (number_id, rank),
        )
    ]
    earliest = min(times, default=IN_LINE)
    return None if earliest == IN_LINE else earliest
