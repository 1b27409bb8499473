"""The status of a message, as data: one table, with its theory on top.

Theory. A message is a promise; its attempts are evidence. Two kinds of move change a status:

* *commands* are ours to give (claim, hold, cancel, …). Where the table has no entry the command is not allowed.
* *evidence* comes from the wire (an answer, a receipt) in any order, late, twice. Where the table has no entry it
  changes nothing: evidence never moves a status back. `delivered` beats `failed`, whichever came first, because a
  message's status is a join over all its attempts.

    accepted ─┬─ claim ──> sending ──> sent ──> delivered ──> read ──> played
    held ─────┤               │          └────────> failed (a receipt said so)
    retrying ─┘               ├──> retrying (the provider stumbled) ── claim ──> sending …
                              ├──> failed   (the provider refused for good)
                              └──> unknown  (no answer): a receipt settles it, or its class's policy resends it, or
                                            its deadline makes it `unresolved`, which later evidence may still correct

Waiting statuses are claimable; only `sending` and `unknown` block the conversation behind them; final statuses owe
nothing more, although receipts still enrich `sent` and better.
"""

from typing import Literal

Status = Literal[
    "accepted",
    "held",
    "retrying",
    "sending",
    "unknown",
    "sent",
    "delivered",
    "read",
    "played",
    "failed",
    "expired",
    "cancelled",
    "refused",
    "unresolved",
]
Command = Literal[
    "claim", "hold", "release", "expire", "cancel", "refuse", "give_up", "resend", "settle_failed", "restore"
]
Evidence = Literal["lost", "stumbled", "refused_by_provider", "sent", "delivered", "read", "played"]
Move = Command | Evidence

WAITING: tuple[Status, ...] = ("accepted", "held", "retrying")
BLOCKING: tuple[Status, ...] = ("sending", "unknown")
TAKEN: tuple[Status, ...] = ("sent", "delivered", "read", "played")
FINAL: tuple[Status, ...] = (*TAKEN, "failed", "expired", "cancelled", "refused", "unresolved")

COMMANDS: frozenset[Move] = frozenset(
    {
        "claim",
        "hold",
        "release",
        "expire",
        "cancel",
        "refuse",
        "give_up",
        "resend",
        "settle_failed",
        "restore",
    }
)

# Statuses from which the wire may still prove that the message went out: everything that is not already better.
_NOT_YET_SENT: tuple[Status, ...] = (
    "sending",
    "unknown",
    "unresolved",
    "retrying",
    "held",
    "failed",
    "expired",
    "cancelled",
    "refused",
)


def _table() -> dict[tuple[Status, Move], Status]:
    moves: dict[tuple[Status, Move], Status] = {}
    for status in WAITING:
        moves[status, "claim"] = "sending"
        moves[status, "hold"] = "held"
        moves[status, "expire"] = "expired"
        moves[status, "cancel"] = "cancelled"
        moves[status, "refuse"] = "refused"
    moves["held", "release"] = "accepted"
    # What a restored store took before its recovery point may have gone out after it.
    for status in (*WAITING, "sending"):
        moves[status, "restore"] = "unknown"
    # A retry that is settled by hand as never to go.
    moves["retrying", "settle_failed"] = "failed"

    # The answer, or its absence.
    moves["sending", "lost"] = "unknown"
    moves["sending", "stumbled"] = "retrying"
    moves["unknown", "stumbled"] = "retrying"
    moves["sent", "stumbled"] = "retrying"  # a failed receipt whose code allows another attempt
    for status in ("sending", "unknown", "unresolved", "sent", "retrying"):
        moves[status, "refused_by_provider"] = "failed"

    # An unknown outcome: resent by the declared policy of its class, settled by hand, or given up at its deadline.
    moves["unknown", "resend"] = "retrying"
    moves["unknown", "settle_failed"] = "failed"
    moves["unresolved", "settle_failed"] = "failed"
    moves["unknown", "give_up"] = "unresolved"

    # Receipts only move forward; any of them settles what was in doubt.
    for status in _NOT_YET_SENT:
        moves[status, "sent"] = "sent"
    for status in (*_NOT_YET_SENT, "sent"):
        moves[status, "delivered"] = "delivered"
    for status in (*_NOT_YET_SENT, "sent", "delivered"):
        moves[status, "read"] = "read"
    for status in (*_NOT_YET_SENT, "sent", "delivered", "read"):
        moves[status, "played"] = "played"
    return moves


TABLE: dict[tuple[Status, Move], Status] = _table()


def after(status: Status, move: Move) -> Status | None:
    """Give the status after `move`, or None: not allowed (a command) or nothing new (evidence)."""
    return TABLE.get((status, move))
