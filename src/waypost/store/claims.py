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
from waypost.store.lines import IN_LINE, block_ms, is_behind, promote
from waypost.store.transaction import Line, Row, Transaction
from waypost.store.withdrawn import IS_NOT_REPLAYED, WIDEST_PURPOSE


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


_OPEN = "('accepted', 'held', 'retrying')"
# What is due of one class of one lane, from its index alone.
_DUE = f"""
SELECT m.number_id, m.rank, m.due_at, m.id FROM messages m
WHERE m.number_id = ? AND m.rank = ? AND m.status IN {_OPEN} AND m.due_at <= ? ORDER BY m.due_at, m.id LIMIT ?
"""
# A due message with everything its claim has to know, so that a claim costs no further look-up: its content, its
# pair's pace, who is first in its line, whether its conversation has an attempt in flight or unknown, what its contact
# withdrew from, and whether withdrawals may be missing.
_FACTS = f"""
SELECT m.id, m.tenant_id, m.contact_id, m.content_id, m.type, m.rank, m.recipient_kind, m.recipient, m.assignee,
       m.status, m.attempts, m.not_before, m.expires_at, m.version, m.number_id, c.contact_id, c.body, p.arrival_us,
       (SELECT a.id FROM messages a WHERE a.number_id = m.number_id AND a.contact_id = m.contact_id
               AND a.rank = m.rank AND a.status IN {_OPEN} ORDER BY a.not_before, a.id LIMIT 1) <> m.id,
       EXISTS (SELECT 1 FROM messages b WHERE b.number_id = m.number_id AND b.contact_id = m.contact_id
               AND b.status IN ('sending', 'unknown')),
       {WIDEST_PURPOSE.replace("%s", "m.contact_id")}, {IS_NOT_REPLAYED}
FROM messages m
JOIN contents c ON c.id = m.content_id
LEFT JOIN pace p ON p.key = 'p:' || m.number_id || ':' || m.contact_id
WHERE m.id IN (%s)
"""
_LANES = """
SELECT l.number_id, l.owner, l.epoch, l.lease_until, l.slow_until, n.state, n.pace_per_second, p.arrival_us
FROM lanes l JOIN numbers n ON n.id = l.number_id LEFT JOIN pace p ON p.key = 'n:' || l.number_id
WHERE l.number_id IN (%s)
"""
_NEXT = (
    "SELECT n.id, "
    + ", ".join(
        f"(SELECT due_at FROM messages WHERE number_id = n.id AND rank = {rank} AND status IN {_OPEN}"
        " ORDER BY due_at LIMIT 1)"
        for rank in range(len(CLASSES))
    )
    + " FROM numbers n WHERE n.id IN (%s)"
)
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
    return [_claim(tx, requests) for requests in asks]


class _Opened(Struct):
    """A lane that may claim now: up to `allowed`, what it has claimed, and its pace."""

    request: ClaimRequest
    rate: pace.Rate
    arrival: int
    allowed: int
    claimed: list[Claimed]


class _Writes:
    """What the claims of one transaction write, gathered so that it goes in few statements; and the conversations
    they touched, of which the facts read before no longer hold."""

    def __init__(self) -> None:
        self.messages: list[Row] = []
        self.attempts: list[Row] = []
        self.paces: list[Row] = []
        self.claimed: set[tuple[str, str]] = set()
        self.changed: set[tuple[str, str]] = set()

    def flush(self, tx: Transaction) -> None:
        tx.many(_CLAIM, self.messages)
        tx.many(_INSERT_ATTEMPT, self.attempts)
        tx.many(_SPEND, self.paces)


def _claim(tx: Transaction, requests: Sequence[ClaimRequest]) -> list[Claim]:
    lanes = {row[0]: row for row in tx.rows_in(_LANES, [request.number_id for request in requests])}
    answers: dict[str, Claim] = {}
    opened: list[_Opened] = []
    for request in requests:
        found = _open(request, lanes.get(request.number_id))
        if isinstance(found, Claim):
            answers[request.number_id] = found
        else:
            opened.append(found)
    writes = _Writes()
    for lane, rows in zip(opened, _shares(tx, opened), strict=True):
        for row in rows:
            if len(lane.claimed) == lane.allowed:
                break
            taken = _consider(tx, lane.request, row, writes)
            if taken is not None:
                lane.claimed.append(taken)
        if lane.claimed:
            now_us = to_ms(lane.request.now) * 1000
            arrival = pace.spend(lane.rate, lane.arrival, now_us, len(lane.claimed))
            writes.paces.append((f"n:{lane.request.number_id}", arrival))
    writes.flush(tx)
    times = {row[0]: row[1:] for row in tx.rows_in(_NEXT, [lane.request.number_id for lane in opened])}
    for lane in opened:
        number_id = lane.request.number_id
        earliest = min((at for at in times[number_id] if at is not None), default=IN_LINE)
        answers[number_id] = Claim(lane.claimed, None if earliest == IN_LINE else earliest)
        if len(lane.claimed) < lane.allowed:
            # Everything due was considered here: what was accepted in this very commit need not be told of.
            tx.due_numbers.discard(number_id)
    return [answers[request.number_id] for request in requests]


