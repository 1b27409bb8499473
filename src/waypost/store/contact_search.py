"""Looking for contacts: by id, by alias through the blind index, and as a list."""

from collections.abc import Sequence

from msgspec import Struct

from waypost.domain.errors import NotFound
from waypost.store.contacts import Alias, AliasSeen, aliases_of, blind_index, find
from waypost.store.transaction import Reading, Row

# A chain of merges is followed this far; each merge goes to an older contact, so it cannot turn in a circle.
_MERGES_MAX = 50


class Contact(Struct, frozen=True):
    """A contact with its aliases and their history; times in milliseconds."""

    id: str
    name: str | None
    version: int
    created_at: int
    aliases: Sequence[Alias]


def get(reading: Reading, tenant_id: str, contact_id: str) -> Contact:
    """Give a contact; an id that was merged gives the contact it was merged into."""
    wanted: str | None = contact_id
    for _ in range(_MERGES_MAX):
        row = reading.one(
            "SELECT id, profile, version, created_at, merged_into FROM contacts WHERE id = ? AND tenant_id = ?",
            (wanted, tenant_id),
        )
        if row is None:
            break
        if row[4] is None:
            return _contact(reading, tenant_id, row)
        wanted = row[4]
    raise NotFound("no such contact", code="contact_not_found")


def page(reading: Reading, tenant_id: str, cursor: str | None, limit: int) -> list[Contact]:
    """Give the tenant's contacts behind the id `cursor`, oldest first; merged ones stand under their survivor."""
    rows = reading.rows(
        "SELECT id, profile, version, created_at FROM contacts"
        " WHERE id > ? AND tenant_id = ? AND merged_into IS NULL ORDER BY id LIMIT ?",
        (cursor or "", tenant_id, limit),
    )
    return [_contact(reading, tenant_id, row) for row in rows]


def by_alias(reading: Reading, tenant_id: str, alias: AliasSeen) -> str | None:
    """Give the contact an alias belongs to now; a BSUID without a portfolio is looked for in all of the tenant's."""
    if alias.kind not in ("bsuid", "parent_bsuid") or alias.portfolio_id:
        return find(reading, tenant_id, alias)
    for (portfolio_id,) in reading.rows(
        "SELECT id FROM portfolios WHERE tenant_id = ? ORDER BY id", (tenant_id,)
    ):
        found = find(reading, tenant_id, AliasSeen(alias.kind, alias.value, portfolio_id))
        if found is not None:
            return found
    return None


def owners_of(reading: Reading, tenant_ids: Sequence[str], aliases: Sequence[AliasSeen]) -> list[str | None]:
    """Give the present contact of each alias, all looked up at once; `tenant_ids` go with `aliases`."""
    blinds = [blind_index(reading, tenant, alias) for tenant, alias in zip(tenant_ids, aliases, strict=True)]
    owners: dict[tuple[str, bytes], str] = {}
    start = 0
    while start < len(blinds):
        # Powers of two, so that a few prepared statements serve every size.
        size = min(256, 1 << (len(blinds) - start).bit_length() - 1)
        sql = (
            "SELECT tenant_id, blind_index, contact_id FROM aliases WHERE valid_to IS NULL"
            f" AND tenant_id IN (%s) AND blind_index IN ({', '.join('?' * size)})"
        )
        wanted = blinds[start : start + size]
        tenants = sorted(set(tenant_ids[start : start + size]))
        rows = reading.rows(sql % ", ".join("?" * len(tenants)), (*tenants, *wanted))
        owners.update(((row[0], row[1]), row[2]) for row in rows)
        start += size
    return [owners.get((tenant, blind)) for tenant, blind in zip(tenant_ids, blinds, strict=True)]


def _contact(reading: Reading, tenant_id: str, row: Row) -> Contact:
    name = None if row[1] is None else reading.codec.decode(tenant_id, row[0], row[1]).decode()
    return Contact(row[0], name, row[2], row[3], aliases_of(reading, tenant_id, row[0]))
