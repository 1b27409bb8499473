"""Numbers: added, paused, resumed, stopped, their token rotated, removed, and kept as Meta describes them.

A change writes its row and its journal line together; what Meta tells twice is journalled once.
"""

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from waypost.domain.errors import Conflict, NotFound
from waypost.domain.times import to_ms
from waypost.store.accounts import Belonging, app_row, portfolio_row, set_portfolio_limit, waba_row
from waypost.store.engine import single
from waypost.store.transaction import Line, Reading, Transaction

NumberState = Literal["active", "paused", "stopped", "removed"]

# Messages a second, in and out together (Meta's throughput levels, 2026).
PACE_BY_LEVEL = {"HIGH": 1_000}
PACE_DEFAULT = 80


class Number(Struct, frozen=True):
    """A number as stored, without its token. Times in milliseconds; `health` is JSON as read from Meta."""

    id: str
    tenant_id: str
    kind: str
    waba_id: str
    app_id: str
    portfolio_id: str
    phone_number_id: str
    phone: str | None
    label: str
    base_url: str
    graph_version: str
    auth_header: str
    state: NumberState
    state_reason: str | None
    pace_per_second: int
    verified_name: str | None
    quality_rating: str | None
    throughput_level: str | None
    messaging_limit: str | None
    health: bytes
    health_at: int | None
    version: int
    created_at: int
    removed_at: int | None


_COLUMNS = ", ".join(Number.__struct_fields__)


class Opened(Struct, frozen=True):
    """What it takes to speak for a number, its token opened: never logged."""

    number_id: str
    phone_number_id: str
    base_url: str
    graph_version: str
    auth_header: str
    token: str
    version: int

    def __repr__(self) -> str:
        return f"Opened({self.number_id})"


class NumberSeen(Struct, frozen=True):
    """What Meta tells of a number; None where it says nothing. `health`: JSON."""

    phone: str | None = None
    verified_name: str | None = None
    quality_rating: str | None = None
    throughput_level: str | None = None
    messaging_limit: str | None = None
    health: bytes = b"{}"


class AddNumber(Struct, frozen=True):
    """A number to add, with what it hangs on."""

    tenant_id: str
    phone_number_id: str
    label: str
    base_url: str
    graph_version: str
    auth_header: str
    token: str
    belongs: Belonging
    seen: NumberSeen
    seen_at: datetime | None
    actor: str
    now: datetime

    def __repr__(self) -> str:
        return f"AddNumber({self.phone_number_id})"


class SetState(Struct, frozen=True):
    """Pause, resume, or stop: `to` is where the number shall be."""

    tenant_id: str
    number_id: str
    to: Literal["active", "paused", "stopped"]
    reason: str | None
    actor: str
    now: datetime


class RotateToken(Struct, frozen=True):
    """A token to put in the place of the old one."""

    tenant_id: str
    number_id: str
    token: str
    actor: str
    now: datetime

    def __repr__(self) -> str:
        return f"RotateToken({self.number_id})"


class Remove(Struct, frozen=True):
    """A number to remove; its token is destroyed, its history stays."""

    tenant_id: str
    number_id: str
    actor: str
    now: datetime


class Refreshed(Struct, frozen=True):
    """What a look at Meta gave for a number."""

    tenant_id: str
    number_id: str
    seen: NumberSeen
    actor: str
    now: datetime


def get(reading: Reading, tenant_id: str, number_id: str) -> Number:
    """Give a number by id, removed ones too; `NotFound` when it is not this tenant's."""
    row = reading.one(
        f"SELECT {_COLUMNS} FROM numbers WHERE id = ? AND tenant_id = ?", (number_id, tenant_id)
    )
    if row is None:
        raise NotFound("no such number", code="number_not_found")
    return Number(*row)


def find(reading: Reading, tenant_id: str, named: str) -> Number | None:
    """Give the live number called `named`: our id, Meta's phone number id, or the phone number with its plus."""
    row = reading.one(
        f"SELECT {_COLUMNS} FROM numbers WHERE tenant_id = ? AND state <> 'removed'"
        " AND (id = ? OR phone_number_id = ? OR phone = ?) LIMIT 1",
        (tenant_id, named, named, named),
    )
    return None if row is None else Number(*row)


