"""`/v1/contacts`: the people, with all their aliases and when each was theirs."""

from typing import Annotated

from msgspec import Meta, Struct

from waypost.conversations import people
from waypost.domain.errors import InvalidRequest, NotFound
from waypost.domain.times import rfc3339
from waypost.store import contact_search
from waypost.store.contact_search import Contact
from waypost.store.contacts import AliasKind
from waypost.web.routing import Ask, Page, Route, page_of

_TAG = "contacts"


class AliasView(Struct, frozen=True):
    """An alias and when it was the contact's; `valid_to` is null while it is."""

    kind: AliasKind
    value: str
    portfolio_id: Annotated[str, Meta(description="A BSUID means somebody in one portfolio.")] | None
    valid_from: str | None
    valid_to: str | None


class ContactView(Struct, frozen=True):
    """A contact."""

    id: str
    name: Annotated[str, Meta(description="The name of the WhatsApp profile.")] | None
    created_at: str | None
    aliases: list[AliasView]


class ContactsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """All contacts, or the one that all given aliases lead to."""

    cursor: Annotated[str, Meta(max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    phone: Annotated[str, Meta(max_length=40, description="With plus sign and country code.")] | None = None
    bsuid: Annotated[str, Meta(max_length=150, description="Such as `US.1349…`.")] | None = None
    username: Annotated[str, Meta(max_length=100)] | None = None


def _view(contact: Contact) -> ContactView:
    aliases = [
        AliasView(
            alias.kind,
            alias.value,
            alias.portfolio_id or None,
            rfc3339(alias.valid_from),
            rfc3339(alias.valid_to),
        )
        for alias in contact.aliases
    ]
    return ContactView(contact.id, contact.name, rfc3339(contact.created_at), aliases)


async def list_contacts(ask: Ask) -> Page[ContactView]:
    """List contacts, or find one."""
    query: ContactsQuery = ask.query
    store, tenant_id = ask.parts.store, ask.caller.tenant_id
    if query.phone is not None or query.bsuid is not None or query.username is not None:
        found = await store.read(people.find, tenant_id, query.phone, query.bsuid, query.username)
        return Page([_view(contact) for contact in found], None)
    listed = await store.read(contact_search.page, tenant_id, query.cursor, query.limit + 1)
    return page_of([_view(contact) for contact in listed], query.limit, lambda view: view.id)


async def show(ask: Ask) -> ContactView:
    """Show one contact."""
    return _view(await ask.parts.store.read(contact_search.get, ask.caller.tenant_id, ask.path["contact_id"]))


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET", path="/v1/contacts", scope="contacts:read", tag=_TAG, run=list_contacts,
        summary="List contacts, or find one by phone number, BSUID or username", query=ContactsQuery,
        answer=Page[ContactView], problems=(InvalidRequest,),
    ),
    Route(
        method="GET", path="/v1/contacts/{contact_id}", scope="contacts:read", tag=_TAG, run=show,
        summary="Show a contact with the history of its aliases", answer=ContactView, problems=(NotFound,),
        description="The id of a contact that was merged gives the one it was merged into, under that one's id.",
    ),
)  # fmt: skip
