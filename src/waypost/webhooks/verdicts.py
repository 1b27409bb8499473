"""What an endpoint's answer means: yes, no to this event, not now as a whole, or never again."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from msgspec import Struct

from waypost.transports.egress import Reply, Unreachable

# A longer wait asked for by an endpoint is cut: tomorrow is soon enough to ask again.
_RETRY_AFTER_SECONDS_MAX = 86_400.0
# Answers of the endpoint as a whole although they are 4xx: too slow, too early, too many.
_WHOLE = frozenset({408, 425, 429})

Meaning = Literal["told", "refused", "failing", "gone"]


class Verdict(Struct, frozen=True):
    """`refused`: this event; `failing`: the endpoint. `fault` is a stable word, e.g. `http_503` or `timeout`."""

    meaning: Meaning
    fault: str
    retry_after_seconds: float | None = None


def verdict_of(answer: Reply | Unreachable, now: datetime) -> Verdict:
    """Judge an answer. A redirect is a failure: where it leads was checked by nobody."""
    if isinstance(answer, Unreachable):
        return Verdict("failing", answer.fault)
    status = answer.status
    fault = f"http_{status}"
    if 200 <= status < 300:
        return Verdict("told", fault)
    if status == 410:
        return Verdict("gone", fault)
    if 400 <= status < 500 and status not in _WHOLE:
        return Verdict("refused", fault)
    return Verdict("failing", fault, _retry_after(answer.headers.get("retry-after"), now))


def _retry_after(text: str | None, now: datetime) -> float | None:
    """Read seconds or a date (RFC 9110 §10.2.3); nonsense is as good as nothing."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _RETRY_AFTER_SECONDS_MAX)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), _RETRY_AFTER_SECONDS_MAX)
