"""Reading message-like changes: what customers sent, receipts, echoes of the phone app, history, calls, preferences.

Receipts are the bulk (three per message sent, up to 1,000 per callback), so they have a typed path of their own.
"""

from typing import Any, get_args

import msgspec
from msgspec import Raw

from waypost.domain.provider_events import (
    CallReceived,
    EchoReceived,
    HistoryReceived,
    IdentityChanged,
    InboundKind,
    InboundMedia,
    MessageReceived,
    NumberChanged,
    PreferenceChanged,
    ProviderEvent,
    ReceiptReceived,
    ReceiptStatus,
    UnknownField,
)
from waypost.transports.cloud_api.callback_parts import (
    READING_ERRORS,
    NotAsDocumented,
    Source,
    each,
    encode,
    failures_of,
    number_or_none,
    object_of,
    part_of,
    text_of,
    time_of,
    time_or_none,
)

_KINDS: dict[str, InboundKind] = {kind: kind for kind in get_args(InboundKind)}
_STATUSES: dict[str, ReceiptStatus] = {
    status: status for status in get_args(ReceiptStatus) if status != "other"
}
_MEDIA = ("image", "video", "document", "audio", "sticker")
# Meta says `user_…`; documentation before 2026 said `customer_…`.
_IDENTITY_CHANGES = {
    "user_changed_number": "user_changed_number",
    "customer_changed_number": "user_changed_number",
    "user_changed_user_id": "user_changed_user_id",
}
_NOTHING = Raw()


class _Value(msgspec.Struct):
    contacts: Raw = _NOTHING
    messages: Raw = _NOTHING
    statuses: Raw = _NOTHING
    errors: Raw = _NOTHING


class _Receipt(msgspec.Struct):
    id: str
    status: str
    timestamp: str | int | float
    recipient_id: str | None = None
    recipient_user_id: str | None = None
    parent_recipient_user_id: str | None = None
    recipient_type: str | None = None
    # Meta spells the participant both ways, on two of its pages.
    recipient_participant_id: str | None = None
    participant_recipient_id: str | None = None
    biz_opaque_callback_data: str | None = None
    errors: list[Any] | None = None
    pricing: Raw = _NOTHING
    conversation: Raw = _NOTHING


_VALUE = msgspec.json.Decoder(_Value)
_RECEIPT = msgspec.json.Decoder(_Receipt)
_RECEIPTS = msgspec.json.Decoder(list[_Receipt])


def read_messages(source: Source, raw: Raw) -> list[ProviderEvent]:
    """Read a `messages` change, or a `standby` one: inbound messages, receipts, errors of the number."""
    value = _VALUE.decode(raw)
    events: list[ProviderEvent] = []
    if value.statuses is not _NOTHING:
        events += _receipts(source, value.statuses)
    if value.messages is not _NOTHING:
        contacts = _contacts(value.contacts)
        events += each(source, value.messages, lambda item: _message(source, contacts, item))
    if value.errors is not _NOTHING and bytes(value.errors) != b"null":
        errors = failures_of(msgspec.json.decode(value.errors))
        number = source.phone_number_id or None
        events.append(
            NumberChanged(
                source.waba_id, "errors", number, None, None, None, source.at, bytes(value.errors), errors
            )
        )
    return events or [UnknownField(source.waba_id, source.field, source.phone_number_id or None, bytes(raw))]


def _receipts(source: Source, raw: Raw) -> list[ProviderEvent]:
    try:
        return [_receipt(source, receipt) for receipt in _RECEIPTS.decode(raw)]
    except READING_ERRORS:
        return each(source, raw, lambda item: _receipt(source, _RECEIPT.decode(item)))


def _receipt(source: Source, receipt: _Receipt) -> ReceiptReceived:
    in_group = receipt.recipient_type == "group"
    return ReceiptReceived(
        source.waba_id,
        source.phone_number_id,
        receipt.id,
        receipt.biz_opaque_callback_data,
        _STATUSES.get(receipt.status, "other"),
        receipt.status,
        time_of(receipt.timestamp),
        None if in_group else receipt.recipient_id,
        receipt.recipient_user_id,
        receipt.parent_recipient_user_id,
        receipt.recipient_id if in_group else None,
        receipt.recipient_participant_id or receipt.participant_recipient_id,
        failures_of(receipt.errors) if receipt.errors else (),
        _bytes_or_none(receipt.pricing),
        _bytes_or_none(receipt.conversation),
    )


def _bytes_or_none(raw: Raw) -> bytes | None:
    if raw is _NOTHING:
        return None
    given = bytes(raw)
    return None if given == b"null" else given


def _contacts(raw: Raw) -> list[dict[str, Any]]:
    if raw is _NOTHING:
        return []
    value = msgspec.json.decode(raw)
    return [contact for contact in value if isinstance(contact, dict)] if isinstance(value, list) else []


def _contact_of(contacts: list[dict[str, Any]], message: dict[str, Any]) -> dict[str, Any]:
    """The entry of `contacts` that wrote the message; an empty one when none can be told."""
    user_id, wa_id = text_of(message, "from_user_id"), text_of(message, "from")
    for contact in contacts:
        if user_id is not None and text_of(contact, "user_id") == user_id:
            return contact
    for contact in contacts:
        if wa_id is not None and text_of(contact, "wa_id") == wa_id:
            return contact
    if len(contacts) == 1:
        known = contacts[0]
        comparable = (user_id and text_of(known, "user_id")) or (wa_id and text_of(known, "wa_id"))
        if not comparable:
            return known
    return {}


