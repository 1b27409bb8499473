"""The one tree of errors. Expected outcomes are values; these are a caller's mistakes and broken promises.

WaypostError                      code, message, field, remedy, HTTP status
├── InvalidRequest          422   a field is wrong; names it
├── Malformed               400   not JSON, bad UTF-8, too deep, duplicate keys
├── Unauthenticated         401
├── Forbidden               403   wrong scope, forged callback
├── NotFound                404   unknown, or another tenant's
├── Conflict                409   the state does not allow it
├── TimelineChanged         409   a cursor from before a restore
├── TooLarge                413
├── Busy                    429   bounded queue or quota; Retry-After
├── ProviderRefused         502   Meta answered a synchronous command with an error
├── CapabilityMissing       501   named, never degraded silently
└── Unavailable             503   disk full, database locked, draining; Retry-After
"""

import traceback


class WaypostError(Exception):
    """Root: everything a caller may be told. `code` is stable, `remedy` says what to do next."""

    status = 500
    code = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        remedy: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.field = field
        self.remedy = remedy
        self.retry_after_seconds = retry_after_seconds


class InvalidRequest(WaypostError):
    """A field is wrong."""

    status, code = 422, "invalid_request"


class Malformed(WaypostError):
    """The body could not be read at all."""

    status, code = 400, "malformed"


class Unauthenticated(WaypostError):
    """No key, or not a valid one."""

    status, code = 401, "unauthenticated"


class Forbidden(WaypostError):
    """The key is valid but may not do this."""

    status, code = 403, "forbidden"


class NotFound(WaypostError):
    """Nothing of that id in this tenant."""

    status, code = 404, "not_found"


class Conflict(WaypostError):
    """The present state does not allow it."""

    status, code = 409, "conflict"


class TimelineChanged(Conflict):
    """The cursor was made before a restore; `remedy` names the point to resume from."""

    status, code = 409, "timeline_changed"


class TooLarge(WaypostError):
    """The body exceeds its limit."""

    status, code = 413, "too_large"


class Busy(WaypostError):
    """A bounded queue is full; come again."""

    status, code = 429, "busy"


class ProviderRefused(WaypostError):
    """The provider answered a synchronous command with an error."""

    status, code = 502, "provider_refused"


class CapabilityMissing(WaypostError):
    """Not something this number, or this release, can do."""

    status, code = 501, "capability_missing"


class Unavailable(WaypostError):
    """Not now: the disk is full, the database locked, the process draining."""

    status, code = 503, "unavailable"


def places(error: BaseException) -> list[str]:
    """Give where an unexpected error came through, innermost last; its words may hold content and stay out of logs."""
    frames = list(traceback.extract_tb(error.__traceback__))[-8:]
    return [f"{frame.filename.rpartition('/waypost/')[2]}:{frame.lineno}" for frame in frames]
