"""How far each subscriber was told: the low-water mark, the rows of exceptions, replays; and reading for the teller.

Everything up to `subscribers.position` is told, filtered out, or has a row in `subscriber_exceptions`: `waiting` (it,
or an earlier event of its conversation, was refused), `parked` (given up, for a person) or `replay` (asked for
again). Above the mark only `told` has rows: told out of turn, while an earlier event was on the wire. Progress is no
change of anybody's state, so it has no journal line; giving up and stopping have theirs.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from waypost.store import journal, subscribers
from waypost.store.journal import Event
from waypost.store.processes import Fence, stands
from waypost.store.transaction import Line, Reading, Transaction

# Lines after which a teller has to look at the subscriber's row again.
_CHANGING = (
    "subscriber.added",
    "subscriber.changed",
    "subscriber.paused",
    "subscriber.resumed",
    "subscriber.disabled",
    "subscriber.removed",
    "event.replayed",
)
_CHANGING_SQL = ", ".join(f"'{kind}'" for kind in _CHANGING)


class Owed(Struct, frozen=True):
    """A row of an exception. Times in milliseconds; `conversation` is the event's order key."""

    position: int
    conversation: str
    state: Literal["waiting", "told", "parked", "replay"]
    tries: int
    first_failed_at: int | None
    next_try_at: int
    fault: str | None


class GivenUp(Struct, frozen=True):
    """An event to park, with what its line says."""

    owed: Owed
    event_id: str
    kind: str


class Health(Struct, frozen=True):
    """How the endpoint as a whole is doing. Times in milliseconds."""

    failing_since: int | None
    failures: int
    next_try_at: int
    last_success_at: int | None


class Stop(Struct, frozen=True):
    """The endpoint is not told any more: answered 410, or failed for too long."""

    state: Literal["paused", "disabled"]
    reason: str


class Progress(Struct, frozen=True):
    """What became of one subscriber's events since the last write; all of it commits together."""

    subscriber_id: str
    position: int
    told: tuple[tuple[int, str], ...] = ()  # above the mark: (position, conversation)
    cleared: tuple[int, ...] = ()  # rows that are settled
    waiting: tuple[Owed, ...] = ()
    parked: tuple[GivenUp, ...] = ()
    sweep: bool = False  # there are `told` rows the mark has reached
    health: Health | None = None
    stop: Stop | None = None


class Advance(Struct, frozen=True):
    """The progress of several subscribers, in one write; `fence`: as whose teller (None: nobody else could be it)."""

    moves: tuple[Progress, ...]
    now: datetime
    fence: Fence | None = None


class Standing(Struct, frozen=True):
    """All a teller needs to begin with a subscriber."""

    subscriber: subscribers.Subscriber
    keys: tuple[subscribers.SigningKey, ...]
    owed: tuple[Owed, ...]


class Page(Struct, frozen=True):
    """A stretch of the journal: everything wanted up to `upto`, with contents by content id (None: erased)."""

    events: list[Event]
    contents: dict[str, bytes | None]
    upto: int


def standing(reading: Reading, subscriber_id: str) -> Standing | None:
    """Give an active subscriber with its keys and what it is owed; None when it is not to be told."""
    found = subscribers.by_id(reading, subscriber_id)
    if found is None or found.state != "active":
        return None
    sql = (
        "SELECT position, conversation, state, tries, first_failed_at, next_try_at, fault FROM subscriber_exceptions"
        " WHERE subscriber_id = ? AND state <> 'parked' ORDER BY position"
    )
    owed = tuple(Owed(*row) for row in reading.rows(sql, (subscriber_id,)))
    return Standing(found, tuple(subscribers.signing_keys(reading, subscriber_id)), owed)


def changed(reading: Reading, position: int) -> tuple[int, list[str]]:
    """Give the journal's end, and the subscribers that lines behind `position` speak of."""
    upto = journal.position_now(reading)
    sql = (
        "SELECT DISTINCT aggregate_id FROM journal"
        f" WHERE position > ? AND position <= ? AND kind IN ({_CHANGING_SQL})"
    )
    return upto, [row[0] for row in reading.rows(sql, (position, upto))]


def speaks_of_change(event: Event) -> bool:
    """Say whether a line means that its subscriber's row has to be read again."""
    return event.kind in _CHANGING


def head(reading: Reading, position: int, limit: int, tenants: frozenset[str]) -> Page:
    """Give the next events of all tenants, without a gap; contents for `tenants` only."""
    events = journal.after(reading, position, limit)
    wanted = [event for event in events if event.tenant_id in tenants]
    return Page(events, _contents(reading, wanted), events[-1].position if events else position)


