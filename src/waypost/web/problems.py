"""Errors as answers: `application/problem+json` with the headers that a status wants."""

import msgspec

from waypost.domain.errors import WaypostError
from waypost.domain.problems import TITLES, Problem, problem_of
from waypost.web.routing import Answer

__all__ = ["CONTENT_TYPE", "TITLES", "MethodNotAllowed", "Problem", "UnsupportedMedia", "internal", "render"]

CONTENT_TYPE = "application/problem+json"
_RETRY_AFTER_SECONDS = 1
_encode = msgspec.json.Encoder().encode


class UnsupportedMedia(WaypostError):
    """The body is of a content type this route does not read."""

    status, code = 415, "unsupported_content_type"


class MethodNotAllowed(WaypostError):
    """The path exists, the method does not; `allow` lists those that do."""

    status, code = 405, "method_not_allowed"

    def __init__(self, allow: tuple[str, ...]) -> None:
        super().__init__("This path does not know this method.", remedy=f"Use {', '.join(allow)}.")
        self.allow = allow


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