def _open(request: ClaimRequest, lane: Row | None) -> _Opened | Claim:
    now = to_ms(request.now)
    call_ms = int(request.call_seconds * 1000)
    if lane is None or lane[1] != request.owner or lane[2] != request.epoch or lane[3] < now + call_ms:
        return Claim((), None, fenced=True)
    if lane[5] != "active":
        return Claim((), None)
    if lane[4] > now:
        return Claim((), lane[4])
    rate, arrival = pace.number_rate(lane[6]), lane[7] or 0
    allowed = min(request.limit, pace.available(rate, arrival, now * 1000))
    if allowed == 0:
        return Claim((), -(-pace.next_at_us(rate, arrival) // 1000))
    return _Opened(request, rate, arrival, allowed, [])


def _shares(tx: Transaction, opened: Sequence[_Opened]) -> list[list[Row]]:
    """Give each lane's due rows by class: the higher first, but an eighth is kept for each lower one that has work."""
    asked = [
        (lane.request.number_id, rank, to_ms(lane.request.now), lane.allowed)
        for lane in opened
        for rank in range(len(CLASSES))
    ]
    due: dict[str, list[list[str]]] = {lane.request.number_id: [[] for _ in CLASSES] for lane in opened}
    for number_id, rank, _, message_id in sorted(tx.rows_for_each(_DUE, asked)):
        due[number_id][rank].append(message_id)
    chosen = [_reserved(due[lane.request.number_id], lane.allowed) for lane in opened]
    facts = {row[0]: row for row in tx.rows_in(_FACTS, [each for some in chosen for each in some])}
    return [[facts[message_id] for message_id in some] for some in chosen]


def _reserved(by_rank: Sequence[Sequence[str]], allowed: int) -> list[str]:
    """Put what is due of each class in the order in which it is considered: `allowed` of it may go."""
    reserve = allowed // 8
    reserved = [0, *(min(len(ids), reserve) for ids in by_rank[1:])]
    chosen: list[str] = []
    left: list[str] = []
    free = allowed
    for rank, ids in enumerate(by_rank):
        take = max(0, free - sum(reserved[rank + 1 :]))
        chosen += ids[:take]
        left += ids[take:]
        free -= min(take, len(ids))
    # What the policies or the pair's pace turn away makes room for the rest.
    return chosen + left


def _consider(tx: Transaction, request: ClaimRequest, row: Row, writes: _Writes) -> Claimed | None:
    message_id, contact_id, now = row[0], row[2], to_ms(request.now)
    pair = (request.number_id, contact_id)
    if pair in writes.claimed:
        # An attempt of this very transaction is in flight there.
        _postpone(tx, message_id, IN_LINE)
        return None
    is_stale = pair in writes.changed
    if is_behind(tx, *pair, row[5], row[11], message_id) if is_stale else row[18]:
        _postpone(tx, message_id, IN_LINE)
        return None
    if (is_stale or row[19]) and _is_blocked(tx, *pair, row[5], now):
        _postpone(tx, message_id, IN_LINE)
        return None
    decision = request.decide(_facts(tx, request.number_id, row, now))
    match decision:
        case Hold() | Refuse():
            writes.changed.add(pair)
            _turn_away(tx, request, row, decision)
            return None
        case Allow():
            arrival = row[17] or 0
            if pace.available(pace.PAIR, arrival, now * 1000) == 0:
                _postpone(tx, message_id, -(-pace.next_at_us(pace.PAIR, arrival) // 1000))
                return None
            pair_key = f"p:{request.number_id}:{contact_id}"
            writes.paces.append((pair_key, pace.spend(pace.PAIR, arrival, now * 1000, 1)))
        case _:
            assert_never(decision)
    writes.claimed.add(pair)
    return _attempt(tx, request, row, writes)


def _attempt(tx: Transaction, request: ClaimRequest, row: Row, writes: _Writes) -> Claimed:
    message_id, tenant_id, contact_id, content_id = row[0], row[1], row[2], row[3]
    now, ordinal, version = to_ms(request.now), row[10] + 1, row[13] + 1
    assert after(row[9], "claim") == "sending"
    attempt_id = tx.ids.new("attempt", request.now)
    lease_until = now + int(request.call_seconds * 1000)
    writes.messages.append((ordinal, attempt_id, version, now, message_id))
    writes.attempts.append(
        (attempt_id, tenant_id, message_id, request.number_id, ordinal, request.epoch, now, lease_until)
    )
    tx.journal(
        Line(
            tenant_id,
            "message.attempted",
            message_id,
            version,
            "gateway",
            request.now,
            number_id=request.number_id,
            contact_id=contact_id,
            content_id=content_id,
            facts={"attempt_id": attempt_id, "ordinal": ordinal},
        )
    )
    # Content and recipient were written under one contact, which may have been merged since.
    decode = tx.codec.decode
    recipient = decode(tenant_id, row[15], row[7]).decode()
    return Claimed(
        attempt_id,
        message_id,
        request.number_id,
        row[6],
        recipient,
        decode(tenant_id, row[15], row[16]),
    )


def _facts(tx: Transaction, number_id: str, row: Row, now: int) -> Facts:
    assignee, window = None, None
    if row[8] is not None:
        conversation = tx.one(
            "SELECT assignee, window_expires_at FROM conversations WHERE number_id = ? AND contact_id = ?",
            (number_id, row[2]),
        )
        assignee, window = conversation or (None, None)
    return Facts(RANKS[row[5]], row[4], row[8], assignee, window, row[12], now, row[20], bool(row[21]))


def _is_blocked(tx: Transaction, number_id: str, contact_id: str, rank: int, now: int) -> bool:
    """Tell whether an attempt in flight or unknown blocks the conversation for a class. What settles the attempt
    promotes the line; `lines.lift_blocks` does when the bound of its class has run out."""
    for status, since, blocking_rank in tx.rows(
        "SELECT status, unknown_since, rank FROM messages WHERE number_id = ? AND contact_id = ?"
        " AND status IN ('sending', 'unknown')",
        (number_id, contact_id),
    ):
        if status == "sending" or since + block_ms(blocking_rank, rank) > now:
            return True
    return False


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
