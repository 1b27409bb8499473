"""What waits for a person or a change: held, unknown, unresolved and long-retrying messages, parked callbacks and
events, lanes that stopped or slowed, subscribers that fail. Every query is of one tenant and bounded."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from waypost.domain.classes import RANKS
from waypost.domain.ids import PREFIXES, encode
from waypost.domain.times import to_ms
from waypost.store.transaction import Reading, Row

# Counting stops here: beyond, the exact figure helps nobody.
WAITING_COUNT_MAX = 10_000


class StuckMessage(Struct, frozen=True):
    """A message that does not go on by itself, or not soon; times in milliseconds."""

    id: str
    number_id: str
    contact_id: str
    type: str
    message_class: str
    status: str
    reason: str | None
    failure: dict[str, Any] | None
    attempts: int
    accepted_at: int
    changed_at: int
    due_at: int
    expires_at: int


class ParkedCallback(Struct, frozen=True):
    """A callback that could not be read."""

    id: str
    app_id: str
    fault: str | None
    tries: int
    received_at: int


class ParkedEvent(Struct, frozen=True):
    """An event that one subscriber would not take."""

    subscriber_id: str
    position: int
    timeline: str
    kind: str
    aggregate_id: str
    tries: int
    first_failed_at: int | None
    fault: str | None


class StuckLane(Struct, frozen=True):
    """The sending of a number that is paused, stopped or slowed. `waiting` counts to `WAITING_COUNT_MAX`."""

    number_id: str
    label: str
    state: str
    reason: str | None
    slow_until: int | None
    slow_reason: str | None
    waiting: int


class FailingSubscriber(Struct, frozen=True):
    """A subscriber that fails as a whole, is paused, or answered 410. `behind`: journal lines above its mark."""

    id: str
    url: str
    label: str
    state: str
    reason: str | None
    failing_since: int | None
    failures: int
    next_try_at: int
    behind: int


_MESSAGE = (
    "SELECT id, number_id, contact_id, type, rank, status, reason, failure, attempts, accepted_at, changed_at, due_at,"
    " expires_at FROM messages"
)
# By number, which is the tenant's: the partial indexes of open work begin with it. A condition on the message's own
# tenant would lead the planner to the tenant's whole history instead.
_OF_TENANT = "number_id IN (SELECT id FROM numbers WHERE tenant_id = ?)"


def _message(row: Row) -> StuckMessage:
    values = list(row)
    values[4] = RANKS[row[4]]
    values[7] = None if row[7] is None else msgspec.json.decode(row[7])
    return StuckMessage(*values)


def held(reading: Reading, tenant_id: str, limit: int) -> list[StuckMessage]:
    """Give messages a policy or a person holds, oldest first."""
    sql = (
        f"{_MESSAGE} WHERE {_OF_TENANT} AND status IN ('accepted', 'held', 'retrying') AND status = 'held'"
        " ORDER BY id LIMIT ?"
    )
    return [_message(row) for row in reading.rows(sql, (tenant_id, limit))]


def retrying(reading: Reading, tenant_id: str, now: datetime, minutes: int, limit: int) -> list[StuckMessage]:
    """Give messages that were tried, are waiting to be tried again, and were accepted so many minutes ago or more."""
    sql = (
        f"{_MESSAGE} WHERE {_OF_TENANT} AND status IN ('accepted', 'held', 'retrying') AND status = 'retrying'"
        " AND accepted_at <= ? ORDER BY id LIMIT ?"
    )
    before = to_ms(now - timedelta(minutes=minutes))
    return [_message(row) for row in reading.rows(sql, (tenant_id, before, limit))]


def unknown(reading: Reading, tenant_id: str, limit: int) -> list[StuckMessage]:
    """Give messages of unknown outcome, those longest in doubt first."""
    sql = (
        f"{_MESSAGE} WHERE {_OF_TENANT} AND status IN ('sending', 'unknown') AND status = 'unknown'"
        " ORDER BY unknown_since LIMIT ?"
    )
    return [_message(row) for row in reading.rows(sql, (tenant_id, limit))]


def unresolved(reading: Reading, tenant_id: str, now: datetime, days: int, limit: int) -> list[StuckMessage]:
    """Give messages accepted in the last days whose outcome was never learnt, newest first."""
    # Ids ascend with time: a bound on the id reads only the newest part of the tenant's index.
    after = f"{PREFIXES['message']}_{encode(to_ms(now - timedelta(days=days)) << 80)}"
    sql = f"{_MESSAGE} WHERE tenant_id = ? AND id > ? AND status = 'unresolved' ORDER BY id DESC LIMIT ?"
    return [_message(row) for row in reading.rows(sql, (tenant_id, after, limit))]


def parked_callbacks(reading: Reading, tenant_id: str, limit: int) -> list[ParkedCallback]:
    """Give callbacks that could not be read, oldest first."""
    sql = (
        "SELECT id, app_id, fault, tries, received_at FROM callbacks WHERE tenant_id = ? AND state = 'parked'"
        " ORDER BY id LIMIT ?"
    )
    return [ParkedCallback(*row) for row in reading.rows(sql, (tenant_id, limit))]


def parked_events(reading: Reading, tenant_id: str, limit: int) -> list[ParkedEvent]:
    """Give events given up at a subscriber, by subscriber and in order."""
    sql = (
        "SELECT e.subscriber_id, e.position, j.timeline, j.kind, j.aggregate_id, e.tries, e.first_failed_at, e.fault"
        " FROM subscriber_exceptions e JOIN journal j ON j.position = e.position"
        " WHERE e.subscriber_id IN (SELECT id FROM subscribers WHERE tenant_id = ? AND state <> 'removed')"
        " AND e.tenant_id = ? AND e.state = 'parked' ORDER BY e.subscriber_id, e.position LIMIT ?"
    )
    return [ParkedEvent(*row) for row in reading.rows(sql, (tenant_id, tenant_id, limit))]


def lanes(reading: Reading, tenant_id: str, now: datetime, limit: int) -> list[StuckLane]:
    """Give the numbers that do not send at their pace, with how much waits behind them."""
    at = to_ms(now)
    rows = reading.rows(
        "SELECT n.id, n.label, n.state, n.state_reason, l.slow_until, l.slow_reason FROM numbers n"
        " LEFT JOIN lanes l ON l.number_id = n.id WHERE n.tenant_id = ? AND n.state <> 'removed'"
        " AND (n.state <> 'active' OR l.slow_until > ?) ORDER BY n.id LIMIT ?",
        (tenant_id, at, limit),
    )
    return [
        StuckLane(
            number_id, label, state, reason,
            slow_until if slow_until is not None and slow_until > at else None,
            slow_reason if slow_until is not None and slow_until > at else None,
            _waiting(reading, number_id),
        )
        for number_id, label, state, reason, slow_until, slow_reason in rows
    ]  # fmt: skip


def _waiting(reading: Reading, number_id: str) -> int:
    row = reading.one(
        "SELECT count(*) FROM (SELECT 1 FROM messages WHERE number_id = ?"
        " AND status IN ('accepted', 'held', 'retrying') LIMIT ?) AS some",
        (number_id, WAITING_COUNT_MAX),
    )
    return int(row[0]) if row is not None else 0


def failing_subscribers(reading: Reading, tenant_id: str, limit: int) -> list[FailingSubscriber]:
    """Give subscribers that are paused, disabled or failing."""
    rows = reading.rows(
        "SELECT id, url, label, state, state_reason, failing_since, failures, next_try_at,"
        " (SELECT coalesce(max(position), 0) FROM journal) - position FROM subscribers"
        " WHERE tenant_id = ? AND state <> 'removed' AND (state <> 'active' OR failing_since IS NOT NULL)"
        " ORDER BY id LIMIT ?",
        (tenant_id, limit),
    )
    return [FailingSubscriber(*row) for row in rows]
