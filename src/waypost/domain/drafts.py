"""What a caller asks for: the body of `POST /v1/messages`, one struct per kind of content, told by `type`.

Reading is strict (see `strict_json`), and every refusal names its field. A draft's content is kept as the
bytes that later go on the wire, minus the envelope.
"""

import re
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct, field

from waypost.domain import content, strict_json
from waypost.domain.addresses import Address, parse_address
from waypost.domain.classes import MessageClass, OnUnknown
from waypost.domain.errors import CapabilityMissing, InvalidRequest, Malformed, WaypostError

BATCH_MESSAGES_MAX = 1_000
NESTING_MAX = 32

MetadataKey = Annotated[str, Meta(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Meta(max_length=512)]
AwareTime = Annotated[datetime, Meta(tz=True, description="RFC 3339 with a zone.")]


class DraftError(InvalidRequest):
    """A field of the draft is wrong; `field` is its dotted path, such as `text.body`."""


class Draft(
    Struct, frozen=True, tag_field="type", forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """What every kind of draft carries beside its content."""

    from_: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            description="The number that sends: its id (`num_…`) or its phone number with a plus sign.",
        ),
    ] = field(name="from")
    to: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=150,
            description="A phone number (plus, country code, digits), a BSUID or a contact id (`con_…`).",
        ),
    ]
    class_: Annotated[MessageClass, Meta(description="Derived from the content when absent.")] | None = field(
        name="class", default=None
    )
    context: content.Context | None = None
    not_before: Annotated[AwareTime, Meta(description="Do not send earlier.")] | None = None
    expires_at: (
        Annotated[AwareTime, Meta(description="Do not send later; every class has a default.")] | None
    ) = None
    deliver_by: (
        Annotated[
            AwareTime, Meta(description="When not known to be on the phone by then: `message.overdue`.")
        ]
        | None
    ) = None
    on_unknown: (
        Annotated[
            OnUnknown,
            Meta(description="What to do when an attempt has no answer; every class has a default."),
        ]
        | None
    ) = None
    metadata: Annotated[
        dict[MetadataKey, MetadataValue], Meta(max_length=16, description="Yours; told back in events.")
    ] = field(default_factory=dict)
    assignee: (
        Annotated[
            Literal["bot", "person"],
            Meta(description="Who speaks. Refused (409) when the conversation is assigned otherwise."),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        if self.not_before is not None:
            if self.expires_at is not None and self.expires_at <= self.not_before:
                raise ValueError("`expires_at` must be later than `not_before`")
            if self.deliver_by is not None and self.deliver_by <= self.not_before:
                raise ValueError("`deliver_by` must be later than `not_before`")


class TextDraft(Draft, frozen=True, kw_only=True, tag="text"):
    """A text."""

    text: content.Text


class ImageDraft(Draft, frozen=True, kw_only=True, tag="image"):
    """An image."""

    image: content.Image


class AudioDraft(Draft, frozen=True, kw_only=True, tag="audio"):
    """Sound or a voice note."""

    audio: content.Audio


class VideoDraft(Draft, frozen=True, kw_only=True, tag="video"):
    """A video."""

    video: content.Video


class DocumentDraft(Draft, frozen=True, kw_only=True, tag="document"):
    """A document."""

    document: content.Document


class StickerDraft(Draft, frozen=True, kw_only=True, tag="sticker"):
    """A sticker."""

    sticker: content.Sticker


class LocationDraft(Draft, frozen=True, kw_only=True, tag="location"):
    """A place."""

    location: content.Location


class ContactsDraft(Draft, frozen=True, kw_only=True, tag="contacts"):
    """Contact cards."""

    contacts: content.Contacts


class ReactionDraft(Draft, frozen=True, kw_only=True, tag="reaction"):
    """An emoji on a message."""

    reaction: content.Reaction

    def __post_init__(self) -> None:
        Draft.__post_init__(self)
        if self.context is not None:
            raise ValueError("a reaction names its message itself: `context` is not for reactions")


class TemplateDraft(Draft, frozen=True, kw_only=True, tag="template"):
    """A template message."""

    template: content.Template


class InteractiveDraft(Draft, frozen=True, kw_only=True, tag="interactive"):
    """Buttons, lists and the like."""

    interactive: content.Interactive


AnyDraft = (
    TextDraft
    | ImageDraft
    | AudioDraft
    | VideoDraft
    | DocumentDraft
    | StickerDraft
    | LocationDraft
    | ContactsDraft
    | ReactionDraft
    | TemplateDraft
    | InteractiveDraft
)


class ReadMark(Struct, frozen=True, forbid_unknown_fields=True):
    """Marks an inbound message of the last 30 days, and those before it, as read."""

    message_id: Annotated[
        str, Meta(min_length=1, max_length=512, description="The inbound message: the provider's id or ours.")
    ]


class Typing(Struct, frozen=True, forbid_unknown_fields=True):
    """Shows `typing…` for up to 25 s or until the reply; marks the message as read, too (Meta's rule)."""

    message_id: Annotated[
        str, Meta(min_length=1, max_length=512, description="The inbound message: the provider's id or ours.")
    ]


class _Batch(Struct, frozen=True, forbid_unknown_fields=True):
    messages: list[Raw]


_DRAFT: msgspec.json.Decoder[AnyDraft] = msgspec.json.Decoder(AnyDraft)
_READ_MARK = msgspec.json.Decoder(ReadMark)
_TYPING = msgspec.json.Decoder(Typing)
_BATCH = msgspec.json.Decoder(_Batch)
_ENCODE = msgspec.json.Encoder().encode

_BATCH_START = re.compile(rb'\s*\{\s*"messages"\s*:\s*\[\s*')
_BATCH_COMMA = re.compile(rb"\s*,\s*")
_BATCH_END = re.compile(rb"\s*\]\s*\}\s*")


def decode_draft(raw: bytes) -> AnyDraft:
    """Read one draft. Raises `Malformed`, `DraftError` naming the field, or `CapabilityMissing`."""
    return strict_json.decode(_DRAFT, raw, _error)


def decode_read_mark(raw: bytes) -> ReadMark:
    """Read a read mark. Raises as `decode_draft`."""
    return strict_json.decode(_READ_MARK, raw, DraftError)


def decode_typing(raw: bytes) -> Typing:
    """Read a typing command. Raises as `decode_draft`."""
    return strict_json.decode(_TYPING, raw, DraftError)


def decode_batch(raw: bytes) -> list[AnyDraft | WaypostError]:
    """Read `{"messages": […]}`: per item its draft, or the error that is its own; up to 1,000 items.

    Raises `Malformed` or `DraftError` when the batch as a whole cannot be read.
    """
    items = strict_json.decode_unchecked(_BATCH, raw, DraftError).messages
    if not 1 <= len(items) <= BATCH_MESSAGES_MAX:
        raise DraftError(
            f"A batch has between 1 and {BATCH_MESSAGES_MAX:,} messages; this one has {len(items):,}.",
            field="messages",
            remedy="Split it.",
        )
    slices = [bytes(item) for item in items]
    _check_batch_is_plain(raw, slices)
    return [_draft_or_error(item) for item in slices]


def content_kind(draft: AnyDraft) -> str:
    """The kind of content: the value of `type`."""
    return str(type(draft).__struct_config__.tag)


def content_of(draft: AnyDraft) -> bytes:
    """Write the draft's content as it goes on the wire, minus the envelope: `type`, its object, `context`."""
    kind = content_kind(draft)
    body = b'{"type":"%b","%b":%b' % (kind.encode(), kind.encode(), _ENCODE(getattr(draft, kind)))
    return body + b"}" if draft.context is None else body + b',"context":%b}' % _ENCODE(draft.context)


def recipient_of(draft: AnyDraft) -> Address:
    """Read the draft's `to`. Raises as `parse_address`; the errors name the field."""
    return parse_address(draft.to)


def default_class(draft: AnyDraft) -> MessageClass:
    """The class of a draft that names none: templates are `utility`, everything free-form is a `reply`.

    The pre-flight knows a template's category and may find better.
    """
    return "utility" if isinstance(draft, TemplateDraft) else "reply"


def _check_batch_is_plain(raw: bytes, items: list[bytes]) -> None:
    """Raise unless `raw` is exactly one `messages` array of these items: a second would hide it."""
    start = _BATCH_START.match(raw)
    at = start.end() if start else -1
    for number, item in enumerate(items):
        comma = _BATCH_COMMA.match(raw, at) if number and at >= 0 else None
        if comma is not None:
            at = comma.end()
        if at < 0 or not raw.startswith(item, at):
            at = -1
            break
        at += len(item)
    if at < 0 or not _BATCH_END.fullmatch(raw, at):
        raise Malformed(
            "The batch must be one object with one key, `messages`.",
            code="duplicate_key",
            remedy="Send every key once.",
        )


def _draft_or_error(raw: bytes) -> AnyDraft | WaypostError:
    try:
        return decode_draft(raw)
    except WaypostError as error:
        return error


def _error(message: str, *, field: str | None, remedy: str) -> WaypostError:
    """Make the error for a draft: a type of content we do not send is a missing capability, not a slip."""
    if field == "type" and not message.startswith("A required"):
        return CapabilityMissing(
            "Content of this type cannot be sent.",
            field="type",
            remedy="One of: text, image, audio, video, document, sticker, location, contacts, reaction, "
            "template, interactive.",
        )
    return DraftError(message, field=field, remedy=remedy)