def page(reading: Reading, tenant_id: str, after: str | None, limit: int) -> list[Number]:
    """Give live numbers behind the id `after`, oldest first."""
    sql = f"SELECT {_COLUMNS} FROM numbers WHERE tenant_id = ? AND state <> 'removed' AND id > ? ORDER BY id LIMIT ?"
    return [Number(*row) for row in reading.rows(sql, (tenant_id, after or "", limit))]


def due_for_refresh(reading: Reading, before: datetime, limit: int) -> list[tuple[str, str]]:
    """Give (tenant, number) of cloud numbers not looked at since `before`, longest ago first."""
    sql = (
        "SELECT tenant_id, id FROM numbers WHERE kind = 'cloud' AND state <> 'removed'"
        " AND (health_at IS NULL OR health_at <= ?) ORDER BY health_at, id LIMIT ?"
    )
    return [(row[0], row[1]) for row in reading.rows(sql, (to_ms(before), limit))]


def open_access(reading: Reading, number_id: str) -> Opened | None:
    """Give what it takes to speak for a live cloud number, its token opened."""
    row = reading.one(
        "SELECT id, phone_number_id, base_url, graph_version, auth_header, token, version FROM numbers"
        " WHERE id = ? AND kind = 'cloud' AND state <> 'removed'",
        (number_id,),
    )
    if row is None:
        return None
    token = reading.codec.unseal(f"number:{number_id}", row[5]).decode()
    return Opened(row[0], row[1], row[2], row[3], row[4], token, row[6])


def insert(tx: Transaction, item: AddNumber) -> Number:
    """Add a number, and its portfolio, app and WABA where they are new. `Conflict` when it is here already."""
    taken = tx.one(
        "SELECT 1 FROM numbers WHERE phone_number_id = ? AND state <> 'removed'", (item.phone_number_id,)
    )
    if taken is not None:
        raise Conflict(
            "this number was added already",
            code="number_exists",
            field="phone_number_id",
            remedy="list the numbers; remove the other one first if it shall move",
        )
    at = to_ms(item.now)
    portfolio_id = portfolio_row(tx, item.belongs)
    app_id = app_row(tx, item.belongs)
    waba_id = waba_row(tx, item.belongs, portfolio_id, app_id)
    number_id = tx.ids.new("number", item.now)
    seen = item.seen
    tx.execute(
        "INSERT INTO numbers (id, tenant_id, kind, waba_id, app_id, portfolio_id, phone_number_id, phone, label,"
        " base_url, graph_version, auth_header, token, state, pace_per_second, verified_name, quality_rating,"
        " throughput_level, messaging_limit, health, health_at, version, created_at)"
        " VALUES (?, ?, 'cloud', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'active', ?, ?, ?, ?, ?, ?, ?, 1, ?)",
        (
            number_id, item.tenant_id, waba_id, app_id, portfolio_id, item.phone_number_id, seen.phone, item.label,
            item.base_url, item.graph_version, item.auth_header,
            tx.codec.seal(f"number:{number_id}", item.token.encode()), pace_of(seen.throughput_level),
            seen.verified_name, seen.quality_rating, seen.throughput_level, seen.messaging_limit, seen.health,
            None if item.seen_at is None else to_ms(item.seen_at), at,
        ),
    )  # fmt: skip
    _line(
        tx,
        item.tenant_id,
        "number.added",
        number_id,
        1,
        item.actor,
        item.now,
        {"waba_id": waba_id},
        number_id,
    )
    return get(tx, item.tenant_id, number_id)


def pace_of(throughput_level: str | None) -> int:
    """Give the messages a second that a throughput level allows."""
    return PACE_BY_LEVEL.get(throughput_level or "", PACE_DEFAULT)


def change_state(tx: Transaction, item: SetState) -> Number:
    """Pause, resume or stop a number; asking for the state it is in changes nothing but the reason of a pause."""
    number = _live(tx, item.tenant_id, item.number_id)
    reason = None if item.to == "active" else item.reason
    if number.state == item.to and number.state_reason == reason:
        return number
    # A pause by a person outranks the lane's own stop: what follows must ask that person.
    if item.to == "stopped" and number.state == "paused":
        return number
    kind = {"active": "number.resumed", "paused": "number.paused", "stopped": "number.stopped"}[item.to]
    change_row(
        tx, number, {"state": item.to, "state_reason": reason}, kind, item.actor, item.now, item.reason
    )
    if item.to == "active":
        # Nothing else would tell the lane that its queue may go.
        tx.wake(number.id)
    return get(tx, item.tenant_id, item.number_id)


