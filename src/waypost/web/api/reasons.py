"""Why somebody does it: the optional body of commands that a person gives."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from waypost.web.routing import Ask

Reason = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="Why; shown, journaled and told in events: no personal content.",
    ),
]


class WithReason(Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is done."""

    reason: Reason | None = None


def reason_of(ask: Ask) -> str | None:
    """Give the reason of a body that may be absent."""
    body: Any = ask.body
    return None if body is None else body.reason
