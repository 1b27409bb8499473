"""What a contact has withdrawn from, looked up and kept true when contacts are met and merged."""

from datetime import datetime
from typing import Any

from waypost.domain.withdrawals import Purpose
from waypost.store.transaction import Line, Reading, Transaction

# For statements that ask about many contacts: `all` comes before `marketing`. The first %s is a contact's column.
WIDEST_PURPOSE = "(SELECT min(w.purpose) FROM withdrawals w WHERE w.contact_id = %s)"
# True while a restore's withdrawals are not replayed: one look per statement, whatever its rows.
IS_NOT_REPLAYED = "EXISTS (SELECT 1 FROM timelines WHERE replayed_at IS NULL)"


def widest_purpose(reading: Reading, contact_id: str) -> Purpose | None:
    """Give the widest purpose that the contact has withdrawn from, if any."""
    row = reading.one("SELECT min(purpose) FROM withdrawals WHERE contact_id = ?", (contact_id,))
    return None if row is None else row[0]


def is_not_replayed(reading: Reading) -> bool:
    """Say whether withdrawals may be missing: a restore has ended and the second place was not replayed since."""
    return reading.one("SELECT 1 FROM timelines WHERE replayed_at IS NULL") is not None


def meet(tx: Transaction, tenant_id: str, contact_id: str, blind_index: bytes, now: datetime) -> None:
    """Give a contact the withdrawals that were waiting for this alias."""
    waiting = tx.rows(
        "SELECT w.id, w.purpose FROM awaited_aliases a JOIN withdrawals w ON w.id = a.withdrawal_id"
        " WHERE a.tenant_id = ? AND a.blind_index = ?",
        (tenant_id, blind_index),
    )
    for withdrawal_id, purpose in sorted(waiting):
        tx.execute("UPDATE withdrawals SET contact_id = ? WHERE id = ?", (contact_id, withdrawal_id))
        tx.execute("DELETE FROM awaited_aliases WHERE withdrawal_id = ?", (withdrawal_id,))
        facts = {"withdrawal_id": withdrawal_id, "purpose": purpose, "source": "second_place"}
        tell(tx, tenant_id, contact_id, "gateway", now, None, facts)


def follow(tx: Transaction, tenant_id: str, loser: str, survivor: str) -> None:
    """Take a merged contact's withdrawals over to the one it was merged into."""
    tx.execute(
        "UPDATE withdrawals SET contact_id = ? WHERE contact_id = ? AND tenant_id = ?",
        (survivor, loser, tenant_id),
    )


def tell(
    tx: Transaction,
    tenant_id: str,
    contact_id: str,
    actor: str,
    now: datetime,
    reason: str | None,
    facts: dict[str, Any],
) -> None:
    """Journal that a contact withdrew: a state of the contact, under the contact's next version."""
    tx.execute("UPDATE contacts SET version = version + 1 WHERE id = ?", (contact_id,))
    row = tx.one("SELECT version FROM contacts WHERE id = ?", (contact_id,))
    assert row is not None
    line = Line(
        tenant_id, "contact.withdrew", contact_id, row[0], actor, now,
        reason=reason, contact_id=contact_id, facts=facts,
    )  # fmt: skip
    tx.journal(line)
