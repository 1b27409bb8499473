"""Meta's callbacks, pure: check the signature over the raw bytes, and read all entries, changes and messages.

Nothing is dropped: a field not known here becomes `UnknownField`, a part that cannot be read `Unreadable`, each with
its raw bytes, while everything around it is still read.
"""

import hashlib
import hmac
import json

import msgspec
from msgspec import Raw

from waypost.domain.provider_events import CallbackUnreadable, ProviderEvent, UnknownField
from waypost.transports.cloud_api.callback_fields import (
    ACCOUNT_FIELDS,
    NUMBER_FIELDS,
    TEMPLATE_FIELDS,
    read_account,
    read_number,
    read_template,
)
from waypost.transports.cloud_api.callback_messages import (
    read_call,
    read_echo,
    read_history,
    read_messages,
    read_preference,
)
from waypost.transports.cloud_api.callback_parts import (
    READING_ERRORS,
    Metadata,
    NotAsDocumented,
    Source,
    each,
    guarded,
    time_or_none,
    unreadable,
)

__all__ = ["CallbackUnreadable", "parse", "verify_signature"]

_NOTHING = Raw()
_PREFIX = "sha256="


class _Envelope(msgspec.Struct):
    entry: list[Raw]


class _Entry(msgspec.Struct):
    changes: list[Raw]
    id: str | int = ""
    time: str | int | float | None = None


class _Change(msgspec.Struct):
    field: str
    value: Raw = _NOTHING


class _Sorted(msgspec.Struct):
    """What a change's value says about where it belongs, and the arrays of the smaller message-like fields."""

    metadata: Metadata | None = None
    message_echoes: Raw = _NOTHING
    history: Raw = _NOTHING
    user_preferences: Raw = _NOTHING
    calls: Raw = _NOTHING
    statuses: Raw = _NOTHING


# Fields whose events mean nothing without the number they are about.
_NUMBERED = frozenset({"messages", "standby", "smb_message_echoes", "history", "user_preferences", "calls"})

_ENVELOPE = msgspec.json.Decoder(_Envelope)
_ENTRY = msgspec.json.Decoder(_Entry)
_CHANGE = msgspec.json.Decoder(_Change)
_SORTED = msgspec.json.Decoder(_Sorted)


def verify_signature(secret: bytes, raw: bytes, header: str | None) -> bool:
    """Whether `header` (`sha256=HEX`) signs exactly these bytes with the app's secret; constant time.

    Meta escapes non-ASCII before signing, so a body that was parsed and written again no longer verifies.
    """
    if header is None or not header.startswith(_PREFIX) or not header.isascii():
        return False
    expected = hmac.new(secret, raw, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, header[len(_PREFIX) :].lower())


def parse(raw: bytes) -> list[ProviderEvent]:
    """Read a callback's body into its events, in the order they stand there.

    Raises `CallbackUnreadable` when it is not JSON or has no entries; never anything else.
    """
    events: list[ProviderEvent] = []
    for entry_raw in _envelope(raw).entry:
        try:
            entry = _ENTRY.decode(entry_raw)
        except READING_ERRORS as failure:
            events.append(unreadable(None, "entry", failure, entry_raw))
            continue
        for change_raw in entry.changes:
            try:
                events += _change(entry, change_raw)
            except READING_ERRORS as failure:
                events.append(unreadable(str(entry.id), "changes", failure, change_raw))
    return events


def _envelope(raw: bytes) -> _Envelope:
    try:
        return _ENVELOPE.decode(raw)
    except msgspec.ValidationError:
        raise CallbackUnreadable("The callback is not an object with entries.") from None
    except READING_ERRORS:
        pass  # perhaps only half of a surrogate pair, which customers' phones do produce: mended below
    try:
        mended = json.dumps(json.loads(raw), ensure_ascii=False).encode("utf-8", "replace")
        return _ENVELOPE.decode(mended)
    except READING_ERRORS:
        raise CallbackUnreadable("The callback is not JSON with entries.") from None


def _change(entry: _Entry, raw: Raw) -> list[ProviderEvent]:
    change = _CHANGE.decode(raw)
    waba_id, field, value = str(entry.id), change.field, change.value
    try:
        sorted_value = _SORTED.decode(value)
    except READING_ERRORS:
        sorted_value = None  # not an object, or metadata of another shape
    metadata = sorted_value.metadata if sorted_value is not None else None
    number = str(metadata.phone_number_id) if metadata is not None else ""
    source = Source(waba_id, field, number, time_or_none(entry.time))
    try:
        return _read(source, value, sorted_value)
    except READING_ERRORS as failure:
        return [unreadable(waba_id, field, failure, value)]


def _read(source: Source, value: Raw, found: _Sorted | None) -> list[ProviderEvent]:
    field = source.field
    if field in _NUMBERED and not source.phone_number_id:
        raise NotAsDocumented("no phone number id")
    if field in ("messages", "standby"):
        return read_messages(source, value)
    if field in TEMPLATE_FIELDS:
        return [guarded(source, value, lambda raw: read_template(source, raw))]
    if field in NUMBER_FIELDS:
        return [guarded(source, value, lambda raw: read_number(source, raw))]
    if field in ACCOUNT_FIELDS:
        return [guarded(source, value, lambda raw: read_account(source, raw))]
    events: list[ProviderEvent] = []
    if found is not None:
        if field == "smb_message_echoes":
            events = each(source, found.message_echoes, lambda raw: read_echo(source, raw))
        elif field == "history":
            events = each(source, found.history, lambda raw: read_history(source, raw))
        elif field == "user_preferences":
            events = each(source, found.user_preferences, lambda raw: read_preference(source, raw))
        elif field == "calls":
            events = each(source, found.calls, lambda raw: read_call(source, raw))
            events += each(source, found.statuses, lambda raw: read_call(source, raw))
    return events or [UnknownField(source.waba_id, field, source.phone_number_id or None, bytes(value))]
