"""What a store is told while another is copied into it: a mark until it is exact, and no holder when it is.

The mark names what is being copied, so that only the same copy goes on. Where it goes on is in the tables
themselves: pages are committed in the order of their keys.
"""

import hashlib

import msgspec
from msgspec import Struct

from waypost.domain.errors import Conflict
from waypost.store import schema
from waypost.store.archive import Sum
from waypost.store.engine import single
from waypost.store.tables import Table, count, insert
from waypost.store.transaction import Reading, Row, Transaction


class Begin(Struct, frozen=True):
    """A copy into a store: what is copied, and which tables it has. `now_ms`: None where no other process can be."""

    timeline: str
    position: int
    sums: dict[str, Sum]
    tables: tuple[Table, ...]
    now_ms: int | None

    @property
    def mark(self) -> str:
        """Name exactly what is copied."""
        text = msgspec.json.encode(sorted((name, each.rows, each.digest) for name, each in self.sums.items()))
        return f"{schema.COPYING}{self.timeline}:{self.position}:{hashlib.sha256(text).hexdigest()}"


@single
def begin(tx: Transaction, item: Begin) -> bool:
    """Mark an empty store as half copied, and give it its source's timeline; says whether it goes on with this copy.

    Raises `Conflict` when the store is used, or is half loaded with something else.
    """
    found = tx.one("SELECT value FROM meta WHERE key = 'loading'")
    if found is not None:
        if found[0] != item.mark:
            raise Conflict(
                "the target is half loaded with something else, or the source has changed since",
                code="another_copy",
                remedy="empty the target (or remove its file) and begin again",
            )
        return True
    if item.now_ms is not None:
        refuse_served(tx, item.now_ms)
    if used := [table.name for table in item.tables if count(tx, table)]:
        raise Conflict(
            f"the target is not empty: {', '.join(used[:5])} has rows",
            code="place_not_empty",
            remedy="name an empty database, or a file that is not there yet",
        )
    tx.execute("INSERT INTO meta (key, value) VALUES ('loading', ?)", (item.mark,))
    tx.execute("UPDATE meta SET value = ? WHERE key = 'timeline'", (item.timeline,))
    return False


@single
def put(tx: Transaction, item: tuple[Table, list[Row]]) -> None:
    """Put a page of a table behind those it has."""
    insert(tx, *item)


@single
def finish(tx: Transaction, _: None) -> None:
    """Let gateways open the store. Who held lanes and roles held them in the source, and is gone."""
    tx.execute("UPDATE lanes SET owner = NULL, epoch = epoch + 1, lease_until = 0 WHERE owner IS NOT NULL")
    tx.execute("UPDATE roles SET owner = NULL, epoch = epoch + 1, lease_until = 0 WHERE owner IS NOT NULL")
    tx.execute("DELETE FROM meta WHERE key = 'loading'")


def refuse_served(reading: Reading, now_ms: int) -> None:
    """Raise `Conflict` while processes serve this database."""
    row = reading.one("SELECT count(*) FROM processes WHERE seen_until > ?", (now_ms,))
    if row and row[0]:
        raise Conflict(
            f"{row[0]} processes serve this database now",
            code="database_served",
            remedy="stop them (`waypost drain`); one that was killed is forgotten within half a minute",
        )
