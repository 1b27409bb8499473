"""Withdrawals as rows: recorded with their journal line, kept in mind until they are in the second place, replayed.

Gone through in the order of their ids. A contact's repeated no to the same purpose is the one it already said.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from waypost.domain.addresses import Address
from waypost.domain.errors import NotFound
from waypost.domain.times import from_ms, to_ms
from waypost.domain.withdrawals import Copied, Purpose, Source
from waypost.store import contact_search, contacts, withdrawn
from waypost.store.contacts import AliasSeen
from waypost.store.engine import single
from waypost.store.transaction import Line, Reading, Transaction, in_powers_of_two

_COLUMNS = "id, tenant_id, contact_id, purpose, source, reason, withdrew_at, recorded_at"


class Withdrawing(Struct, frozen=True):
    """Somebody says for a person that it wants no more of a purpose."""

    tenant_id: str
    to: Address
    purpose: Purpose
    reason: str | None
    actor: str
    now: datetime


class Withdrawal(Struct, frozen=True):
    """A withdrawal as stored; times in milliseconds. Without a contact: replayed, and nobody of its aliases known."""

    id: str
    tenant_id: str
    contact_id: str | None
    purpose: Purpose
    source: Source
    reason: str | None
    withdrew_at: int
    recorded_at: int


class Replay(Struct, frozen=True):
    """Some withdrawals of the second place, to be applied where they are unknown."""

    entries: Sequence[Copied]
    now: datetime


@single
def withdraw(tx: Transaction, item: Withdrawing) -> Withdrawal:
    """Record that a person wants no more; raises `NotFound` for a contact or a BSUID's portfolio that is not there."""
    contact_id = _contact(tx, item)
    return record(tx, item.tenant_id, contact_id, item.purpose, "api", item.actor, item.now, item.reason)


def record(
    tx: Transaction,
    tenant_id: str,
    contact_id: str,
    purpose: Purpose,
    source: Source,
    actor: str,
    now: datetime,
    reason: str | None = None,
) -> Withdrawal:
    """Record a contact's withdrawal in the running transaction; gives the present one when there is one."""
    known = tx.rows(
        f"SELECT {_COLUMNS} FROM withdrawals WHERE contact_id = ? AND purpose = ?", (contact_id, purpose)
    )
    if known:
        return Withdrawal(*min(known))
    at = to_ms(now)
    made = Withdrawal(tx.ids.new("withdrawal", now), tenant_id, contact_id, purpose, source, reason, at, at)
    _insert(tx, made)
    tx.execute("INSERT INTO uncopied_withdrawals (withdrawal_id) VALUES (?)", (made.id,))
    facts = {"withdrawal_id": made.id, "purpose": purpose, "source": source}
    withdrawn.tell(tx, tenant_id, contact_id, actor, now, reason, facts)
    return made


def _insert(tx: Transaction, made: Withdrawal) -> None:
    tx.execute(
        f"INSERT INTO withdrawals ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            made.id,
            made.tenant_id,
            made.contact_id,
            made.purpose,
            made.source,
            made.reason,
            made.withdrew_at,
            made.recorded_at,
        ),
    )


def _contact(tx: Transaction, item: Withdrawing) -> str:
    tenant_id, value = item.tenant_id, item.to.value
    if item.to.kind == "contact":
        return contact_search.get(tx, tenant_id, value).id
    if item.to.kind == "phone":
        alias = AliasSeen("phone", value)
    else:
        kind: contacts.AliasKind = "parent_bsuid" if value[2:].startswith(".ENT.") else "bsuid"
        found = contact_search.by_alias(tx, tenant_id, AliasSeen(kind, value))
        if found is not None:
            return found
        portfolios = tx.rows("SELECT id FROM portfolios WHERE tenant_id = ? LIMIT 2", (tenant_id,))
        if len(portfolios) != 1:
            raise NotFound(
                "nobody of this BSUID is known, and which portfolio it belongs to is not said",
                code="no_such_contact",
                field="to",
                remedy="name the phone number or the contact",
            )
        alias = AliasSeen(kind, value, portfolios[0][0])
    return contacts.resolve(tx, contacts.ContactSeen(tenant_id, (alias,), item.actor, item.now))


def page(
    reading: Reading, tenant_id: str, cursor: str | None, limit: int, contact_id: str | None = None
) -> list[Withdrawal]:
    """Give the tenant's withdrawals behind the id `cursor`, oldest first."""
    narrowed, wanted = ("", ()) if contact_id is None else (" AND contact_id = ?", (contact_id,))
    rows = reading.rows(
        f"SELECT {_COLUMNS} FROM withdrawals WHERE tenant_id = ? AND id > ?{narrowed} ORDER BY id LIMIT ?",
        (tenant_id, cursor or "", *wanted, limit),
    )
    return [Withdrawal(*row) for row in rows]


