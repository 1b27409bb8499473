"""Message content: Meta's own message objects, closed and bounded, whatever transport carries them."""

from waypost.domain.content.cards import Carousel
from waypost.domain.content.contacts import Card, Contacts
from waypost.domain.content.interactive import Interactive
from waypost.domain.content.plain import (
    Audio,
    Context,
    Document,
    Image,
    Location,
    Reaction,
    Sticker,
    Text,
    Video,
)
from waypost.domain.content.templates import Component, Language, Template

__all__ = [
    "Audio",
    "Card",
    "Carousel",
    "Component",
    "Contacts",
    "Context",
    "Document",
    "Image",
    "Interactive",
    "Language",
    "Location",
    "Reaction",
    "Sticker",
    "Template",
    "Text",
    "Video",
]