def replace_token(tx: Transaction, item: RotateToken) -> Number:
    """Put a new token in the place of the old one, which is gone."""
    number = _live(tx, item.tenant_id, item.number_id)
    sealed = tx.codec.seal(f"number:{number.id}", item.token.encode())
    tx.announce("access")
    tx.execute("UPDATE numbers SET token = ? WHERE id = ?", (sealed, number.id))
    change_row(tx, number, {}, "number.changed", item.actor, item.now, facts={"changed": ["token"]})
    return get(tx, item.tenant_id, item.number_id)


def delete(tx: Transaction, item: Remove) -> Number:
    """Remove a number: the row stays for its history, the token is destroyed, the lane is free."""
    number = _live(tx, item.tenant_id, item.number_id)
    tx.announce("access")
    gone = {"state": "removed", "state_reason": None, "token": b"", "removed_at": to_ms(item.now)}
    change_row(tx, number, gone, "number.removed", item.actor, item.now, facts={})
    return get(tx, item.tenant_id, item.number_id)


def keep_seen(tx: Transaction, item: Refreshed) -> bool:
    """Keep what Meta tells; journals and says True only when something changed.

    `item.now` is when Meta was asked: what a paused refresher brings is older than what its successor wrote.
    """
    number = _live(tx, item.tenant_id, item.number_id)
    if number.health_at is not None and number.health_at > to_ms(item.now):
        return False
    tx.execute("UPDATE numbers SET health_at = ? WHERE id = ?", (to_ms(item.now), number.id))
    seen = item.seen
    told = {
        "phone": seen.phone,
        "verified_name": seen.verified_name,
        "quality_rating": seen.quality_rating,
        "throughput_level": seen.throughput_level,
        "messaging_limit": seen.messaging_limit,
        "health": seen.health,
    }
    changes: dict[str, Any] = {
        name: value for name, value in told.items() if value is not None and value != getattr(number, name)
    }
    if seen.messaging_limit is not None:
        set_portfolio_limit(
            tx, number.tenant_id, number.portfolio_id, seen.messaging_limit, item.actor, item.now
        )
    if not changes:
        return False
    if "throughput_level" in changes:
        changes["pace_per_second"] = pace_of(seen.throughput_level)
    change_row(tx, number, changes, "number.refreshed", item.actor, item.now)
    return True


def change_row(
    tx: Transaction,
    number: Number,
    changes: dict[str, Any],
    kind: str,
    actor: str,
    now: datetime,
    reason: str | None = None,
    facts: dict[str, Any] | None = None,
) -> None:
    """Set columns of a number and journal it; without `facts` the line names the columns and their new values."""
    sets = "".join(f"{name} = ?, " for name in changes)
    tx.execute(f"UPDATE numbers SET {sets}version = version + 1 WHERE id = ?", (*changes.values(), number.id))
    if facts is None:
        facts = {name: _shown(value) for name, value in changes.items() if name != "phone"}
    _line(tx, number.tenant_id, kind, number.id, number.version + 1, actor, now, facts, number.id, reason)


def _shown(value: Any) -> Any:
    """Health goes into the line as its verdict; the whole of it stays in the row."""
    if not isinstance(value, bytes):
        return value
    return msgspec.json.decode(value, type=dict[str, Any]).get("can_send_message")


def _live(tx: Transaction, tenant_id: str, number_id: str) -> Number:
    number = get(tx, tenant_id, number_id)
    if number.state == "removed":
        raise Conflict("this number was removed", code="number_removed", remedy="add it again")
    return number


def _line(
    tx: Transaction,
    tenant_id: str,
    kind: str,
    aggregate_id: str,
    version: int,
    actor: str,
    now: datetime,
    facts: dict[str, Any],
    number_id: str | None = None,
    reason: str | None = None,
) -> None:
    line = Line(
        tenant_id, kind, aggregate_id, version, actor, now, reason=reason, number_id=number_id, facts=facts
    )
    tx.journal(line)


add = single(insert)
set_state = single(change_state)
rotate_token = single(replace_token)
remove = single(delete)
refreshed = single(keep_seen)
