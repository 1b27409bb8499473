"""How far the journal was forwarded to each queue of a broker. Progress changes nobody's state: no journal line."""

from datetime import datetime

from msgspec import Struct

from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.journal import position_now
from waypost.store.transaction import Transaction


class Begin(Struct, frozen=True):
    """A process takes a forward over. A new one starts behind all that was written, or at the journal's beginning."""

    name: str
    tenant_id: str
    from_beginning: bool
    now: datetime


class Standing(Struct, frozen=True):
    """Where a forward stands, and the epoch its moves must carry."""

    position: int
    epoch: int


class Move(Struct, frozen=True):
    """Everything up to `position` was confirmed by the broker."""

    name: str
    epoch: int
    position: int
    now: datetime


@single
def begin(tx: Transaction, item: Begin) -> Standing:
    """Take a forward over: whoever held it before can't move it any more."""
    start = 0 if item.from_beginning else position_now(tx)
    tx.execute(
        "INSERT INTO forwards (name, tenant_id, position, epoch, moved_at) VALUES (?, ?, ?, 1, ?)"
        " ON CONFLICT (name) DO UPDATE SET epoch = forwards.epoch + 1",
        (item.name, item.tenant_id, start, to_ms(item.now)),
    )
    row = tx.one("SELECT position, epoch FROM forwards WHERE name = ?", (item.name,))
    assert row is not None
    return Standing(row[0], row[1])


@single
def move(tx: Transaction, item: Move) -> bool:
    """Move the mark on; gives False, and changes nothing, when another process took the forward over."""
    sql = "UPDATE forwards SET position = ?, moved_at = ? WHERE name = ? AND epoch = ? AND position <= ?"
    return tx.execute(sql, (item.position, to_ms(item.now), item.name, item.epoch, item.position)) == 1