def uncopied(reading: Reading, limit: int) -> list[Copied]:
    """Give withdrawals that are not known to be in the second place, as it keeps them."""
    rows = reading.rows(
        "SELECT withdrawal_id FROM uncopied_withdrawals ORDER BY withdrawal_id LIMIT ?", (limit,)
    )
    return copies(reading, [row[0] for row in rows])


def copies(reading: Reading, withdrawal_ids: Sequence[str]) -> list[Copied]:
    """Give those of these withdrawals that are not known to be in the second place, as it keeps them."""
    rows = reading.rows_in(
        "SELECT w.id, w.tenant_id, w.purpose, w.withdrew_at, a.blind_index FROM uncopied_withdrawals u"
        " JOIN withdrawals w ON w.id = u.withdrawal_id"
        " LEFT JOIN aliases a ON a.contact_id = w.contact_id AND a.tenant_id = w.tenant_id AND a.valid_to IS NULL"
        " AND a.kind <> 'username' WHERE u.withdrawal_id IN (%s) ORDER BY w.id, a.id",
        withdrawal_ids,
    )
    aliases: dict[tuple[str, str, Purpose, int], list[str]] = {}
    for withdrawal_id, tenant_id, purpose, at, blind_index in rows:
        found = aliases.setdefault((withdrawal_id, tenant_id, purpose, at), [])
        if blind_index is not None:
            found.append(bytes(blind_index).hex())
    return [
        Copied(withdrawal_id, tenant_id, tuple(indexes), purpose, at)
        for (withdrawal_id, tenant_id, purpose, at), indexes in aliases.items()
    ]


@single
def copied(tx: Transaction, withdrawal_ids: Sequence[str]) -> int:
    """Remember that these are in the second place. Where a row is says nothing of anybody: no journal line."""
    gone = 0
    for some in in_powers_of_two(withdrawal_ids):
        marks = ", ".join("?" * len(some))
        gone += tx.execute(f"DELETE FROM uncopied_withdrawals WHERE withdrawal_id IN ({marks})", some)
    return gone


@single
def replay(tx: Transaction, item: Replay) -> int:
    """Apply what the second place has and the store has not; gives how many that were."""
    known = {
        row[0]
        for row in tx.rows_in(
            "SELECT id FROM withdrawals WHERE id IN (%s)", [entry.id for entry in item.entries]
        )
    }
    fresh = {entry.id: entry for entry in item.entries if entry.id not in known}
    for entry in fresh.values():
        _apply(tx, entry, item.now)
    return len(fresh)


def _apply(tx: Transaction, entry: Copied, now: datetime) -> None:
    blinds = [bytes.fromhex(alias) for alias in entry.aliases]
    contact_id = _owner(tx, entry.tenant_id, blinds)
    _insert(
        tx,
        Withdrawal(
            entry.id, entry.tenant_id, contact_id, entry.purpose, "second_place", None, entry.at, to_ms(now)
        ),
    )
    facts = {
        "withdrawal_id": entry.id,
        "purpose": entry.purpose,
        "source": "second_place",
        "withdrew_at": from_ms(entry.at).isoformat(),
    }
    if contact_id is not None:
        withdrawn.tell(tx, entry.tenant_id, contact_id, "gateway", now, None, facts)
        return
    # Met after the recovery point: recognised when somebody of these aliases is met again.
    tx.many(
        "INSERT INTO awaited_aliases (tenant_id, blind_index, withdrawal_id) VALUES (?, ?, ?)",
        [(entry.tenant_id, blind, entry.id) for blind in sorted(set(blinds))],
    )
    tx.journal(
        Line(entry.tenant_id, "contact.withdrew", entry.id, 1, "gateway", now, facts={**facts, "met": False})
    )


def _owner(tx: Transaction, tenant_id: str, blinds: Sequence[bytes]) -> str | None:
    for blind in blinds:
        row = tx.one(
            "SELECT contact_id FROM aliases WHERE tenant_id = ? AND blind_index = ? AND valid_to IS NULL",
            (tenant_id, blind),
        )
        if row is not None:
            return str(row[0])
    return None


@single
def replayed(tx: Transaction, now: datetime) -> int:
    """Remember that nothing of the second place is missing: what was held for it may go."""
    return tx.execute("UPDATE timelines SET replayed_at = ? WHERE replayed_at IS NULL", (to_ms(now),))
