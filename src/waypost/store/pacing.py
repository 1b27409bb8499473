"""Paces beside the claim: what comes in counts against a number's pace, and what is long free again is forgotten."""

from datetime import datetime

from waypost.domain import pace
from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.transaction import Transaction

# Long enough behind that no burst is still being paid for.
_FREE_US = 3_600_000_000
_SECOND_US = 1_000_000


def count_inbound(tx: Transaction, number_id: str, count: int, now: datetime) -> None:
    """Spend a number's pace for messages that came in: Meta counts both directions together."""
    row = tx.one(
        "SELECT n.pace_per_second, p.arrival_us FROM numbers n LEFT JOIN pace p ON p.key = 'n:' || n.id WHERE n.id = ?",
        (number_id,),
    )
    if row is None:
        return
    rate, now_us = pace.number_rate(int(row[0])), to_ms(now) * 1000
    spent = pace.spend(rate, row[1] or 0, now_us, count)
    # A flood of customers must not stop our sending for long: the debt is capped at a second beyond the burst.
    capped = min(spent, now_us + rate.burst * rate.period_us + _SECOND_US)
    tx.execute(
        "INSERT INTO pace (key, arrival_us) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET arrival_us = excluded.arrival_us",
        (f"n:{number_id}", capped),
    )


@single
def forget(tx: Transaction, now: datetime) -> int:
    """Drop paces that are long free again; gives how many."""
    return tx.execute("DELETE FROM pace WHERE arrival_us < ?", (to_ms(now) * 1000 - _FREE_US,))
