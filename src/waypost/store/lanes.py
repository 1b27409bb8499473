"""Lanes: the sending of one number, one holder at a time. Every takeover raises the epoch; claims are fenced by it.

`owner` names a process's life (fresh at every start), so a restarted process never mistakes an old lease for its own.
Who takes which lane is decided in `processes`; here is what taking, renewing and letting go of one means.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.transaction import Line, Reading, Transaction, in_powers_of_two


class Lane(Struct, frozen=True):
    """A lane; `lease_until` in milliseconds, and without an owner the time it was let go."""

    number_id: str
    tenant_id: str
    owner: str | None
    epoch: int
    lease_until: int


class Giving(Struct, frozen=True):
    """Lanes their holder lets go, so that others need not wait for the lease."""

    owner: str
    number_ids: tuple[str, ...]
    now: datetime


class Prolonging(Struct, frozen=True):
    """A wish to begin an attempt later than its claim allowed: until `until`, if lane and attempt are still ours."""

    attempt_id: str
    number_id: str
    owner: str
    epoch: int
    until: datetime


def of_live_numbers(reading: Reading) -> list[Lane]:
    """Give every lane whose number is not removed, in the order of their numbers."""
    sql = (
        "SELECT l.number_id, l.tenant_id, l.owner, l.epoch, l.lease_until FROM lanes l"
        " JOIN numbers n ON n.id = l.number_id WHERE n.state <> 'removed' ORDER BY l.number_id"
    )
    return [Lane(*row) for row in reading.rows(sql)]


def open_new(tx: Transaction) -> None:
    """Make the lanes of numbers that have none."""
    tx.execute(
        "INSERT INTO lanes (number_id, tenant_id, owner, epoch, lease_until, slow_until, slow_count)"
        " SELECT id, tenant_id, NULL, 0, 0, 0, 0 FROM numbers WHERE state <> 'removed'"
        " AND id NOT IN (SELECT number_id FROM lanes)"
    )


def renew(tx: Transaction, owner: str, until: int) -> None:
    """Prolong what `owner` still has: nobody took it, so nobody else has claimed from it."""
    tx.execute("UPDATE lanes SET lease_until = ? WHERE owner = ?", (until, owner))


def take(tx: Transaction, lanes: Sequence[Lane], owner: str, until: int, now: datetime) -> list[Lane]:
    """Take lanes, each under a new epoch; gives them as held."""
    taken = [Lane(each.number_id, each.tenant_id, owner, each.epoch + 1, until) for each in lanes]
    for lane in taken:
        tx.execute(
            "UPDATE lanes SET owner = ?, epoch = ?, lease_until = ? WHERE number_id = ? AND epoch = ?",
            (owner, lane.epoch, until, lane.number_id, lane.epoch - 1),
        )
        tx.journal(
            Line(
                lane.tenant_id,
                "lane.taken",
                f"lane:{lane.number_id}",
                lane.epoch,
                "gateway",
                now,
                number_id=lane.number_id,
                facts={"epoch": lane.epoch},
            )
        )
    return taken


@single
def hand_over(tx: Transaction, item: Giving) -> int:
    """Let lanes go and tell the others; gives how many were still the owner's."""
    gone = 0
    for some in in_powers_of_two(item.number_ids):
        gone += tx.execute(
            "UPDATE lanes SET owner = NULL, lease_until = ? WHERE owner = ? AND number_id IN"
            f" ({', '.join('?' * len(some))})",
            (to_ms(item.now), item.owner, *some),
        )
    if gone:
        tx.announce("lanes")
    return gone


@single
def prolong(tx: Transaction, item: Prolonging) -> bool:
    """Let an attempt begin late; False when the lane is another's by now or the attempt is no longer open.

    Where it says no, somebody may already have called the attempt unknown, and even sent the message again.
    """
    until = to_ms(item.until)
    lane = tx.one("SELECT owner, epoch, lease_until FROM lanes WHERE number_id = ?", (item.number_id,))
    if lane is None or lane[0] != item.owner or lane[1] != item.epoch or lane[2] < until:
        return False
    changed = tx.execute(
        "UPDATE attempts SET lease_until = ? WHERE id = ? AND state = 'sending' AND epoch = ?",
        (until, item.attempt_id, item.epoch),
    )
    return changed == 1
