"""Lanes: the sending of one number, one holder at a time. Every takeover raises the epoch; claims are fenced by it.

`owner` names a process's life (fresh at every start), so a restarted process never mistakes an old lease for its own.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.transaction import Line, Reading, Transaction


class Lane(Struct, frozen=True):
    """A lane as held; `lease_until` in milliseconds."""

    number_id: str
    tenant_id: str
    owner: str | None
    epoch: int
    lease_until: int
    slow_until: int
    slow_reason: str | None


class Hold(Struct, frozen=True):
    """A wish to hold every lane of the active numbers until `lease_until`. `alone` says that no other process can be
    holding one (the embedded engine is locked by us), so an unexpired lease is a dead process's."""

    owner: str
    now: datetime
    lease_until: datetime
    alone: bool


@single
def hold(tx: Transaction, wish: Hold) -> list[Lane]:
    """Renew what `owner` holds, take what is free or expired; gives every lane held."""
    now, until = to_ms(wish.now), to_ms(wish.lease_until)
    tx.execute(
        "INSERT INTO lanes (number_id, tenant_id, owner, epoch, lease_until, slow_until, slow_count)"
        " SELECT id, tenant_id, NULL, 0, 0, 0, 0 FROM numbers WHERE state <> 'removed'"
        " AND id NOT IN (SELECT number_id FROM lanes)"
    )
    tx.execute("UPDATE lanes SET lease_until = ? WHERE owner = ?", (until, wish.owner))
    free = tx.rows(
        "SELECT number_id, tenant_id, epoch FROM lanes WHERE owner IS NULL OR (owner <> ? AND (lease_until <= ? OR ?))",
        (wish.owner, now, wish.alone),
    )
    for number_id, tenant_id, epoch in free:
        tx.execute(
            "UPDATE lanes SET owner = ?, epoch = ?, lease_until = ? WHERE number_id = ? AND epoch = ?",
            (wish.owner, epoch + 1, until, number_id, epoch),
        )
        tx.journal(
            Line(
                tenant_id,
                "lane.taken",
                f"lane:{number_id}",
                epoch + 1,
                "gateway",
                wish.now,
                number_id=number_id,
                facts={"epoch": epoch + 1},
            )
        )
    return held(tx, wish.owner)


@single
def let_go(tx: Transaction, owner: str) -> int:
    """Give up every lane of `owner`, so that a successor need not wait for the lease; gives how many."""
    return tx.execute("UPDATE lanes SET owner = NULL, lease_until = 0 WHERE owner = ?", (owner,))


def held(reading: Reading, owner: str) -> list[Lane]:
    """Give the lanes `owner` holds."""
    return _lanes(reading, "WHERE owner = ?", (owner,))


def _lanes(reading: Reading, where: str, parameters: Sequence[str]) -> list[Lane]:
    return [
        Lane(*row)
        for row in reading.rows(
            f"SELECT number_id, tenant_id, owner, epoch, lease_until, slow_until, slow_reason FROM lanes {where}",
            parameters,
        )
    ]
