"""What a provider told us in a callback, as values: every entry, change and message becomes exactly one of these.

Nothing is ever dropped: what is not known here is an `UnknownField`, what cannot be read an `Unreadable`; both keep
the raw bytes. `content` and `raw` are JSON as bytes.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from waypost.domain.errors import Malformed
from waypost.domain.outcomes import Failed


class CallbackUnreadable(Malformed):
    """The body is not JSON, or not a callback's envelope at all: park it whole."""


InboundKind = Literal[
    "text",
    "image",
    "video",
    "document",
    "audio",
    "sticker",
    "location",
    "contacts",
    "reaction",
    "button",
    "interactive",
    "order",
    "system",
    "edit",
    "revoke",
    "request_welcome",
    "unsupported",
]
ReceiptStatus = Literal["sent", "delivered", "read", "played", "failed", "other"]


class InboundMedia(Struct, frozen=True):
    """Media of an inbound message. `url` lives about five minutes; `sha256` is base64, as Meta gives it."""

    id: str | None
    mime_type: str | None
    sha256: str | None
    url: str | None
    filename: str | None


class MessageReceived(Struct, frozen=True):
    """A customer wrote. `kind` is `unsupported` for types not known here; `original_type` is what Meta said.

    `standby` is true when Meta's own agent holds the chat; answering takes it over.
    """

    waba_id: str
    phone_number_id: str
    provider_message_id: str
    from_wa_id: str | None
    user_id: str | None
    parent_user_id: str | None
    username: str | None
    profile_name: str | None
    sent_at: datetime
    kind: InboundKind
    original_type: str
    content: bytes
    context_message_id: str | None = None
    media: InboundMedia | None = None
    group_id: str | None = None
    errors: tuple[Failed, ...] = ()
    standby: bool = False


class ReceiptReceived(Struct, frozen=True):
    """The provider's word on a message of ours; `echo` is the id we gave the attempt."""

    waba_id: str
    phone_number_id: str
    provider_message_id: str
    echo: str | None
    status: ReceiptStatus
    original_status: str
    at: datetime
    recipient_wa_id: str | None = None
    recipient_user_id: str | None = None
    parent_recipient_user_id: str | None = None
    group_id: str | None = None
    participant: str | None = None
    errors: tuple[Failed, ...] = ()
    pricing: bytes | None = None
    conversation: bytes | None = None


class IdentityChanged(Struct, frozen=True):
    """A person has a new number, a new BSUID, or both; any part may be missing."""

    waba_id: str
    phone_number_id: str
    provider_message_id: str
    change: Literal["user_changed_number", "user_changed_user_id"]
    at: datetime
    previous_wa_id: str | None
    wa_id: str | None
    previous_user_id: str | None
    user_id: str | None
    previous_parent_user_id: str | None
    parent_user_id: str | None
    content: bytes


class TemplateChanged(Struct, frozen=True):
    """A template's status, quality, category or components changed; `event` is Meta's word for the new state."""

    waba_id: str
    aspect: Literal["status", "quality", "category", "components"]
    template_id: str | None
    name: str | None
    language: str | None
    event: str | None
    reason: str | None
    at: datetime | None
    raw: bytes


class NumberChanged(Struct, frozen=True):
    """Something about a number changed; it is named by its id, or only by its digits as displayed."""

    waba_id: str
    aspect: Literal["quality", "throughput", "name", "username", "settings", "security", "errors"]
    phone_number_id: str | None
    display_phone_number: str | None
    event: str | None
    limit: str | None
    at: datetime | None
    raw: bytes
    errors: tuple[Failed, ...] = ()


class AccountChanged(Struct, frozen=True):
    """Something about the WhatsApp Business Account or its portfolio changed."""

    waba_id: str
    aspect: Literal["account", "alert", "review", "capability", "payment", "partner"]
    event: str | None
    limit: str | None
    at: datetime | None
    raw: bytes


class PreferenceChanged(Struct, frozen=True):
    """A person stopped or resumed marketing messages; other values are kept as they came."""

    waba_id: str
    phone_number_id: str
    wa_id: str | None
    user_id: str | None
    category: str
    value: str
    at: datetime
    raw: bytes


class EchoReceived(Struct, frozen=True):
    """A message sent from the phone app of a coexisting number."""

    waba_id: str
    phone_number_id: str
    provider_message_id: str
    to_wa_id: str | None
    to_user_id: str | None
    sent_at: datetime
    original_type: str
    content: bytes


class HistoryReceived(Struct, frozen=True):
    """A chunk of a coexisting number's past; `errors` when the business declined to share it."""

    waba_id: str
    phone_number_id: str
    phase: int | None
    chunk_order: int | None
    progress: int | None
    raw: bytes
    errors: tuple[Failed, ...] = ()


class CallReceived(Struct, frozen=True):
    """A call began, changed or ended."""

    waba_id: str
    phone_number_id: str
    provider_call_id: str
    event: str
    direction: str | None
    from_wa_id: str | None
    from_user_id: str | None
    to_wa_id: str | None
    at: datetime | None
    raw: bytes


class UnknownField(Struct, frozen=True):
    """A field, or a part of one, that this release does not read."""

    waba_id: str
    field: str
    phone_number_id: str | None
    raw: bytes


class Unreadable(Struct, frozen=True):
    """A part of a callback that is not shaped as it should be; the rest was read."""

    waba_id: str | None
    field: str
    reason: str
    raw: bytes


ProviderEvent = (
    MessageReceived
    | ReceiptReceived
    | IdentityChanged
    | TemplateChanged
    | NumberChanged
    | AccountChanged
    | PreferenceChanged
    | EchoReceived
    | HistoryReceived
    | CallReceived
    | UnknownField
    | Unreadable
)
