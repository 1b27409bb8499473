"""Addresses: what is accepted and how it is normalised, what is refused and which remedy is named."""

from contextlib import suppress

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waypost.domain.addresses import AddressError, parse_address, wa_id_to_phone
from waypost.domain.errors import CapabilityMissing, WaypostError


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("+4915112345678", "phone", "+4915112345678"),
        ("+49 151 1234-5678", "phone", "+4915112345678"),
        (" +49 (0)151 1234.5678 ", "phone", "+4915112345678"),
        ("+1 (555) 123-4567", "phone", "+15551234567"),
        ("+390612345678", "phone", "+390612345678"),  # Italy keeps the zero
        ("+5215512345678", "phone", "+5215512345678"),  # WhatsApp's Mexican form, one digit longer
        ("+5511987654321", "phone", "+5511987654321"),
        ("+882161234567", "phone", "+882161234567"),  # no country: a satellite network
        ("US.13491208655302741918", "bsuid", "US.13491208655302741918"),
        ("US.ENT.11815799212886844830", "bsuid", "US.ENT.11815799212886844830"),
        ("con_06f1k3m9q7x8e2r4t5v6w7y8z0", "contact", "con_06f1k3m9q7x8e2r4t5v6w7y8z0"),
    ],
)
def test_an_address_is_read_and_normalised(text: str, kind: str, value: str) -> None:
    address = parse_address(text)
    assert (address.kind, address.value) == (kind, value)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("0171 1234567", "country code in place of the leading 0"),
        ("00491711234567", "leading 00 by a plus"),
        ("4915112345678", "plus sign before the country code"),
        ("+999123456789", "country code"),
        ("+4912", "national number"),
        ("+155512345678901", "national number"),
        ("4915112345678@s.whatsapp.net", "phone number itself"),
        ("@somebody", "phone number"),
        ("us.123", "phone number"),
        ("con_short", "contact id"),
        ("", "phone number"),
        ("+4915112345678\n+4915112345679", "phone number"),
    ],
)
def test_what_is_no_address_is_refused_with_a_remedy(text: str, remedy: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    assert caught.value.field == "to"
    assert caught.value.status == 422
    assert remedy in (caught.value.remedy or "")
    assert not text.strip() or text not in str(caught.value)


@pytest.mark.parametrize("text", ["120363021231234567@g.us", "Y2FwaV9ncm91cDoxNzA1NTU1MDEzOToxMjAzNjM0"])
def test_a_group_is_a_capability_we_lack(text: str) -> None:
    with pytest.raises(CapabilityMissing) as caught:
        parse_address(text)
    assert (caught.value.status, caught.value.field) == (501, "to")


def test_a_wa_id_becomes_a_phone_number() -> None:
    assert wa_id_to_phone("4915112345678") == "+4915112345678"
    assert wa_id_to_phone("+4915112345678") == "+4915112345678"


@given(st.text(max_size=60))
def test_no_text_makes_it_raise_anything_but_a_named_error(text: str) -> None:
    with suppress(WaypostError):
        assert parse_address(text).value


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_every_country_s_example_mobile_number_is_accepted(region: str) -> None:
    number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    if number is None:
        number = phonenumbers.example_number(region)
    assert number is not None
    text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    assert parse_address(text).value == text
