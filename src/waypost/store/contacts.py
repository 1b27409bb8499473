"""Contacts and their aliases: a phone number, a BSUID and a username of one person lead to one contact.

An alias is current until `valid_to`; a changed number ends the old alias and keeps it as history. Two contacts that
turn out to be one person are merged into the older one. A username is display only (Meta lets people change it
freely), so it never merges anybody.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from waypost.domain.times import to_ms
from waypost.store import withdrawn
from waypost.store.transaction import Line, Reading, Row, Transaction

AliasKind = Literal["phone", "bsuid", "parent_bsuid", "username", "lid"]


class AliasSeen(Struct, frozen=True):
    """An alias as met on the wire; `portfolio_id` scopes BSUIDs and is empty for the other kinds."""

    kind: AliasKind
    value: str
    portfolio_id: str = ""


class ContactSeen(Struct, frozen=True):
    """A person as met: all aliases known at this moment."""

    tenant_id: str
    aliases: tuple[AliasSeen, ...]
    actor: str
    now: datetime
    profile_name: str | None = None


def blind_index(reading: Reading, tenant_id: str, alias: AliasSeen) -> bytes:
    """Give the index under which `alias` is found."""
    return reading.codec.blind(tenant_id, alias.kind, alias.portfolio_id, alias.value)


def find(reading: Reading, tenant_id: str, alias: AliasSeen) -> str | None:
    """Give the contact whose alias this currently is."""
    row = reading.one(
        "SELECT contact_id FROM aliases WHERE tenant_id = ? AND blind_index = ? AND valid_to IS NULL",
        (tenant_id, blind_index(reading, tenant_id, alias)),
    )
    return None if row is None else str(row[0])


def resolve(tx: Transaction, seen: ContactSeen) -> str:
    """Give the one contact all `seen.aliases` belong to: found, created, or merged when two become one."""
    owners = {alias: find(tx, seen.tenant_id, alias) for alias in seen.aliases}
    known = sorted({owner for alias, owner in owners.items() if owner and alias.kind != "username"})
    if not known:
        contact_id = _create(tx, seen)
    else:
        contact_id = known[0]
        for other in known[1:]:
            _merge(tx, seen, other, contact_id)
    for alias, owner in owners.items():
        if owner is None:
            _add(tx, seen, contact_id, alias)
        elif alias.kind == "username" and owner != contact_id:
            _end(tx, seen.tenant_id, alias, seen.now)
            _add(tx, seen, contact_id, alias)
    return contact_id


def change_alias(
    tx: Transaction,
    tenant_id: str,
    contact_id: str,
    old: AliasSeen | None,
    new: AliasSeen,
    actor: str,
    now: datetime,
) -> None:
    """Replace an alias of a contact, keeping the old one as history."""
    if old is not None:
        _end(tx, tenant_id, old, now)
    owner = find(tx, tenant_id, new)
    seen = ContactSeen(tenant_id, (new,), actor, now)
    if owner is None:
        _add(tx, seen, contact_id, new)
    elif owner != contact_id:
        _merge(tx, seen, max(owner, contact_id), min(owner, contact_id))


def _create(tx: Transaction, seen: ContactSeen) -> str:
    contact_id = tx.ids.new("contact", seen.now)
    profile = (
        None
        if seen.profile_name is None
        else tx.codec.encode(seen.tenant_id, contact_id, seen.profile_name.encode())
    )
    tx.execute(
        "INSERT INTO contacts (id, tenant_id, profile, version, created_at) VALUES (?, ?, ?, 1, ?)",
        (contact_id, seen.tenant_id, profile, to_ms(seen.now)),
    )
    tx.journal(
        Line(seen.tenant_id, "contact.created", contact_id, 1, seen.actor, seen.now, contact_id=contact_id)
    )
    return contact_id


def _add(tx: Transaction, seen: ContactSeen, contact_id: str, alias: AliasSeen) -> None:
    alias_id = tx.ids.new("alias", seen.now)
    blind = blind_index(tx, seen.tenant_id, alias)
    tx.execute(
        "INSERT INTO aliases (id, tenant_id, contact_id, kind, portfolio_id, blind_index, value, valid_from)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            alias_id,
            seen.tenant_id,
            contact_id,
            alias.kind,
            alias.portfolio_id,
            blind,
            tx.codec.encode(seen.tenant_id, contact_id, alias.value.encode()),
            to_ms(seen.now),
        ),
    )
    _note(tx, seen, contact_id, {"alias_added": alias_id, "alias_kind": alias.kind})
    withdrawn.meet(tx, seen.tenant_id, contact_id, blind, seen.now)


def _end(tx: Transaction, tenant_id: str, alias: AliasSeen, now: datetime) -> None:
    tx.execute(
        "UPDATE aliases SET valid_to = ? WHERE tenant_id = ? AND blind_index = ? AND valid_to IS NULL",
        (to_ms(now), tenant_id, blind_index(tx, tenant_id, alias)),
    )


def _merge(tx: Transaction, seen: ContactSeen, loser: str, survivor: str) -> None:
    tenant = seen.tenant_id
    for alias_id, value in tx.rows("SELECT id, value FROM aliases WHERE contact_id = ?", (loser,)):
        # An alias goes under the survivor's key; content stays under the key of the contact it was written for.
        plain = tx.codec.decode(tenant, loser, value)
        tx.execute(
            "UPDATE aliases SET contact_id = ?, value = ? WHERE id = ?",
            (survivor, tx.codec.encode(tenant, survivor, plain), alias_id),
        )
    tx.execute(
        "UPDATE messages SET contact_id = ? WHERE contact_id = ? AND tenant_id = ?", (survivor, loser, tenant)
    )
    tx.execute(
        "UPDATE inbound SET contact_id = ? WHERE contact_id = ? AND tenant_id = ?", (survivor, loser, tenant)
    )
    for row in tx.rows(
        "SELECT id, number_id, window_expires_at, last_inbound_at, assignee, version FROM conversations"
        " WHERE contact_id = ? AND tenant_id = ?",
        (loser, tenant),
    ):
        _merge_conversation(tx, seen, row, survivor)
    withdrawn.follow(tx, tenant, loser, survivor)
    tx.execute("UPDATE contacts SET merged_into = ? WHERE id = ?", (survivor, loser))
    _note(tx, seen, loser, {"merged_into": survivor})
    _note(tx, seen, survivor, {"merged_from": loser})


def _merge_conversation(tx: Transaction, seen: ContactSeen, row: Row, survivor: str) -> None:
    lost, number_id, window, last_inbound, assignee, version = row
    kept = tx.one(
        "SELECT id, window_expires_at, last_inbound_at, assignee, version FROM conversations"
        " WHERE number_id = ? AND contact_id = ?",
        (number_id, survivor),
    )
    if kept is None:
        tx.execute(
            "UPDATE conversations SET contact_id = ?, version = ? WHERE id = ?", (survivor, version + 1, lost)
        )
        _tell_merged(tx, seen, lost, version + 1, number_id, survivor, lost)
        return
    # The wider window and whoever speaks in either of them stay.
    tx.execute(
        "UPDATE conversations SET window_expires_at = ?, last_inbound_at = ?, assignee = ?, version = ? WHERE id = ?",
        (_later(window, kept[1]), _later(last_inbound, kept[2]), kept[3] or assignee, kept[4] + 1, kept[0]),
    )
    tx.execute("DELETE FROM conversations WHERE id = ?", (lost,))
    _tell_merged(tx, seen, kept[0], kept[4] + 1, number_id, survivor, lost)


def _tell_merged(
    tx: Transaction,
    seen: ContactSeen,
    conversation_id: str,
    version: int,
    number_id: str,
    survivor: str,
    lost: str,
) -> None:
    tx.journal(
        Line(
            seen.tenant_id,
            "conversation.merged",
            conversation_id,
            version,
            seen.actor,
            seen.now,
            number_id=number_id,
            contact_id=survivor,
            facts={"merged_conversation_id": lost},
        )
    )


def _later(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)


def _note(tx: Transaction, seen: ContactSeen, contact_id: str, facts: dict[str, str]) -> None:
    tx.execute("UPDATE contacts SET version = version + 1 WHERE id = ?", (contact_id,))
    row = tx.one("SELECT version FROM contacts WHERE id = ?", (contact_id,))
    tx.journal(
        Line(
            seen.tenant_id,
            "contact.changed",
            contact_id,
            int(row[0]) if row else 1,
            seen.actor,
            seen.now,
            contact_id=contact_id,
            facts=dict(facts),
        )
    )


class Alias(Struct, frozen=True):
    """An alias as stored; times in milliseconds."""

    kind: AliasKind
    value: str
    portfolio_id: str
    valid_from: int
    valid_to: int | None


def aliases_of(reading: Reading, tenant_id: str, contact_id: str) -> Sequence[Alias]:
    """Give a contact's aliases with their history, oldest first."""
    return [
        Alias(kind, reading.codec.decode(tenant_id, contact_id, value).decode(), portfolio_id, start, end)
        for kind, value, portfolio_id, start, end in reading.rows(
            "SELECT kind, value, portfolio_id, valid_from, valid_to FROM aliases"
            " WHERE contact_id = ? AND tenant_id = ? ORDER BY valid_from, id",
            (contact_id, tenant_id),
        )
    ]
