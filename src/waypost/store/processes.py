"""Processes and what they hold: one beat renews a process's lanes and roles, and takes its fair share of what is free.

A role is work that one process does at a time. Both are leased: a holder that dies is followed `MARGIN_SECONDS` after
its lease, the longest that clocks which follow the database differ. Shares follow the processes that beat lately, so
that nothing is kept free for one that is dead.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from waypost.domain.times import to_ms
from waypost.store import lanes
from waypost.store.engine import single
from waypost.store.transaction import Transaction

MARGIN_SECONDS = 0.5
_MARGIN_MS = int(MARGIN_SECONDS * 1000)
# What was let go waits this long for a process below its share; then anybody takes it.
_GRACE_MS = 1_000
_FORGOTTEN_AFTER_MS = 3_600_000


class Beat(Struct, frozen=True):
    """A process says that it lives, and what it would hold.

    `capacity` is its weight when lanes are spread. `alone`: no other process can exist (the embedded engine is locked
    by us), so whatever another owner holds is a dead one's. `draining`: it takes nothing more.
    """

    owner: str
    now: datetime
    lease_until: datetime
    capacity: int
    roles: tuple[str, ...]
    draining: bool
    alone: bool
    release: str


class Held(Struct, frozen=True):
    """What a process holds after its beat: lanes and roles with their epochs, which of them it is to give back, which
    lanes others hold, and when one of those may be taken over (milliseconds; None: never by time alone)."""

    lanes: Mapping[str, int]
    roles: Mapping[str, int]
    lanes_to_give: tuple[str, ...]
    roles_to_give: tuple[str, ...]
    others: frozenset[str]
    look_at: int | None


class Fence(Struct, frozen=True):
    """Under which epoch of which role something is written."""

    role: str
    owner: str
    epoch: int


class Leaving(Struct, frozen=True):
    """Roles let go by their holder; with `is_over`, its row goes too: the process ends."""

    owner: str
    roles: tuple[str, ...]
    is_over: bool
    now: datetime


class _Thing(Struct, frozen=True):
    """A lane or a role while it is shared out."""

    name: str
    owner: str | None
    lease_until: int


class _Portion(Struct, frozen=True):
    """What one process takes and gives, and when something more may be free."""

    taken: list[str]
    given: list[str]
    look_at: int | None


@single
def beat(tx: Transaction, item: Beat) -> Held:
    """Renew what `owner` holds, take its share of what is free or expired; gives all it holds now."""
    now, until = to_ms(item.now), to_ms(item.lease_until)
    _note(tx, item, now, until)
    lanes.open_new(tx)
    lanes.renew(tx, item.owner, until)
    tx.execute("UPDATE roles SET lease_until = ? WHERE owner = ?", (until, item.owner))
    live = _live(tx, item, now, until)
    known = {lane.number_id: lane for lane in lanes.of_live_numbers(tx)}
    things = [_Thing(each.number_id, each.owner, each.lease_until) for each in known.values()]
    lane_portion = _portion(item, live, things, now)
    for lane in lanes.take(tx, [known[name] for name in lane_portion.taken], item.owner, until, item.now):
        known[lane.number_id] = lane
    roles, role_portion = _share_roles(tx, item, dict.fromkeys(live, 1), now, until)
    return Held(
        {name: lane.epoch for name, lane in known.items() if lane.owner == item.owner},
        roles,
        tuple(lane_portion.given),
        tuple(role_portion.given),
        frozenset(name for name, lane in known.items() if lane.owner not in (item.owner, None)),
        min((at for at in (lane_portion.look_at, role_portion.look_at) if at is not None), default=None),
    )


@single
def leave(tx: Transaction, item: Leaving) -> int:
    """Let roles go and tell the others; gives how many were still the owner's."""
    gone = 0
    for name in item.roles:
        gone += tx.execute(
            "UPDATE roles SET owner = NULL, lease_until = ? WHERE name = ? AND owner = ?",
            (to_ms(item.now), name, item.owner),
        )
    if item.is_over:
        tx.execute("DELETE FROM processes WHERE id = ?", (item.owner,))
    if gone or item.is_over:
        tx.announce("lanes")
    return gone


