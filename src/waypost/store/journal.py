"""Reading the journal: by position for followers, by aggregate for a timeline."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct

from waypost.domain.errors import InvalidRequest, TimelineChanged
from waypost.store.transaction import Reading, Row

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_NONE_ENDED: Mapping[str, int] = MappingProxyType({})
_COLUMNS = (
    "position, timeline, tenant_id, kind, aggregate_id, version, number_id, contact_id, content_id, actor, reason,"
    " facts, at"
)


class Event(Struct, frozen=True):
    """One journal line as read. `at` in milliseconds since the epoch; `content` is filled in by `with_contents`."""

    position: int
    timeline: str
    tenant_id: str
    kind: str
    aggregate_id: str
    version: int
    number_id: str | None
    contact_id: str | None
    content_id: str | None
    actor: str
    reason: str | None
    facts: dict[str, Any]
    at: int

    @property
    def id(self) -> str:
        """Give the event's id, which is also the pull cursor that stands right behind it."""
        return f"evt_{self.timeline}_{self.position}"

    @property
    def order_key(self) -> str:
        """Give what the event is in order with: its (number, contact), else its aggregate."""
        if self.number_id and self.contact_id:
            return f"{self.number_id}:{self.contact_id}"
        return self.aggregate_id


def _event(row: Row) -> Event:
    values: list[Any] = list(row)
    values[11] = _decode(values[11])
    return Event(*values)


def position_now(reading: Reading) -> int:
    """Give the last position written."""
    row = reading.one("SELECT max(position) FROM journal")
    return int(row[0] or 0) if row else 0


def after(reading: Reading, position: int, limit: int, tenant_id: str | None = None) -> list[Event]:
    """Give the events behind `position`, in order; of one tenant, or of all for the gateway's own followers."""
    if tenant_id is None:
        sql = f"SELECT {_COLUMNS} FROM journal WHERE position > ? ORDER BY position LIMIT ?"
        return [_event(row) for row in reading.rows(sql, (position, limit))]
    sql = f"SELECT {_COLUMNS} FROM journal WHERE position > ? AND tenant_id = ? ORDER BY position LIMIT ?"
    return [_event(row) for row in reading.rows(sql, (position, tenant_id, limit))]


def at_positions(reading: Reading, positions: Sequence[int]) -> list[Event]:
    """Give the events at these positions, in order."""
    marks = ", ".join("?" * len(positions))
    sql = f"SELECT {_COLUMNS} FROM journal WHERE position IN ({marks}) ORDER BY position"
    return [_event(row) for row in reading.rows(sql, tuple(positions))]


def of_aggregate(reading: Reading, tenant_id: str, aggregate_id: str) -> list[Event]:
    """Give the whole timeline of one aggregate."""
    sql = f"SELECT {_COLUMNS} FROM journal WHERE aggregate_id = ? AND tenant_id = ? ORDER BY version"
    return [_event(row) for row in reading.rows(sql, (aggregate_id, tenant_id))]


def contents(reading: Reading, content_ids: Sequence[str]) -> dict[str, bytes | None]:
    """Give content by id; None where it was erased."""
    found: dict[str, bytes | None] = {}
    for start in range(0, len(content_ids), 500):
        some = content_ids[start : start + 500]
        marks = ", ".join("?" * len(some))
        sql = f"SELECT id, tenant_id, contact_id, body FROM contents WHERE id IN ({marks})"
        for content_id, tenant_id, contact_id, body in reading.rows(sql, tuple(some)):
            found[content_id] = None if body is None else reading.codec.decode(tenant_id, contact_id, body)
    return found


def ended_timelines(reading: Reading) -> dict[str, int]:
    """Give the timelines that restores ended, each with the last position this store has of it."""
    rows = reading.rows("SELECT timeline, last_position FROM timelines")
    return {str(timeline): int(last) for timeline, last in rows}


def position_of(cursor: str, timeline: str, last: int, ended: Mapping[str, int] = _NONE_ENDED) -> int:
    """Read a pull cursor (an event id); raises `TimelineChanged` for one from before a restore.

    `ended`: what `ended_timelines` gave. The event ids of an ended timeline mean the same here up to its last position;
    of a timeline this store never had only what every one of its own had is sure to be the same.
    """
    of, position = _parts(cursor)
    if of != timeline or position > last:
        shared = last if of == timeline else ended.get(of, min(ended.values(), default=last))
        raise TimelineChanged(
            "this cursor is from before a restore",
            field="after",
            remedy=f"resume from evt_{timeline}_{min(position, shared, last)} and expect repeats",
        )
    return position


def positions_named(reading: Reading, event_ids: Sequence[str], timeline: str) -> tuple[int, ...]:
    """Give the positions of the events that these ids name; raises `TimelineChanged` for one this store does not have.

    An event of an ended timeline that this store has keeps its id, and means what it meant.
    """
    ended, last = ended_timelines(reading), position_now(reading)

    def position(event_id: str) -> int:
        of, found = _parts(event_id)
        is_of_an_ended_one = of != timeline and found <= ended.get(of, -1)
        return found if is_of_an_ended_one else position_of(event_id, timeline, last, ended)

    return tuple(position(each) for each in event_ids)


def _parts(event_id: str) -> tuple[str, int]:
    parts = event_id.split("_")
    if len(parts) != 3 or parts[0] != "evt" or not parts[2].isdecimal() or len(parts[2]) > 18:
        raise InvalidRequest(
            "not a cursor of this gateway",
            code="bad_cursor",
            field="after",
            remedy="use the id of the last event you have seen, or leave it out to start at the beginning",
        )
    return parts[1], int(parts[2])
