"""Finding a contact by what a caller knows of a person: a phone number, a BSUID or a username."""

from waypost.domain.addresses import parse_address
from waypost.domain.errors import InvalidRequest, WaypostError
from waypost.store import contact_search
from waypost.store.contact_search import Contact
from waypost.store.contacts import AliasSeen
from waypost.store.transaction import Reading

_ENTERPRISE = ".ENT."


def find(
    reading: Reading, tenant_id: str, phone: str | None, bsuid: str | None, username: str | None
) -> list[Contact]:
    """Give the contacts, none or one, that all given aliases lead to; raises `InvalidRequest` for what is no alias."""
    found: set[str | None] = set()
    for alias in _aliases(phone, bsuid, username):
        found.add(contact_search.by_alias(reading, tenant_id, alias))
    if len(found) != 1:
        return []
    (contact_id,) = found
    return [] if contact_id is None else [contact_search.get(reading, tenant_id, contact_id)]


def _aliases(phone: str | None, bsuid: str | None, username: str | None) -> list[AliasSeen]:
    aliases: list[AliasSeen] = []
    if phone is not None:
        aliases.append(AliasSeen("phone", _phone(phone)))
    if bsuid is not None:
        # Meta, 2026: the parent BSUID of linked portfolios carries ENT.
        aliases.append(AliasSeen("parent_bsuid" if _ENTERPRISE in bsuid else "bsuid", bsuid))
    if username is not None:
        aliases.append(AliasSeen("username", username.removeprefix("@")))
    return aliases


def _phone(text: str) -> str:
    remedy: str | None = "Give a plus sign, the country code and the digits, such as +4915112345678."
    try:
        address = parse_address(text)
    except WaypostError as error:
        remedy = error.remedy
    else:
        if address.kind == "phone":
            return address.value
    raise InvalidRequest("This is not an international phone number.", field="phone", remedy=remedy)
