"""What a person sees and asks of a subscriber's events: its backlog, what is parked, replays and retries."""

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from waypost.domain.errors import Conflict, InvalidRequest, NotFound
from waypost.store import journal, subscribers
from waypost.store.engine import single
from waypost.store.journal import Event
from waypost.store.subscriber_progress import Owed, journal_about
from waypost.store.transaction import Reading, Transaction

# A replay is meant for a consumer's gap; a whole history is what a new subscriber from the beginning is for.
REPLAY_EVENTS_MAX = 10_000
LAG_EVENTS_MAX = 10_000
_SCANNED_MAX = 1_000_000
_PAGE = 1000
# The journal's times follow the wall clock, which may step back a little: look this much further on both sides.
_SLACK_MS = 60_000


class Replay(Struct, frozen=True):
    """Events to tell again, by position."""

    tenant_id: str
    subscriber_id: str
    positions: tuple[int, ...]
    actor: str
    now: datetime


class Replayed(Struct, frozen=True):
    """How many are told again, and how many are still to be told for the first time anyway."""

    replayed: int
    pending: int


class Retry(Struct, frozen=True):
    """A parked event to try again."""

    tenant_id: str
    subscriber_id: str
    position: int
    actor: str
    reason: str | None
    now: datetime


class Backlog(Struct, frozen=True):
    """How far behind a subscriber is. `since`: when the first event it may not know happened, milliseconds."""

    events: int
    since: int | None
    waiting: int
    parked: int


def exceptions(
    reading: Reading, tenant_id: str, subscriber_id: str, state: str | None, after: int, limit: int
) -> list[tuple[Owed, Event]]:
    """Give what is waiting, parked or to be replayed, with its event, behind position `after`."""
    subscribers.show(reading, tenant_id, subscriber_id)
    sql = (
        "SELECT position, conversation, state, tries, first_failed_at, next_try_at, fault FROM subscriber_exceptions"
        " WHERE subscriber_id = ? AND tenant_id = ? AND position > ? AND state <> 'told'"
        f"{'' if state is None else ' AND state = ?'} ORDER BY position LIMIT ?"
    )
    chosen = () if state is None else (state,)
    rows = reading.rows(sql, (subscriber_id, tenant_id, after, *chosen, limit))
    owed = {row[0]: Owed(*row) for row in rows}
    return [(owed[event.position], event) for event in _events_at(reading, tenant_id, list(owed))]


def backlog(reading: Reading, found: subscribers.Subscriber) -> Backlog:
    """Count what a subscriber has not been told yet; up to `LAG_EVENTS_MAX`, for it is people who ask."""
    behind = (found.tenant_id, found.position)
    sql = (
        "SELECT count(*) FROM (SELECT position FROM journal WHERE tenant_id = ? AND position > ?"
        " ORDER BY position LIMIT ?) AS waiting"
    )
    events = (reading.one(sql, (*behind, LAG_EVENTS_MAX)) or (0,))[0]
    first = reading.one(
        "SELECT at FROM journal WHERE tenant_id = ? AND position > ? ORDER BY position LIMIT 1", behind
    )
    sql = "SELECT state, count(*) FROM subscriber_exceptions WHERE subscriber_id = ? AND tenant_id = ? GROUP BY state"
    counts = {row[0]: row[1] for row in reading.rows(sql, (found.id, found.tenant_id))}
    waiting = counts.get("waiting", 0) + counts.get("replay", 0)
    return Backlog(
        max(0, events - counts.get("told", 0)),
        None if first is None else first[0],
        waiting,
        counts.get("parked", 0),
    )


def positions_between(
    reading: Reading, tenant_id: str, since: int, until: int, wants: Callable[[Event], bool]
) -> tuple[int, ...]:
    """Give the tenant's wanted events of a time (milliseconds, `until` exclusive); refuses too many."""
    position = _position_before(reading, since - _SLACK_MS)
    found: list[int] = []
    for _ in range(0, _SCANNED_MAX, _PAGE):
        events = journal.after(reading, position, _PAGE, tenant_id)
        found += [event.position for event in events if since <= event.at < until and wants(event)]
        if len(found) > REPLAY_EVENTS_MAX:
            break
        if len(events) < _PAGE or events[-1].at >= until + _SLACK_MS:
            return tuple(found)
        position = events[-1].position
    raise InvalidRequest(
        f"More than {REPLAY_EVENTS_MAX} events lie in this time.",
        code="replay_too_large",
        field="until",
        remedy="Ask for a shorter time, or for several one after the other.",
    )


