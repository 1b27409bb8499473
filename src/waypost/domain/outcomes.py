"""What one try on the wire returned: `Sent | Failed | Unknown`, and how the outbox shall react to a failure."""

from typing import Literal

from msgspec import Struct

# Reactions, from the narrowest to the widest (what each code maps to is data: transports/cloud_api/errors).
Reaction = Literal[
    "retry",  # the platform stumbled: back off with jitter, a few tries
    "wait_pair",  # this number to this recipient only
    "wait_number",  # the whole number for a while
    "wait_account",  # every number of the account for a while
    "wait_day",  # this recipient, not before a day (131049)
    "stop_lane",  # the number cannot send until a person acts: keep its queue
    "fail",  # the message has to change: final
    "fail_contact",  # the recipient cannot be reached: final
]


class Sent(Struct, frozen=True):
    """The provider took the message; `provider_message_id` is its wamid. Proves nothing about arrival."""

    provider_message_id: str
    wa_id: str | None = None
    user_id: str | None = None
    message_status: str | None = None


class Failed(Struct, frozen=True):
    """The provider said no. `code` is Meta's error code, None when only an HTTP status told."""

    code: int | None
    reaction: Reaction
    title: str
    detail: str
    retry_after_seconds: float | None = None


class Unknown(Struct, frozen=True):
    """The request may or may not have been taken; never resent without evidence or a declared policy."""

    reason: str


Outcome = Sent | Failed | Unknown
