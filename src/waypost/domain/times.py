"""Times: aware UTC datetimes in code, integer milliseconds since the epoch in rows, RFC 3339 on the wire."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(at: datetime) -> int:
    """Give `at` (aware) as whole milliseconds since the epoch."""
    return (at - _EPOCH) // _MILLISECOND


def to_ms_up(at: datetime) -> int:
    """Give `at` as milliseconds, rounded up: for what must not happen before."""
    return -((_EPOCH - at) // _MILLISECOND)


def from_ms(value: int) -> datetime:
    """Give milliseconds since the epoch as an aware UTC datetime."""
    return _EPOCH + timedelta(milliseconds=value)


def optional_ms(at: datetime | None) -> int | None:
    """As `to_ms`, for a time that may be absent."""
    return None if at is None else to_ms(at)


def rfc3339(value: int | None) -> str | None:
    """Render a row's milliseconds as RFC 3339 UTC with milliseconds, e.g. `2026-11-22T22:40:07.123Z`."""
    if value is None:
        return None
    return from_ms(value).isoformat(timespec="milliseconds")[:-6] + "Z"