def behind(
    reading: Reading, tenant_id: str, position: int, limit: int, wants: Callable[[Event], bool]
) -> Page:
    """Give the wanted events among the next `limit` of one tenant."""
    last = journal.position_now(reading)
    events = journal.after(reading, position, limit, tenant_id)
    # A short page was read to the end: nothing of this tenant up to what was the end before reading.
    upto = events[-1].position if len(events) == limit else max(last, events[-1].position if events else 0)
    wanted = [event for event in events if wants(event)]
    return Page(wanted, _contents(reading, wanted), max(upto, position))


def at(reading: Reading, tenant_id: str, positions: Sequence[int]) -> Page:
    """Give the tenant's events at these positions."""
    found: list[Event] = []
    for start in range(0, len(positions), 500):
        found += journal.at_positions(reading, positions[start : start + 500])
    events = [event for event in found if event.tenant_id == tenant_id]
    return Page(events, _contents(reading, events), 0)


def _contents(reading: Reading, events: Sequence[Event]) -> dict[str, bytes | None]:
    wanted = list({event.content_id for event in events if event.content_id is not None})
    return journal.contents(reading, wanted) if wanted else {}


def advance(tx: Transaction, items: Sequence[Advance]) -> list[bool]:
    """Write progress, after the answers it rests on.

    False, and nothing written, for a teller that is no longer the one: its successor began from these rows, and may
    have been refused what the old one was told yes for, or the other way round.
    """
    results = []
    for item in items:
        is_ours = item.fence is None or stands(tx, item.fence)
        for move in item.moves if is_ours else ():
            _move(tx, move, item.now)
        results.append(is_ours)
    return results


_UPSERT = (
    "INSERT INTO subscriber_exceptions (subscriber_id, position, tenant_id, conversation, state, tries,"
    " first_failed_at, next_try_at, fault) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (subscriber_id, position) DO UPDATE SET state = excluded.state, tries = excluded.tries,"
    " first_failed_at = excluded.first_failed_at, next_try_at = excluded.next_try_at, fault = excluded.fault"
)


def _move(tx: Transaction, move: Progress, now: datetime) -> None:
    found = subscribers.by_id(tx, move.subscriber_id)
    if found is None or found.state == "removed":
        return
    key = move.subscriber_id
    if move.position > found.position:
        tx.execute("UPDATE subscribers SET position = ? WHERE id = ?", (move.position, key))
    if move.sweep:
        tx.execute(
            "DELETE FROM subscriber_exceptions WHERE subscriber_id = ? AND position <= ? AND state = 'told'",
            (key, move.position),
        )
    if move.cleared:
        # A parked row is not cleared: a person's retry of it is another row's story.
        tx.many(
            "DELETE FROM subscriber_exceptions WHERE subscriber_id = ? AND position = ? AND state <> 'parked'",
            [(key, position) for position in move.cleared],
        )
    rows = [Owed(position, conversation, "told", 0, None, 0, None) for position, conversation in move.told]
    rows += [*move.waiting, *(each.owed for each in move.parked)]
    if rows:
        tx.many(_UPSERT, [_row(key, found.tenant_id, each) for each in rows])
    if move.health is not None:
        tx.execute(
            "UPDATE subscribers SET failing_since = ?, failures = ?, next_try_at = ?, last_success_at = ?"
            " WHERE id = ?",
            (
                move.health.failing_since,
                move.health.failures,
                move.health.next_try_at,
                move.health.last_success_at,
                key,
            ),
        )
    for each in move.parked:
        facts = {
            "event_id": each.event_id,
            "kind": each.kind,
            "conversation": each.owed.conversation,
            "tries": each.owed.tries,
        }
        found = journal_about(tx, found, "event.parked", each.owed.fault, facts, "gateway", now)
    if move.stop is not None and found.state == "active":
        tx.execute(
            "UPDATE subscribers SET state = ?, state_reason = ? WHERE id = ?",
            (move.stop.state, move.stop.reason, key),
        )
        journal_about(tx, found, f"subscriber.{move.stop.state}", move.stop.reason, {}, "gateway", now)


def _row(key: str, tenant_id: str, owed: Owed) -> tuple[object, ...]:
    return (
        key,
        owed.position,
        tenant_id,
        owed.conversation,
        owed.state,
        owed.tries,
        owed.first_failed_at,
        owed.next_try_at,
        owed.fault,
    )


def journal_about(
    tx: Transaction,
    found: subscribers.Subscriber,
    kind: str,
    reason: str | None,
    facts: Mapping[str, object],
    actor: str,
    now: datetime,
) -> subscribers.Subscriber:
    """Append a line about a subscriber; gives it with its new version."""
    tx.execute("UPDATE subscribers SET version = version + 1 WHERE id = ?", (found.id,))
    tx.journal(
        Line(found.tenant_id, kind, found.id, found.version + 1, actor, now, reason=reason, facts=dict(facts))
    )
    again = subscribers.by_id(tx, found.id)
    assert again is not None
    return again
