"""What the policies said about a message: `Allow | Hold(until, reason) | Refuse(reason)`."""

from datetime import datetime

from msgspec import Struct


class Allow(Struct, frozen=True):
    """The message may go now."""


class Hold(Struct, frozen=True):
    """Not now: ask again at `until` (None: when what holds it is lifted by a person)."""

    reason: str
    until: datetime | None = None


class Refuse(Struct, frozen=True):
    """Not ever; final."""

    reason: str


Decision = Allow | Hold | Refuse
