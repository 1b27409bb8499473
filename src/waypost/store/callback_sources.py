"""Where an event of a callback belongs: its number, its people, and whether it was told before."""

import hashlib
from datetime import datetime

from msgspec import Struct

from waypost.domain.addresses import wa_id_to_phone
from waypost.domain.errors import Conflict
from waypost.domain.ids import encode
from waypost.store import contacts, inbound
from waypost.store.contacts import AliasSeen
from waypost.store.transaction import Transaction


class NotApplied(Conflict):
    """A part of a callback has no place here yet; the text is the fault its callback is parked with, no content."""

    code = "callback_not_applied"


class Source(Struct, frozen=True):
    """The number an event is about."""

    tenant_id: str
    number_id: str
    portfolio_id: str


class Sources:
    """Looks up numbers, people and what is known, once per page; `known` is provider ids by number."""

    def __init__(self, tx: Transaction, now: datetime) -> None:
        self.tx = tx
        self.now = now
        self.known: dict[str, set[str]] = {}
        self._numbers: dict[tuple[str, str, str], Source | None] = {}
        self._wabas: dict[tuple[str, str], bool] = {}
        self._people: dict[tuple[str, tuple[AliasSeen, ...]], str] = {}

    def of(self, tenant_id: str, meta_waba_id: str, phone_number_id: str) -> Source:
        """Give the number an event is about; raises `NotApplied` when it is not one of ours."""
        found = self.find(tenant_id, meta_waba_id, phone_number_id)
        if found is None:
            raise NotApplied(f"unknown_number: {phone_number_id[:64]} of WABA {meta_waba_id[:64]}")
        return found

    def find(self, tenant_id: str, meta_waba_id: str, phone_number_id: str) -> Source | None:
        """Give the tenant's number by Meta's ids, or None."""
        key = (tenant_id, meta_waba_id, phone_number_id)
        if key not in self._numbers:
            self._numbers[key] = self._look_up(*key)
        return self._numbers[key]

    def _look_up(self, tenant_id: str, meta_waba_id: str, phone_number_id: str) -> Source | None:
        # A number that was removed still gets its late receipts; the live one of the same id goes first.
        for clause in ("n.state <> 'removed'", "n.state = 'removed'"):
            row = self.tx.one(
                "SELECT n.id, n.portfolio_id FROM numbers n JOIN wabas w ON w.id = n.waba_id"
                f" WHERE n.phone_number_id = ? AND n.tenant_id = ? AND w.meta_waba_id = ? AND {clause}"
                " ORDER BY n.created_at DESC LIMIT 1",
                (phone_number_id, tenant_id, meta_waba_id),
            )
            if row is not None:
                return Source(tenant_id, row[0], row[1])
        return None

    def check_waba(self, tenant_id: str, meta_waba_id: str) -> None:
        """Raise `NotApplied` unless the WABA is the tenant's."""
        key = (tenant_id, meta_waba_id)
        if key not in self._wabas:
            sql = "SELECT 1 FROM wabas WHERE tenant_id = ? AND meta_waba_id = ?"
            self._wabas[key] = self.tx.one(sql, key) is not None
        if not self._wabas[key]:
            raise NotApplied(f"unknown_waba: {meta_waba_id[:64]}")

    def person(
        self,
        source: Source,
        wa_id: str | None,
        user_id: str | None,
        parent_user_id: str | None = None,
        username: str | None = None,
        profile_name: str | None = None,
    ) -> str | None:
        """Give the contact all these belong to, created when new; None when nobody is named."""
        aliases: list[AliasSeen] = []
        if wa_id:
            aliases.append(AliasSeen("phone", wa_id_to_phone(wa_id)))
        if user_id:
            aliases.append(AliasSeen("bsuid", user_id, source.portfolio_id))
        if parent_user_id:
            aliases.append(AliasSeen("parent_bsuid", parent_user_id, source.portfolio_id))
        if not aliases:
            return None
        if username:
            aliases.append(AliasSeen("username", username))
        key = (source.tenant_id, tuple(aliases))
        known = self._people.get(key)
        if known is not None:
            return known
        position = self.tx.position
        seen = contacts.ContactSeen(source.tenant_id, key[1], "meta", self.now, profile_name)
        contact_id = contacts.resolve(self.tx, seen)
        if self.tx.position != position:
            # Somebody may have been merged: what was remembered of others is not sure any more.
            self._people.clear()
        self._people[key] = contact_id
        return contact_id

    def forget_people(self) -> None:
        """Drop what is remembered of people: an alias has changed."""
        self._people.clear()

    def keep_once(self, tenant_id: str, told: str, contact_id: str | None, content: bytes) -> str | None:
        """Keep content told as `told`; gives its id, or None when the same was told before."""
        digest = hashlib.sha256(f"{tenant_id}\x1f{told}".encode("utf-8", "replace")).digest()
        content_id = "cnt_" + encode(int.from_bytes(digest[:16], "big"))
        return content_id if inbound.keep_once(self.tx, content_id, tenant_id, contact_id, content) else None