def _message(source: Source, contacts: list[dict[str, Any]], raw: Raw) -> ProviderEvent:
    message = object_of(raw)
    message_id = text_of(message, "id")
    if message_id is None:
        raise NotAsDocumented("a message without id")
    sent_at = time_of(message.get("timestamp"))
    original = text_of(message, "type") or ""
    kind = _KINDS.get(original, "unsupported")
    if kind == "system":
        change = _identity_change(source, message_id, message)
        if change is not None:
            return change
    if original == "unsupported":
        original = text_of(part_of(message, "unsupported"), "type") or original
    contact = _contact_of(contacts, message)
    profile = part_of(contact, "profile")
    return MessageReceived(
        waba_id=source.waba_id,
        phone_number_id=source.phone_number_id,
        provider_message_id=message_id,
        from_wa_id=text_of(message, "from") or text_of(contact, "wa_id"),
        user_id=text_of(message, "from_user_id") or text_of(contact, "user_id"),
        parent_user_id=text_of(message, "from_parent_user_id") or text_of(contact, "parent_user_id"),
        username=text_of(profile, "username"),
        profile_name=text_of(profile, "name"),
        sent_at=sent_at,
        kind=kind,
        original_type=original,
        content=encode(message),
        context_message_id=text_of(part_of(message, "context"), "id"),
        media=_media(part_of(message, kind)) if kind in _MEDIA else None,
        group_id=text_of(message, "group_id"),
        errors=failures_of(message.get("errors")),
        standby=source.field == "standby",
    )


def _media(media: dict[str, Any]) -> InboundMedia:
    return InboundMedia(
        id=text_of(media, "id"),
        mime_type=text_of(media, "mime_type"),
        sha256=text_of(media, "sha256"),
        url=text_of(media, "url"),
        filename=text_of(media, "filename"),
    )


def _identity_change(source: Source, message_id: str, message: dict[str, Any]) -> IdentityChanged | None:
    system = part_of(message, "system")
    change = _IDENTITY_CHANGES.get(text_of(system, "type") or "")
    if change is None:
        return None
    return IdentityChanged(
        waba_id=source.waba_id,
        phone_number_id=source.phone_number_id,
        provider_message_id=message_id,
        change="user_changed_number" if change == "user_changed_number" else "user_changed_user_id",
        at=time_of(message.get("timestamp")),
        previous_wa_id=text_of(message, "from") or text_of(system, "customer"),
        wa_id=text_of(system, "wa_id", "new_wa_id"),
        previous_user_id=text_of(system, "previous_user_id") or text_of(message, "from_user_id"),
        user_id=text_of(system, "user_id"),
        previous_parent_user_id=text_of(system, "previous_parent_user_id")
        or text_of(message, "from_parent_user_id"),
        parent_user_id=text_of(system, "parent_user_id"),
        content=encode(message),
    )


def read_echo(source: Source, raw: Raw) -> EchoReceived:
    """Read one message of `smb_message_echoes`."""
    message = object_of(raw)
    message_id = text_of(message, "id")
    if message_id is None:
        raise NotAsDocumented("an echo without id")
    return EchoReceived(
        waba_id=source.waba_id,
        phone_number_id=source.phone_number_id,
        provider_message_id=message_id,
        to_wa_id=text_of(message, "to"),
        to_user_id=text_of(message, "to_user_id"),
        sent_at=time_of(message.get("timestamp")),
        original_type=text_of(message, "type") or "",
        content=encode(message),
    )


def read_history(source: Source, raw: Raw) -> HistoryReceived:
    """Read one chunk of `history`."""
    chunk = object_of(raw)
    metadata = part_of(chunk, "metadata")
    return HistoryReceived(
        waba_id=source.waba_id,
        phone_number_id=source.phone_number_id,
        phase=number_or_none(metadata.get("phase")),
        chunk_order=number_or_none(metadata.get("chunk_order")),
        progress=number_or_none(metadata.get("progress")),
        raw=bytes(raw),
        errors=failures_of(chunk.get("errors")),
    )


def read_preference(source: Source, raw: Raw) -> PreferenceChanged:
    """Read one entry of `user_preferences`."""
    preference = object_of(raw)
    value = text_of(preference, "value")
    if value is None:
        raise NotAsDocumented("a preference without value")
    return PreferenceChanged(
        waba_id=source.waba_id,
        phone_number_id=source.phone_number_id,
        wa_id=text_of(preference, "wa_id"),
        user_id=text_of(preference, "user_id"),
        category=text_of(preference, "category") or "",
        value=value,
        at=time_of(preference.get("timestamp")),
        raw=bytes(raw),
    )


def read_call(source: Source, raw: Raw) -> CallReceived:
    """Read one entry of `calls`: a call, or the state of one."""
    call = object_of(raw)
    call_id = text_of(call, "id")
    if call_id is None:
        raise NotAsDocumented("a call without id")
    return CallReceived(
        waba_id=source.waba_id,
        phone_number_id=source.phone_number_id,
        provider_call_id=call_id,
        event=text_of(call, "event", "status") or "",
        direction=text_of(call, "direction"),
        from_wa_id=text_of(call, "from"),
        from_user_id=text_of(call, "from_user_id"),
        to_wa_id=text_of(call, "to", "recipient_id"),
        at=time_or_none(call.get("timestamp")) or time_or_none(call.get("start_time")),
        raw=bytes(raw),
    )
