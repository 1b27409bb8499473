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


class Facts(Struct, frozen=True):
    """What the rules may look at, gathered in the transaction that claims. Times in milliseconds since the epoch."""

    message_class: str
    type: str
    assignee: str | None  # who speaks, as the draft said
    conversation_assignee: str | None
    window_expires_at: int | None
    expires_at: int
    now: int
    withdrawn_from: str | None = None  # the widest purpose the contact said no to
    may_miss_withdrawals: bool = False  # restored, and the second place is not replayed
