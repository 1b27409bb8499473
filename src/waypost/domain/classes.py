"""The classes of message and their defaults: how long one lives, what happens when its outcome is not known."""

from typing import Literal

from msgspec import Struct

MessageClass = Literal["otp", "reply", "utility", "marketing"]
OnUnknown = Literal["wait", "resend", "fail"]


class ClassRule(Struct, frozen=True):
    """Defaults of one class; a draft may set its own `expires_at` and `on_unknown`."""

    rank: int  # lower goes first
    expires_after_seconds: int
    on_unknown: OnUnknown
    unknown_wait_seconds: int  # how long evidence may come before `on_unknown` applies
    unknown_block_seconds: int  # how long an unknown attempt holds back its conversation
    unknown_deadline_seconds: int  # after that it is `unresolved`


# An otp is worthless late and harmless twice, so it never blocks and is resent at once. Nobody wants a marketing
# message twice, so it waits for evidence. Receipts normally come within seconds; Meta retries callbacks for days.
CLASSES: dict[MessageClass, ClassRule] = {
    "otp": ClassRule(0, 600, "resend", 5, 0, 600),
    "reply": ClassRule(1, 86_400, "wait", 30, 60, 3_600),
    "utility": ClassRule(2, 259_200, "wait", 60, 300, 21_600),
    "marketing": ClassRule(3, 259_200, "wait", 60, 300, 21_600),
}
RANKS: dict[int, MessageClass] = {rule.rank: name for name, rule in CLASSES.items()}