def stands(tx: Transaction, fence: Fence) -> bool:
    """Say whether the role is still held by this owner under this epoch; a lease that ran out unnoticed stands, as
    long as nobody took over."""
    row = tx.one("SELECT owner, epoch FROM roles WHERE name = ?", (fence.role,))
    return row is not None and (row[0], row[1]) == (fence.owner, fence.epoch)


def _note(tx: Transaction, item: Beat, now: int, until: int) -> None:
    known = tx.one("SELECT draining FROM processes WHERE id = ?", (item.owner,))
    if known is None:
        tx.execute(
            "DELETE FROM processes WHERE seen_until <= ? OR ?", (now - _FORGOTTEN_AFTER_MS, item.alone)
        )
        tx.execute(
            "INSERT INTO processes (id, started_at, beat_at, seen_until, draining, capacity, release)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (item.owner, now, now, until, int(item.draining), item.capacity, item.release),
        )
    else:
        tx.execute(
            "UPDATE processes SET beat_at = ?, seen_until = ?, draining = ?, capacity = ? WHERE id = ?",
            (now, until, int(item.draining), item.capacity, item.owner),
        )
    if not item.alone and (known is None or bool(known[0]) != item.draining):
        # The others share out anew at once, not when they would have beaten anyway.
        tx.announce("lanes")


def _live(tx: Transaction, item: Beat, now: int, until: int) -> dict[str, int]:
    """Give the capacities of the processes that share: not draining, and heard of in the last two fifths of a lease.

    Three beats at the least: one that has missed them all is slow or dead, and nothing is handed to it.
    """
    rows = tx.rows(
        "SELECT id, capacity FROM processes WHERE draining = 0 AND beat_at > ? AND (id = ? OR NOT ?) ORDER BY id",
        (now - (until - now) * 2 // 5, item.owner, item.alone),
    )
    return {row[0]: max(1, row[1]) for row in rows}


def _share_roles(
    tx: Transaction, item: Beat, live: Mapping[str, int], now: int, until: int
) -> tuple[dict[str, int], _Portion]:
    rows = tx.rows("SELECT name, owner, epoch, lease_until FROM roles ORDER BY name")
    missing = sorted(set(item.roles) - {row[0] for row in rows})
    tx.many(
        "INSERT INTO roles (name, owner, epoch, lease_until) VALUES (?, ?, ?, ?)",
        [(name, None, 0, 0) for name in missing],
    )
    rows = sorted([*rows, *((name, None, 0, 0) for name in missing)])
    epochs = {row[0]: row[2] for row in rows}
    things = [_Thing(row[0], row[1], row[3]) for row in rows if row[0] in item.roles]
    portion = _portion(item, live, things, now)
    for name in portion.taken:
        epochs[name] += 1
        tx.execute(
            "UPDATE roles SET owner = ?, epoch = ?, lease_until = ? WHERE name = ?",
            (item.owner, epochs[name], until, name),
        )
    mine = {each.name for each in things if each.owner == item.owner} | set(portion.taken)
    return {name: epochs[name] for name in sorted(mine)}, portion


def _portion(item: Beat, live: Mapping[str, int], things: Sequence[_Thing], now: int) -> _Portion:
    """Share out: up to the share rounded up, so that all shares together cover everything; back goes what is above."""
    mine = [each.name for each in things if each.owner == item.owner]
    if item.draining:
        return _Portion([], mine, None)
    share = -(-len(things) * live[item.owner] // sum(live.values()))
    taken: list[str] = []
    look_at: int | None = None
    for each in things:
        if each.owner == item.owner:
            continue
        free_at = _free_at(item, each)
        anybodys_at = free_at + _GRACE_MS
        if free_at <= now and (len(mine) + len(taken) < share or anybodys_at <= now):
            taken.append(each.name)
            continue
        at = free_at if free_at > now else anybodys_at
        look_at = at if look_at is None else min(look_at, at)
    return _Portion(taken, mine[share:], look_at)


def _free_at(item: Beat, thing: _Thing) -> int:
    """Give since when, or from when on, it may be taken."""
    if thing.owner is None:
        return thing.lease_until
    return 0 if item.alone else thing.lease_until + _MARGIN_MS
