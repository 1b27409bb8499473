"""`/v1/withdrawals`: people who said no, and the list of them."""

from typing import Annotated

from msgspec import Meta, Struct

from waypost.domain.addresses import parse_address
from waypost.domain.errors import InvalidRequest, NotFound, Unavailable
from waypost.domain.times import rfc3339
from waypost.domain.withdrawals import Purpose, Source
from waypost.store import withdrawals
from waypost.store.withdrawals import Withdrawal, Withdrawing
from waypost.web.api.reasons import Reason
from waypost.web.routing import Ask, Page, Route, page_of

_TAG = "withdrawals"


class WithdrawalBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants no more of what."""

    to: Annotated[
        str,
        Meta(min_length=1, max_length=200, description="Phone number, BSUID or contact id, as for sending."),
    ]
    purpose: Annotated[
        Purpose, Meta(description="`marketing`, or `all`: everything but `otp` and `reply`.")
    ] = "marketing"
    reason: Reason | None = None


class WithdrawalView(Struct, frozen=True):
    """A withdrawal. It stands for the contact with all its aliases."""

    id: str
    contact_id: Annotated[
        str | None, Meta(description="null: replayed after a restore, and the person is not known here yet.")
    ]
    purpose: Purpose
    source: Source
    reason: str | None
    withdrew_at: str | None
    recorded_at: str | None


class WithdrawalsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """All withdrawals, or a contact's."""

    cursor: Annotated[str, Meta(max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    contact_id: Annotated[str, Meta(max_length=64)] | None = None


def _view(found: Withdrawal) -> WithdrawalView:
    return WithdrawalView(
        found.id,
        found.contact_id,
        found.purpose,
        found.source,
        found.reason,
        rfc3339(found.withdrew_at),
        rfc3339(found.recorded_at),
    )


async def take(ask: Ask) -> WithdrawalView:
    """Take a withdrawal."""
    if ask.parts.withdrawals is None:
        raise Unavailable("No gateway runs here.", code="not_running", remedy="Ask a running gateway.")
    body: WithdrawalBody = ask.body
    caller = ask.caller
    item = Withdrawing(
        caller.tenant_id, parse_address(body.to), body.purpose, body.reason, caller.actor, ask.now
    )
    return _view(await ask.parts.withdrawals.take(item))


async def list_withdrawals(ask: Ask) -> Page[WithdrawalView]:
    """List withdrawals, oldest first."""
    query: WithdrawalsQuery = ask.query
    found = await ask.parts.store.read(
        withdrawals.page, ask.caller.tenant_id, query.cursor, query.limit + 1, query.contact_id
    )
    return page_of([_view(each) for each in found], query.limit, lambda view: view.id)


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST", path="/v1/withdrawals", scope="messages:send", tag=_TAG, run=take, status=201,
        summary="Take a person's withdrawal from marketing, or from everything nobody asked for",
        body=WithdrawalBody, answer=WithdrawalView, problems=(NotFound, InvalidRequest, Unavailable),
        description="201: in the database, and in the second place where one is configured. 503"
        " `second_place_unavailable`: applied, and not yet in the second place; repeat it with the same key. From then"
        " on no message of the class is sent to the person, whatever was accepted before.",
        examples={"marketing": {"to": "+4915550001111", "purpose": "marketing"}},
    ),
    Route(
        method="GET", path="/v1/withdrawals", scope="contacts:read", tag=_TAG, run=list_withdrawals,
        summary="List withdrawals, oldest first", query=WithdrawalsQuery, answer=Page[WithdrawalView],
    ),
)  # fmt: skip
