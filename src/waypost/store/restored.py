"""What a store must be told after a restore: a new life of the journal, and what is in doubt now.

A restored store is of the past. What it holds as waiting or under way may have gone out since, so none of it may go
by itself again: it becomes `unknown`, and only evidence or a person settles it.
"""

from datetime import datetime

from msgspec import Struct

from waypost.domain.statuses import after
from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.transaction import Line, Transaction

_ROWS_AT_ONCE = 500
_COLUMNS = "SELECT id, tenant_id, number_id, contact_id, content_id, status, version FROM messages"
# Each in the words of a partial index: what is open is found without reading what is over.
_WAITED = (
    f"{_COLUMNS} WHERE status IN ('accepted', 'held', 'retrying') AND (not_before <= ? OR attempts > 0)"
    f" ORDER BY expires_at LIMIT {_ROWS_AT_ONCE}"
)
_UNDER_WAY = f"{_COLUMNS} WHERE status IN ('sending', 'unknown') AND status = 'sending' LIMIT {_ROWS_AT_ONCE}"


class Doubt(Struct, frozen=True):
    """The restore as it ends: at `now`, of a journal that ended at `last_position`."""

    ended_timeline: str
    last_position: int
    now: datetime


class InDoubt(Struct, frozen=True):
    """How many messages one step put in doubt, and whether more are left."""

    messages: int
    more: bool


@single
def doubt(tx: Transaction, item: Doubt) -> InDoubt:
    """Turn some of what was not final into `unknown`, to be resent by nobody; repeat it while there is more.

    What is scheduled for after the restore cannot have gone out: it keeps its place.
    """
    at = to_ms(item.now)
    rows = tx.rows(_WAITED, (at,)) or tx.rows(_UNDER_WAY)
    for message_id, tenant_id, number_id, contact_id, content_id, status, version in rows:
        if (unknown := after(status, "restore")) is None:
            raise AssertionError(f"a message that is {status} has no way to be in doubt")
        tx.execute(
            "UPDATE messages SET status = ?, reason = 'restored', unknown_since = ?, on_unknown = 'wait',"
            " version = ?, changed_at = ? WHERE id = ?",
            (unknown, at, version + 1, at, message_id),
        )
        tx.journal(
            Line(
                tenant_id, f"message.{unknown}", message_id, version + 1, "gateway", item.now, reason="restored",
                number_id=number_id, contact_id=contact_id, content_id=content_id,
                facts={"was": status},
            )
        )  # fmt: skip
    return InDoubt(len(rows), bool(rows))


@single
def finish(tx: Transaction, item: Doubt) -> None:
    """End the restored life of the journal and let a gateway open the store."""
    at = to_ms(item.now)
    tx.execute("UPDATE attempts SET state = 'unknown' WHERE state = 'sending'")
    # Those in doubt before the restore may have been settled or sent again since.
    tx.execute("UPDATE messages SET on_unknown = 'wait' WHERE status = 'unknown'")
    tx.execute("UPDATE lanes SET owner = NULL, epoch = epoch + 1, lease_until = 0")
    tx.execute("UPDATE roles SET owner = NULL, epoch = epoch + 1, lease_until = 0")
    tx.execute(
        "INSERT INTO timelines (timeline, last_position, ended_at) VALUES (?, ?, ?)",
        (item.ended_timeline, item.last_position, at),
    )
    tx.execute("DELETE FROM meta WHERE key = 'loading'")
