"""What the gateway's figures are computed from: named queries over the open work, and counts of the journal.

These read the whole installation, not one tenant: they are the operator's. No query scans history; each goes along
an index of open work, or along the journal behind a position.
"""

from datetime import datetime

from msgspec import Struct

from waypost.domain.times import to_ms
from waypost.store.journal import position_now
from waypost.store.transaction import Reading

# How far a counter follows the journal at one time: about 0.1 s of reading on the reference machine.
_LINES_MAX = 200_000


class Queue(Struct, frozen=True):
    """Messages waiting to be sent, of one class rank and status."""

    rank: int
    status: str
    messages: int
    age_seconds: float


class Lane(Struct, frozen=True):
    """The sending of one number."""

    number_id: str
    state: str
    epoch: int
    held: bool
    slow_seconds: float


class Follower(Struct, frozen=True):
    """How far one subscriber is behind."""

    subscriber_id: str
    state: str
    lag_events: int
    lag_seconds: float
    waiting: int
    parked: int


class Pile(Struct, frozen=True):
    """Things waiting, and how long the oldest has waited."""

    count: int
    age_seconds: float


class Measures(Struct, frozen=True):
    """The figures of one moment."""

    position: int
    queues: tuple[Queue, ...]
    lanes: tuple[Lane, ...]
    followers: tuple[Follower, ...]
    unknown: Pile
    in_flight: int
    callbacks_unread: Pile
    callbacks_parked: int
    receipts_parked: Pile
    media_wanted: int


class Told(Struct, frozen=True):
    """How often a kind of event, with its reason, was told in a stretch of the journal."""

    kind: str
    reason: str | None
    count: int


def measure(reading: Reading, now: datetime) -> Measures:
    """Give the figures as of `now`."""
    at = to_ms(now)
    return Measures(
        position=position_now(reading),
        queues=_queues(reading, at),
        lanes=_lanes(reading, at),
        followers=_followers(reading, at),
        unknown=_pile(
            reading, at, "SELECT count(*), min(unknown_since) FROM messages WHERE status = 'unknown'"
        ),
        in_flight=_count(reading, "SELECT count(*) FROM attempts WHERE state = 'sending'"),
        callbacks_unread=_pile(
            reading, at, "SELECT count(*), min(received_at) FROM callbacks WHERE state = 'stored'"
        ),
        callbacks_parked=_count(reading, "SELECT count(*) FROM callbacks WHERE state = 'parked'"),
        receipts_parked=_pile(reading, at, "SELECT count(*), min(parked_at) FROM parked_receipts"),
        media_wanted=_count(reading, "SELECT count(*) FROM media WHERE state = 'wanted'"),
    )


def counted(reading: Reading, after: int) -> tuple[int, list[Told]]:
    """Count the journal behind `after` by kind and reason; gives the position counted up to."""
    upto = min(position_now(reading), after + _LINES_MAX)
    sql = "SELECT kind, reason, count(*) FROM journal WHERE position > ? AND position <= ? GROUP BY kind, reason"
    return upto, [Told(*row) for row in reading.rows(sql, (after, upto))]


def _queues(reading: Reading, at: int) -> tuple[Queue, ...]:
    sql = (
        "SELECT rank, status, count(*), min(not_before) FROM messages"
        " WHERE status IN ('accepted', 'held', 'retrying') GROUP BY rank, status"
    )
    return tuple(Queue(rank, status, n, _age(at, oldest)) for rank, status, n, oldest in reading.rows(sql))


def _lanes(reading: Reading, at: int) -> tuple[Lane, ...]:
    sql = (
        "SELECT n.id, n.state, l.epoch, l.owner, l.lease_until, l.slow_until FROM numbers n"
        " LEFT JOIN lanes l ON l.number_id = n.id WHERE n.state <> 'removed'"
    )
    return tuple(
        Lane(
            number_id,
            state,
            epoch or 0,
            owner is not None and lease_until > at,
            max(0.0, ((slow_until or 0) - at) / 1000),
        )
        for number_id, state, epoch, owner, lease_until, slow_until in reading.rows(sql)
    )


def _followers(reading: Reading, at: int) -> tuple[Follower, ...]:
    last = position_now(reading)
    exceptions: dict[tuple[str, str], int] = {}
    sql = "SELECT subscriber_id, state, count(*) FROM subscriber_exceptions GROUP BY subscriber_id, state"
    for subscriber_id, state, count in reading.rows(sql):
        exceptions[subscriber_id, state] = count
    sql = (
        "SELECT s.id, s.state, s.position, (SELECT j.at FROM journal j WHERE j.position > s.position"
        " ORDER BY j.position LIMIT 1) FROM subscribers s WHERE s.state <> 'removed'"
    )
    return tuple(
        Follower(
            subscriber_id,
            state,
            max(0, last - position),
            _age(at, next_at),
            exceptions.get((subscriber_id, "waiting"), 0),
            exceptions.get((subscriber_id, "parked"), 0),
        )
        for subscriber_id, state, position, next_at in reading.rows(sql)
    )


def _pile(reading: Reading, at: int, sql: str) -> Pile:
    count, oldest = reading.one(sql) or (0, None)
    return Pile(count, _age(at, oldest))


def _count(reading: Reading, sql: str) -> int:
    row = reading.one(sql)
    return int(row[0]) if row else 0


def _age(at: int, since: int | None) -> float:
    return 0.0 if since is None else max(0.0, (at - since) / 1000)
