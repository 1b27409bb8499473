"""Errors as RFC 9457 problems: `application/problem+json` with a stable code, the field at fault and what to do."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from waypost.domain.errors import WaypostError
from waypost.web.routing import Answer

CONTENT_TYPE = "application/problem+json"
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
_RETRY_AFTER_SECONDS = 1
_encode = msgspec.json.Encoder().encode


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


class UnsupportedMedia(WaypostError):
    """The body is of a content type this route does not read."""

    status, code = 415, "unsupported_content_type"


class MethodNotAllowed(WaypostError):
    """The path exists, the method does not; `allow` lists those that do."""

    status, code = 405, "method_not_allowed"

    def __init__(self, allow: tuple[str, ...]) -> None:
        super().__init__("This path does not know this method.", remedy=f"Use {', '.join(allow)}.")
        self.allow = allow


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


def render(error: WaypostError, request_id: str) -> Answer:
    """Give `error` as an answer, with Retry-After, Allow or WWW-Authenticate where the status wants it."""
    headers: list[tuple[str, str]] = []
    retry_after_seconds = error.retry_after_seconds
    if retry_after_seconds is None and error.status in (429, 503):
        retry_after_seconds = _RETRY_AFTER_SECONDS
    if retry_after_seconds is not None:
        headers.append(("Retry-After", str(retry_after_seconds)))
    if isinstance(error, MethodNotAllowed):
        headers.append(("Allow", ", ".join(error.allow)))
    if error.status == 401:
        headers.append(("WWW-Authenticate", 'Bearer realm="waypost"'))
    return Answer(error.status, _encode(problem_of(error, request_id)), tuple(headers), CONTENT_TYPE)


def internal(request_id: str) -> Answer:
    """Give the answer to an exception nobody expected: nothing of its inside, only the id to look for in the log."""
    error = WaypostError(
        "The gateway made a mistake; nothing more is told here.",
        remedy="Look for the request id in the gateway's log.",
    )
    return render(error, request_id)