def _position_before(reading: Reading, at: int) -> int:
    """Halve the journal until the last position of before `at` is found; there is no index on time."""
    low, high = 0, journal.position_now(reading)
    while low < high:
        middle = (low + high + 1) // 2
        row = reading.one(
            "SELECT position, at FROM journal WHERE position >= ? ORDER BY position LIMIT 1", (middle,)
        )
        if row is not None and row[1] < at:
            low = middle
        else:
            high = middle - 1
    return low


def _events_at(reading: Reading, tenant_id: str, positions: list[int]) -> list[Event]:
    found: list[Event] = []
    for start in range(0, len(positions), 500):
        found += journal.at_positions(reading, positions[start : start + 500])
    return [event for event in found if event.tenant_id == tenant_id]


@single
def replay(tx: Transaction, item: Replay) -> Replayed:
    """Owe events again; those not told yet, or waiting, are left to their turn."""
    found = subscribers.show(tx, item.tenant_id, item.subscriber_id)
    asked = sorted(set(item.positions))
    events = _events_at(tx, item.tenant_id, asked)
    if len(events) != len(asked):
        raise NotFound("One of these events is not there.", field="event_ids", remedy="Leave it out.")
    sql = "SELECT position FROM subscriber_exceptions WHERE subscriber_id = ? AND tenant_id = ? AND state = 'told'"
    told_above = {row[0] for row in tx.rows(sql, (found.id, item.tenant_id))}
    again = [event for event in events if event.position <= found.position or event.position in told_above]
    # What waits already keeps its tries: asking again does not hurry it.
    tx.many(
        "INSERT INTO subscriber_exceptions (subscriber_id, position, tenant_id, conversation, state, tries,"
        " next_try_at) VALUES (?, ?, ?, ?, 'replay', 0, 0) ON CONFLICT (subscriber_id, position) DO UPDATE"
        " SET state = 'replay', tries = 0, first_failed_at = NULL, next_try_at = 0, fault = NULL"
        " WHERE subscriber_exceptions.state IN ('told', 'parked')",
        [(found.id, event.position, item.tenant_id, event.order_key) for event in again],
    )
    if again:
        _tell(tx, found, again, None, item.actor, item.now)
    return Replayed(len(again), len(events) - len(again))


@single
def retry(tx: Transaction, item: Retry) -> Event:
    """Try a parked event again, as if it had not been tried."""
    found = subscribers.show(tx, item.tenant_id, item.subscriber_id)
    row = tx.one(
        "SELECT state FROM subscriber_exceptions WHERE subscriber_id = ? AND position = ? AND tenant_id = ?",
        (found.id, item.position, item.tenant_id),
    )
    if row is None or row[0] == "told":
        raise NotFound(
            "This event is not parked.", remedy="List them with GET /v1/subscribers/{subscriber_id}/events."
        )
    if row[0] != "parked":
        raise Conflict(
            "This event is not parked: it is about to be tried.",
            code="event_not_parked",
            remedy="Nothing to do.",
        )
    tx.execute(
        "UPDATE subscriber_exceptions SET state = 'replay', tries = 0, first_failed_at = NULL, next_try_at = 0,"
        " fault = NULL WHERE subscriber_id = ? AND position = ? AND tenant_id = ?",
        (found.id, item.position, item.tenant_id),
    )
    (event,) = _events_at(tx, item.tenant_id, [item.position])
    _tell(tx, found, [event], item.reason or "retried", item.actor, item.now)
    return event


def _tell(
    tx: Transaction,
    found: subscribers.Subscriber,
    events: list[Event],
    reason: str | None,
    actor: str,
    now: datetime,
) -> None:
    facts = {"count": len(events), "first_event_id": events[0].id, "last_event_id": events[-1].id}
    journal_about(tx, found, "event.replayed", reason, facts, actor, now)
