"""Lines of messages: per (number, contact, class) only the head is due; the others wait at `IN_LINE`.

That keeps a claim's cost independent of how much is queued for one person. Whoever takes a message out of the way
(an outcome, an expiry, a cancel) calls `promote`, which makes the next head of each class due again.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from waypost.domain.classes import CLASSES, RANKS
from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.transaction import Transaction

# Far enough to sort behind everything; later than any allowed `not_before` (year 5138 in milliseconds).
IN_LINE = 99_999_999_999_999
# Nothing that an unknown attempt holds back moves up sooner.
SHORTEST_BLOCK_SECONDS = min(
    rule.unknown_block_seconds for rule in CLASSES.values() if rule.unknown_block_seconds
)

# True when something waits in the lines of a pair: the first %s is its number, the second its contact. The order is the
# index's.
ANY_WAITING = (
    "(SELECT w.id FROM messages w WHERE w.number_id = %s AND w.contact_id = %s"
    " AND w.status IN ('accepted', 'held', 'retrying') ORDER BY w.rank, w.not_before, w.id LIMIT 1) IS NOT NULL"
)


def is_behind(
    tx: Transaction, number_id: str, contact_id: str, rank: int, not_before: int, message_id: str
) -> bool:
    """Tell whether somebody waits before this place. A message scheduled for later takes its place at its time."""
    head = tx.one(
        "SELECT not_before, id FROM messages WHERE number_id = ? AND contact_id = ? AND rank = ?"
        " AND status IN ('accepted', 'held', 'retrying') ORDER BY not_before, id LIMIT 1",
        (number_id, contact_id, rank),
    )
    return head is not None and (head[0], head[1]) < (not_before, message_id)


def promote(tx: Transaction, number_id: str, contact_id: str, now_ms: int) -> bool:
    """Make the head of each class's line due, if it was waiting in line; tells whether anything became due."""
    if not _waiting_pairs(tx, [(number_id, contact_id)]):
        return False
    return _promote(tx, number_id, contact_id, now_ms)


def promote_all(tx: Transaction, pairs: Collection[tuple[str, str]], now_ms: int) -> None:
    """Do `promote` for many (number, contact) at once: few have anybody waiting, and those are found in one look."""
    for number_id, contact_id in _waiting_pairs(tx, sorted(pairs)):
        _promote(tx, number_id, contact_id, now_ms)


def _waiting_pairs(tx: Transaction, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    sql = f"SELECT s.column1, s.column2 FROM %s WHERE {ANY_WAITING % ('s.column1', 's.column2')}"
    return [(row[0], row[1]) for row in tx.rows_beside(sql, pairs)]


def _promote(tx: Transaction, number_id: str, contact_id: str, now_ms: int) -> bool:
    promoted = False
    for rank in range(4):
        head = tx.one(
            "SELECT id, due_at, not_before FROM messages WHERE number_id = ? AND contact_id = ? AND rank = ?"
            " AND status IN ('accepted', 'held', 'retrying') ORDER BY not_before, id LIMIT 1",
            (number_id, contact_id, rank),
        )
        if head is not None and head[1] == IN_LINE:
            tx.execute("UPDATE messages SET due_at = ? WHERE id = ?", (max(head[2], now_ms), head[0]))
            promoted = True
            tx.wake(number_id)
    return promoted


def block_ms(blocking_rank: int, rank: int) -> int:
    """Give how long an unknown attempt of one class holds back a message of another, in milliseconds: the shorter of
    what the two bear, so that a code to log in with never waits for what became of an offer."""
    blocking, waiting = CLASSES[RANKS[blocking_rank]], CLASSES[RANKS[rank]]
    return min(blocking.unknown_block_seconds, waiting.unknown_block_seconds) * 1000


_HELD_BACK = """
SELECT u.number_id, u.contact_id, u.rank, w.rank, u.unknown_since FROM messages u
JOIN messages w ON w.number_id = u.number_id AND w.contact_id = u.contact_id
  AND w.status IN ('accepted', 'held', 'retrying') AND w.due_at = ?
WHERE u.status = 'unknown' AND u.unknown_since <= ?
  AND NOT EXISTS (SELECT 1 FROM messages e WHERE e.number_id = w.number_id AND e.contact_id = w.contact_id
    AND e.rank = w.rank AND e.status IN ('accepted', 'held', 'retrying')
    AND (e.not_before, e.id) < (w.not_before, w.id))
ORDER BY u.unknown_since LIMIT 500
"""


@single
def lift_blocks(tx: Transaction, now: datetime) -> int:
    """Let the lines move up that an unknown attempt has held back as long as it may; gives how many."""
    now_ms = to_ms(now)
    lifted = 0
    for number_id, contact_id, blocking, waiting, since in tx.rows(
        _HELD_BACK, (IN_LINE, now_ms - SHORTEST_BLOCK_SECONDS * 1000)
    ):
        if since + block_ms(blocking, waiting) <= now_ms:
            lifted += _promote(tx, number_id, contact_id, now_ms)
    return lifted
