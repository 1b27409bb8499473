"""Whom a message goes to, as a caller writes it: an international phone number, a BSUID or a contact id.

Meta puts the business's own country code in front of a number without a plus sign, so the same digits would
reach different people from different numbers. That is why local forms are refused with a hint, never guessed.
"""

import re
from functools import lru_cache
from typing import Literal

import phonenumbers
from msgspec import Struct

from waypost.domain.errors import CapabilityMissing, InvalidRequest

AddressKind = Literal["phone", "bsuid", "contact"]


class Address(Struct, frozen=True):
    """A normalised address. A phone's `value` is its digits with the plus sign."""

    kind: AddressKind
    value: str


class AddressError(InvalidRequest, ValueError):
    """The text is no address we can send to; `remedy` says how to write it."""


_PLAIN = re.compile(r"\+([1-9][0-9]{6,14})")
_WRITTEN = re.compile(r"\+[0-9 ().\-\u00a0\u2011/]{1,40}")
_BSUID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")  # Meta, 2026
_CONTACT = re.compile(r"con_[0-9a-hjkmnp-tv-z]{26}")
_DIGITS = re.compile(r"[0-9][0-9 ().\-/]*")
_GROUP = re.compile(
    r".+@g\.us|Y2FwaV9ncm91c[A-Za-z0-9_=-]+"
)  # a linked device's JID; Meta's encoded "capi_grou…"
_JID = re.compile(r".+@(?:s\.whatsapp\.net|c\.us|lid)")

# WhatsApp still uses the mobile digit that Mexico dropped in 2019: its ids there have eleven national digits.
_EXTRA_LENGTHS = {52: frozenset({11})}


def parse_address(text: str) -> Address:
    """Read what a caller gave as `to`.

    Raises `AddressError` with a remedy, or `CapabilityMissing` for a group. Cheap for plain `+digits`.
    """
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        national = _national(plain[1])
        # "+490171…": the library knows where the zero has to go (Germany) and where it belongs (Italy, Benin).
        if national is not None and national[0] != "0":
            return Address("phone", text)
    if _BSUID.fullmatch(text):
        return Address("bsuid", text)
    if _CONTACT.fullmatch(text):
        return Address("contact", text)
    return _written(text)


def wa_id_to_phone(wa_id: str) -> str:
    """Give the phone number of a provider's `wa_id` (`4917…` becomes `+4917…`)."""
    return wa_id if wa_id.startswith("+") else f"+{wa_id}"


def _written(text: str) -> Address:
    """Read a number with spaces and the like, or say what is wrong with the text."""
    text = text.strip()
    if _WRITTEN.fullmatch(text):
        try:
            number = phonenumbers.parse(text)
        except phonenumbers.NumberParseException:
            raise _not_a_number() from None
        normal = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        if _national(normal[1:]) is None:
            raise _not_a_number()
        return Address("phone", normal)
    if _GROUP.fullmatch(text):
        raise CapabilityMissing(
            "Groups cannot be written to yet.",
            field="to",
            remedy="Send to a phone number, a BSUID or a contact id.",
        )
    if _JID.fullmatch(text):
        raise AddressError(
            "This is an id of the device protocol, not an address.",
            field="to",
            remedy="Give the phone number itself: a plus sign, the country code and the digits.",
        )
    if _DIGITS.fullmatch(text):
        raise _local(text)
    raise AddressError(
        "This is not an address.",
        field="to",
        remedy="Give a phone number (+4915112345678), a BSUID (US.1349…) or a contact id (con_…).",
    )


def _local(text: str) -> AddressError:
    if text.startswith("00"):
        return AddressError(
            "The number starts with an international dialling prefix.",
            field="to",
            remedy="Replace the leading 00 by a plus sign.",
        )
    if text.startswith("0"):
        return AddressError(
            "The number is in its local form: which country it belongs to is not known.",
            field="to",
            remedy="Write a plus sign and the country code in place of the leading 0, as in +49171….",
        )
    return AddressError(
        "The number has no plus sign: its digits could be read as local to the sending number's country.",
        field="to",
        remedy="Put a plus sign before the country code.",
    )


def _not_a_number() -> AddressError:
    return AddressError(
        "No phone number can have this country code or length.",
        field="to",
        remedy="Check it: a plus sign, the country code, the national number without its leading 0.",
    )


def _national(digits: str) -> str | None:
    """The national part of a number whose country code exists and whose length is possible; else None."""
    for width in (1, 2, 3):
        lengths = _lengths(int(digits[:width]))
        if lengths is not None:
            return digits[width:] if len(digits) - width in lengths else None
    return None


@lru_cache(maxsize=1024)
def _lengths(calling_code: int) -> frozenset[int] | None:
    """The possible lengths of a national number; None when there is no such country code."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(calling_code)
    if regions is None:
        return None
    if regions[0] == "001":
        metadata = phonenumbers.PhoneMetadata.metadata_for_nongeo_region(calling_code)
    else:
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(regions[0])
    if metadata is None or metadata.general_desc is None:
        return None
    return frozenset(metadata.general_desc.possible_length) | _EXTRA_LENGTHS.get(calling_code, frozenset())
