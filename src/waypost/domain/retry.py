"""After a failure: what becomes of the message and of its lane, as pure rules over the reaction.

Jitter comes from the attempt's own id (its last characters are chance), so that a plan can be computed again and
seeded runs stay repeatable.
"""

from datetime import datetime, timedelta
from typing import Literal, assert_never

from msgspec import Struct

from waypost.domain.outcomes import Failed


class RetryRules(Struct, frozen=True):
    """Bounds of the backoff, in seconds, and how many tries a stumbling platform gets."""

    attempts_max: int = 8
    backoff_seconds_min: float = 2.0
    backoff_seconds_max: float = 900.0


class Plan(Struct, frozen=True):
    """`due_at` None: final. `slow_until`: nothing of `slow_scope` goes before. `stop`: a person has to act."""

    due_at: datetime | None
    reason: str
    slow_scope: Literal["none", "pair", "number", "account"] = "none"
    slow_until: datetime | None = None
    stop: bool = False


_DAY_SECONDS = 86_400.0
# Meta: retry a pair limit after 4^n seconds (131056).
_PAIR_BASE = 4.0
_PAIR_SECONDS_MAX = 4.0**6


def plan(
    failure: Failed, ordinal: int, attempt_id: str, now: datetime, expires_at: datetime, rules: RetryRules
) -> Plan:
    """Say what follows the failure of attempt number `ordinal` (from 1)."""
    reason = "http" if failure.code is None else str(failure.code)
    match failure.reaction:
        case "fail" | "fail_contact":
            return Plan(None, reason)
        case "stop_lane":
            return Plan(now, reason, stop=True)
        case "retry":
            if ordinal >= rules.attempts_max:
                return Plan(None, reason)
            return _at(failure, _backoff(rules, ordinal, attempt_id), now, expires_at, reason)
        case "wait_pair":
            seconds = min(_PAIR_BASE ** (ordinal - 1), _PAIR_SECONDS_MAX)
            return _at(failure, seconds, now, expires_at, reason, "pair")
        case "wait_number":
            return _at(failure, _backoff(rules, ordinal, attempt_id), now, expires_at, reason, "number")
        case "wait_account":
            return _at(
                failure, max(60.0, _backoff(rules, ordinal, attempt_id)), now, expires_at, reason, "account"
            )
        case "wait_day":
            return _at(failure, _DAY_SECONDS * (1 + _jitter(attempt_id) / 10), now, expires_at, reason)
    assert_never(failure.reaction)


def _at(
    failure: Failed,
    seconds: float,
    now: datetime,
    expires_at: datetime,
    reason: str,
    scope: Literal["none", "pair", "number", "account"] = "none",
) -> Plan:
    wait = max(seconds, failure.retry_after_seconds or 0.0)
    due_at = now + timedelta(seconds=wait)
    # A Retry-After speaks of the whole number, whatever the code.
    if scope == "none" and failure.retry_after_seconds is not None:
        scope = "number"
    slow_until = None if scope in ("none", "pair") else due_at
    # Expiry beats retry: a message that would wait past its own end fails now, with the provider's reason.
    return Plan(None if due_at >= expires_at else due_at, reason, scope, slow_until)


def _backoff(rules: RetryRules, ordinal: int, attempt_id: str) -> float:
    ceiling = min(rules.backoff_seconds_min * 2.0 ** (ordinal - 1), rules.backoff_seconds_max)
    return ceiling * (0.5 + _jitter(attempt_id) / 2)


def _jitter(attempt_id: str) -> float:
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    value = 0
    for character in attempt_id[-4:]:
        value = value * 32 + max(alphabet.find(character), 0)
    return value / 32**4
