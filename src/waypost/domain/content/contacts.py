"""Contact cards, as sent: a name of at least two parts, and what else a card can hold."""

from datetime import date
from typing import Annotated

from msgspec import Meta, field

from waypost.domain.content.parts import Part

Line = Annotated[str, Meta(max_length=1000)]


class CardName(Part, frozen=True):
    """The name on a card: `formatted_name` and at least one other part (Meta's rule)."""

    formatted_name: Annotated[str, Meta(min_length=1, max_length=1000)]
    first_name: Line | None = None
    last_name: Line | None = None
    middle_name: Line | None = None
    suffix: Line | None = None
    prefix: Line | None = None

    def __post_init__(self) -> None:
        if not (self.first_name or self.last_name or self.middle_name or self.suffix or self.prefix):
            raise ValueError(
                "besides `formatted_name` one more part of the name is needed, such as `first_name`"
            )


class CardAddress(Part, frozen=True):
    """A postal address."""

    street: Line | None = None
    city: Line | None = None
    state: Line | None = None
    zip: Line | None = None
    country: Line | None = None
    country_code: Line | None = None
    type: Line | None = None


class CardEmail(Part, frozen=True):
    """An e-mail address."""

    email: Line | None = None
    type: Line | None = None


class CardOrganisation(Part, frozen=True):
    """Where the person works."""

    company: Line | None = None
    department: Line | None = None
    title: Line | None = None


class CardPhone(Part, frozen=True):
    """A phone number; without `wa_id` the card offers to invite it."""

    phone: Line | None = None
    wa_id: Line | None = None
    type: Line | None = None


class CardUrl(Part, frozen=True):
    """A web address."""

    url: Line | None = None
    type: Line | None = None


Entries = Meta(max_length=100)


class Card(Part, frozen=True):
    """One contact card."""

    name: CardName
    addresses: Annotated[list[CardAddress], Entries] = field(default_factory=list)
    birthday: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="YYYY-MM-DD.")] | None = None
    emails: Annotated[list[CardEmail], Entries] = field(default_factory=list)
    org: CardOrganisation | None = None
    phones: Annotated[list[CardPhone], Entries] = field(default_factory=list)
    urls: Annotated[list[CardUrl], Entries] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.birthday is not None:
            try:
                date.fromisoformat(self.birthday)
            except ValueError:
                raise ValueError("`birthday` must be a date of the calendar, as YYYY-MM-DD") from None


# 257 by Meta's guide; its OpenAPI file says 5, which clients exceed without harm.
Contacts = Annotated[list[Card], Meta(min_length=1, max_length=257)]
