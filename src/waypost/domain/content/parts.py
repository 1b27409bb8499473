"""Pieces that several kinds of content share: the strict base, bounded texts, media by id or link, headers.

Limits are Meta's as of November 2026 (documentation of late 2025 to September 2026).
"""

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

Json = Any  # any JSON value, where Meta lets the business choose the shape

Text20 = Annotated[str, Meta(min_length=1, max_length=20)]
Text24 = Annotated[str, Meta(min_length=1, max_length=24)]
Text60 = Annotated[str, Meta(min_length=1, max_length=60)]
Text1024 = Annotated[str, Meta(min_length=1, max_length=1024)]
Text4096 = Annotated[str, Meta(min_length=1, max_length=4096)]
Required = Annotated[str, Meta(min_length=1, max_length=4096)]
Caption = Annotated[str, Meta(max_length=1024, description="Shown under the media.")]
Url = Annotated[
    str,
    Meta(pattern=r"^https?://\S+$", max_length=2000, description="An address that starts with http(s)://."),
]
ProviderMessageId = Annotated[
    str, Meta(min_length=1, max_length=512, description="The provider's message id (`wamid.…`).")
]
Country = Annotated[str, Meta(pattern="^[A-Z]{2}$")]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217 code, upper case.")]


class Part(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every content object: closed, and without its defaults on the wire."""


def settle(part: Struct, field: str, value: object) -> None:
    """Replace a field by its normalised form; only for `__post_init__`, before it is shared."""
    force_setattr(part, field, value)


def number_of(value: float | str, what: str, low: float, high: float) -> float:
    """Read a number that clients send as number or text; `ValueError` outside `low`..`high`."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"{what} must be a number") from None
    if not low <= number <= high:
        raise ValueError(f"{what} must be between {low:g} and {high:g}")
    return number


def unique(values: list[str], what: str) -> None:
    """Raise `ValueError` when a value occurs twice."""
    if len(set(values)) != len(values):
        raise ValueError(f"{what} must be unique within the message")


def between(count: int, low: int, high: int, what: str) -> None:
    """Raise `ValueError` when `count` lies outside `low`..`high`."""
    if not low <= count <= high:
        raise ValueError(f"between {low} and {high} {what} are allowed, {count} given")


class MediaSource(Part, frozen=True):
    """Media named by the id of an upload or by a public link: exactly one of the two."""

    id: (
        Annotated[
            str, Meta(min_length=1, max_length=512, description="Id of uploaded media; not with `link`.")
        ]
        | None
    ) = None
    link: Url | None = None

    def __post_init__(self) -> None:
        if (self.id is None) == (self.link is None):
            raise ValueError("give exactly one of `id` and `link`")


class LinkedMedia(Part, frozen=True):
    """Media by public link only."""

    link: Url


class DocumentSource(MediaSource, frozen=True):
    """A document in a header, with the name the recipient sees."""

    filename: Annotated[str, Meta(max_length=240)] | None = None


class Body(Part, frozen=True):
    """The main text of an interactive message."""

    text: Text1024


class LongBody(Part, frozen=True):
    """The main text of a list message, which may be longer."""

    text: Text4096


class Footer(Part, frozen=True):
    """The small grey line under an interactive message."""

    text: Text60


class TextHeader(Part, frozen=True, tag_field="type", tag="text"):
    """A line of text above an interactive message."""

    text: Text60


class ImageHeader(Part, frozen=True, tag_field="type", tag="image"):
    """An image above an interactive message."""

    image: MediaSource


class VideoHeader(Part, frozen=True, tag_field="type", tag="video"):
    """A video above an interactive message."""

    video: MediaSource


class DocumentHeader(Part, frozen=True, tag_field="type", tag="document"):
    """A document above an interactive message."""

    document: DocumentSource


AnyHeader = TextHeader | ImageHeader | VideoHeader | DocumentHeader
