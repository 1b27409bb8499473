"""Reading parts of a callback tolerantly: texts and times that may be missing or of another type, errors, raw bytes.

Meta sends times as text seconds, as numbers, and in places as milliseconds; ids as text or numbers.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from waypost.domain.outcomes import Failed
from waypost.domain.provider_events import ProviderEvent, Unreadable
from waypost.transports.cloud_api.errors import failure_of

READING_ERRORS = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, OverflowError, OSError)

_decode = msgspec.json.Decoder().decode
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
encode = msgspec.json.Encoder().encode


class Metadata(msgspec.Struct):
    """Which number a change is about."""

    phone_number_id: str | int = ""
    display_phone_number: str | int | None = None


class Source(msgspec.Struct, frozen=True):
    """Where in the callback we are: what every event repeats."""

    waba_id: str
    field: str
    phone_number_id: str = ""
    at: datetime | None = None


class NotAsDocumented(ValueError):
    """A part lacks something without which it means nothing; the text says what."""


def object_of(raw: msgspec.Raw | bytes) -> dict[str, Any]:
    """Read a JSON object; `NotAsDocumented` for anything else."""
    value = _decode(raw)
    if not isinstance(value, dict):
        raise NotAsDocumented("not an object")
    return value


def raw_list(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """Split a JSON array into its raw items; an absent or null one is empty."""
    return [] if bytes(raw) in (b"", b"null") else _RAWS.decode(raw)


def each(
    source: Source, raw: msgspec.Raw, read: Callable[[msgspec.Raw], ProviderEvent]
) -> list[ProviderEvent]:
    """Read every item of an array; one that cannot be read becomes `Unreadable` while the rest is still read."""
    return [guarded(source, item, read) for item in raw_list(raw)]


def guarded(source: Source, raw: msgspec.Raw, read: Callable[[msgspec.Raw], ProviderEvent]) -> ProviderEvent:
    """Read one part, or keep it as `Unreadable`."""
    try:
        return read(raw)
    except READING_ERRORS as failure:
        return unreadable(source.waba_id, source.field, failure, raw)


def unreadable(waba_id: str | None, field: str, failure: Exception, raw: msgspec.Raw | bytes) -> Unreadable:
    """Keep a part that cannot be read; the reason never repeats its content."""
    reason = str(failure) if isinstance(failure, NotAsDocumented) else type(failure).__name__
    if isinstance(failure, msgspec.ValidationError):
        # "Expected `str`, got `int` - at `$.id`": types and places, no values; other forms repeat the value.
        text = str(failure)
        reason = text if text.startswith(("Expected `", "Object missing")) else "not as documented"
    return Unreadable(waba_id, field, reason, bytes(raw))


def time_of(value: object) -> datetime:
    """Read a time: seconds (or milliseconds) since the epoch, as text or number."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 17:
        number: float = int(value)
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e16:
        number = value
    else:
        raise NotAsDocumented("no readable timestamp")
    # Beyond the year 5138 in seconds it must be milliseconds.
    return datetime.fromtimestamp(number / 1_000 if number >= 1e11 else number, UTC)


def time_or_none(value: object) -> datetime | None:
    """As `time_of`; None when there is none."""
    try:
        return time_of(value)
    except READING_ERRORS:
        return None


def text_of(part: Mapping[str, Any], *keys: str) -> str | None:
    """The first of `keys` that holds text or a number, as text; None when none does."""
    for key in keys:
        value = part.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
    return None


def number_or_none(value: object) -> int | None:
    """A whole number, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def part_of(whole: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object under `key`, or an empty one."""
    value = whole.get(key)
    return value if isinstance(value, dict) else {}


def failures_of(errors: object) -> tuple[Failed, ...]:
    """Read an array of errors, or a single one."""
    if isinstance(errors, list):
        return tuple(failure_of(error) for error in errors)
    return (failure_of(errors),) if isinstance(errors, dict) else ()
