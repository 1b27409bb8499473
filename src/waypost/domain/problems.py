"""Errors as RFC 9457 problems: a stable code, the field at fault and what to do, whoever carries them outside."""

from typing import Annotated

from msgspec import Meta, Struct

from waypost.domain.errors import WaypostError

TITLES = {
    400: "Malformed request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict with the present state",
    413: "Body too large",
    415: "Unsupported content type",
    422: "Invalid request",
    429: "Too many requests",
    500: "Internal error",
    501: "Not available in this release",
    502: "Refused by the provider",
    503: "Unavailable for now",
}


class Problem(Struct, frozen=True, omit_defaults=True):
    """What went wrong, for a person and for a program (RFC 9457)."""

    type: Annotated[
        str, Meta(description="A URI of this sort of problem: `urn:waypost:problem:` and the code.")
    ]
    title: Annotated[str, Meta(description="The status in words.")]
    status: Annotated[int, Meta(description="The HTTP status.", ge=400, le=599)]
    detail: Annotated[str, Meta(description="What happened here.")]
    code: Annotated[str, Meta(description="Stable: programs decide by it.")]
    request_id: Annotated[str, Meta(description="Also in `X-Request-Id`, and in the gateway's log.")]
    field: Annotated[str, Meta(description="Dotted path of the field at fault.")] | None = None
    remedy: Annotated[str, Meta(description="What to do next.")] | None = None


def problem_of(error: WaypostError, request_id: str) -> Problem:
    """Give the problem that tells `error`."""
    return Problem(
        type=f"urn:waypost:problem:{error.code}",
        title=TITLES.get(error.status, "Error"),
        status=error.status,
        detail=error.message,
        code=error.code,
        request_id=request_id,
        field=error.field,
        remedy=error.remedy,
    )
