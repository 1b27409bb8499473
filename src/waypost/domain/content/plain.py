"""Plain messages: text, media, location, reaction, and the message a reply quotes."""

from typing import Annotated

from msgspec import Meta

from waypost.domain.content.parts import (
    Caption,
    MediaSource,
    Part,
    ProviderMessageId,
    Text4096,
    number_of,
    settle,
)


class Context(Part, frozen=True):
    """The message that this one replies to. The quote is missing when it is over 30 days old or unknown."""

    message_id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=512,
            description="The quoted message: the provider's id or ours (`msg_…`).",
        ),
    ]


class Text(Part, frozen=True):
    """A text of up to 4,096 characters."""

    body: Text4096
    preview_url: Annotated[bool, Meta(description="Show a preview of the first link.")] = False


class Image(MediaSource, frozen=True):
    """A JPEG or PNG of up to 5 MB."""

    caption: Caption | None = None


class Audio(MediaSource, frozen=True):
    """Sound of up to 16 MB; a voice note when `voice` is set."""

    voice: Annotated[bool, Meta(description="Send as a voice note: needs OGG with the OPUS codec, mono.")] = (
        False
    )


class Video(MediaSource, frozen=True):
    """An MP4 or 3GPP video of up to 16 MB."""

    caption: Caption | None = None


class Document(MediaSource, frozen=True):
    """A document of up to 100 MB."""

    caption: Caption | None = None
    filename: Annotated[str, Meta(max_length=240, description="The name the recipient sees.")] | None = None


class Sticker(MediaSource, frozen=True):
    """A WebP sticker of 512 x 512 pixels: up to 100 KB, animated 500 KB."""


class Location(Part, frozen=True):
    """A place on the map. Coordinates are accepted as text too, and kept as numbers."""

    latitude: Annotated[float | str, Meta(description="Degrees, -90 to 90.")]
    longitude: Annotated[float | str, Meta(description="Degrees, -180 to 180.")]
    name: Annotated[str, Meta(max_length=1000)] | None = None
    address: Annotated[str, Meta(max_length=1000)] | None = None

    def __post_init__(self) -> None:
        settle(self, "latitude", number_of(self.latitude, "latitude", -90, 90))
        settle(self, "longitude", number_of(self.longitude, "longitude", -180, 180))


class Reaction(Part, frozen=True):
    """An emoji on a message of the last 30 days; an empty one takes it back."""

    message_id: ProviderMessageId
    emoji: Annotated[str, Meta(max_length=64, description="One emoji; empty removes the reaction.")]
