"""Lines of messages: per (number, contact, class) only the head is due; the others wait at `IN_LINE`.

That keeps a claim's cost independent of how much is queued for one person. Whoever takes a message out of the way
(an outcome, an expiry, a cancel) calls `promote`, which makes the next head of each class due again.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from waypost.domain.classes import CLASSES, RANKS
from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.transaction import Transaction, in_powers_of_two

# Far enough to sort behind everything; later than any allowed `not_before` (year 5138 in milliseconds).
IN_LINE = 99_999_999_999_999


def is_behind(
    tx: Transaction, number_id: str, contact_id: str, rank: int, not_before: int, message_id: str
) -> bool:
    """Tell whether somebody waits before this place. A message scheduled for later takes its place at its time."""
    row = tx.one(
        "SELECT 1 FROM messages WHERE number_id = ? AND contact_id = ? AND rank = ?"
        " AND status IN ('accepted', 'held', 'retrying')"
        " AND (not_before < ? OR (not_before = ? AND id < ?)) LIMIT 1",
        (number_id, contact_id, rank, not_before, not_before, message_id),
    )
    return row is not None


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
    found: list[tuple[str, str]] = []
    for some in in_powers_of_two(pairs, 128):
        rows = tx.rows(
            f"SELECT column1, column2 FROM (VALUES {', '.join(['(?, ?)'] * len(some))}) AS pairs WHERE EXISTS"
            " (SELECT 1 FROM messages WHERE number_id = column1 AND contact_id = column2"
            " AND status IN ('accepted', 'held', 'retrying'))",
            [value for pair in some for value in pair],
        )
        found += [(row[0], row[1]) for row in rows]
    return found


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
    shortest = min(rule.unknown_block_seconds for rule in CLASSES.values() if rule.unknown_block_seconds)
    lifted = 0
    for number_id, contact_id, blocking, waiting, since in tx.rows(
        _HELD_BACK, (IN_LINE, now_ms - shortest * 1000)
    ):
        if since + block_ms(blocking, waiting) <= now_ms:
            lifted += _promote(tx, number_id, contact_id, now_ms)
    return lifted
