"""Reading bodies: bounded by bytes, checked by content type, never more in memory than the limit."""

from collections.abc import Callable

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

from waypost.config import Config
from waypost.domain.errors import TooLarge
from waypost.web.problems import UnsupportedMedia
from waypost.web.routing import Route

_SETTINGS: dict[str, Callable[[Config], int]] = {
    "request": lambda config: int(config.http.request_body_bytes_max),
    "callback": lambda config: int(config.http.callback_body_bytes_max),
    # A form around a file of the largest size: boundaries and a few short fields.
    "media": lambda config: int(config.inbox.media_bytes_max) + 65_536,
}


def bytes_max(route: Route, config: Config) -> int:
    """Give the most bytes the route's body may have."""
    return _SETTINGS[route.body_limit](config)


def header(scope: Scope, name: bytes) -> str | None:
    """Give a request header by its lower-case name; the first one when it is repeated."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None


def check_length(scope: Scope, limit: int) -> None:
    """Raise `TooLarge` when the announced length exceeds the limit, before anything is read."""
    announced = header(scope, b"content-length")
    if announced is not None and announced.isdigit() and int(announced[:20]) > limit:
        raise _too_large(limit)


def check_content_type(scope: Scope, route: Route) -> None:
    """Raise `UnsupportedMedia` unless the body's type is one the route reads."""
    found = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
    if found in route.consumes or (
        "application/json" in route.consumes and found.startswith("application/") and found.endswith("+json")
    ):
        return
    raise UnsupportedMedia(
        f"This route reads {' or '.join(route.consumes)}.",
        field="Content-Type",
        remedy=f"Send the header Content-Type: {route.consumes[0]}",
    )


async def read(receive: Receive, limit: int) -> bytes:
    """Read the whole body; raises `TooLarge` beyond `limit`, `ClientDisconnect` when the caller goes away."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        return body
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()


def bounded(receive: Receive, limit: int) -> Receive:
    """Give a `receive` that raises `TooLarge` once more than `limit` bytes came through it."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise _too_large(limit)
        return message

    return counted


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body exceeds {limit} bytes.", remedy="Send less at once.")
