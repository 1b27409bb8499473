"""From what Meta answered to an outcome: the error envelope by its code, everything else by its HTTP status.

The one question that matters: can the message have gone out? Where it can, the outcome is `Unknown` and evidence
decides; only an answer that proves it was not taken is a `Failed`.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from waypost.domain.outcomes import Failed, Outcome, Reaction, Sent, Unknown
from waypost.transports.cloud_api.error_table import BY_CODE, ErrorRule

DETAIL_CHARACTERS_MAX = 500
RETRY_AFTER_SECONDS_MAX = 86_400.0 * 3  # the longest wait Meta documents (registration, 72 h)

_WAITS: frozenset[Reaction] = frozenset({"retry", "wait_pair", "wait_number", "wait_account", "wait_day"})


class _Message(msgspec.Struct):
    id: str
    message_status: str | None = None


class _Contact(msgspec.Struct):
    wa_id: str | None = None
    user_id: str | None = None


class _Accepted(msgspec.Struct):
    messages: list[_Message]
    contacts: list[_Contact] = []


_ACCEPTED = msgspec.json.Decoder(_Accepted)
_ANY = msgspec.json.Decoder()


def outcome_of(status: int, headers: Mapping[str, str], body: bytes, now: datetime | None = None) -> Outcome:
    """Read the HTTP answer to a send. `now` (aware) is needed only for a `Retry-After` that is a date."""
    if 200 <= status < 300:
        try:
            accepted = _ACCEPTED.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            accepted = None
        if accepted is not None and accepted.messages and accepted.messages[0].id:
            message = accepted.messages[0]
            contact = accepted.contacts[0] if accepted.contacts else _Contact()
            return Sent(message.id, contact.wa_id, contact.user_id, message.message_status)
    error = _envelope(body)
    if error is not None:
        return _failure(error, status, headers, now)
    if 200 <= status < 300:
        # Meta took the request and answered something we cannot read: it may well be on its way.
        return Unknown(f"HTTP {status} without a message id")
    return _by_status(status, headers, now)


def failure_of(error: object) -> Failed:
    """Read one error object of a webhook: `{code, title, message, error_data: {details}}`, whatever is missing."""
    return _failure(error if isinstance(error, dict) else {}, None, {}, None)


def command_failure(
    status: int, headers: Mapping[str, str], body: bytes, now: datetime | None = None
) -> Failed | None:
    """Read the HTTP answer to a command that may be repeated safely; None when it succeeded."""
    error = _envelope(body)
    if error is not None:
        return _failure(error, status, headers, now)
    if 200 <= status < 300:
        return None
    outcome = _by_status(status, headers, now)
    if isinstance(outcome, Failed):
        return outcome
    return Failed(None, "retry", f"HTTP {status}", "The answer is not Meta's.", None)


def rule_of(code: int | None) -> ErrorRule | None:
    """The row of the table for a code: its remedy is for people. None for a code not known here."""
    return None if code is None else BY_CODE.get(code)


def _envelope(body: bytes) -> dict[str, Any] | None:
    try:
        answer = _ANY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    error = answer.get("error") if isinstance(answer, dict) else None
    return error if isinstance(error, dict) and "code" in error else None


def _failure(
    error: dict[str, Any], status: int | None, headers: Mapping[str, str], now: datetime | None
) -> Failed:
    code = _whole_number(error.get("code"))
    rule = rule_of(code)
    reaction: Reaction
    if rule is not None:
        # 100 with subcode 33: the phone number id is gone or not the token's to use. No message will get through.
        gone = code == 100 and _whole_number(error.get("error_subcode")) == 33
        reaction = "stop_lane" if gone else rule.reaction
        title, delay = rule.title, rule.retry_delay_seconds
    else:
        reaction = _reaction_to_unknown_code(error, status)
        title, delay = _text(error.get("title"), error.get("error_user_title"), error.get("type")), None
    if reaction in _WAITS:
        delay = _told_delay(headers, now) or delay
    told = error.get("error_data")  # a plain string in some Graph errors
    details = told.get("details") if isinstance(told, dict) else told
    detail = _text(details, error.get("error_user_msg"), error.get("message"), error.get("title"))
    return Failed(code, reaction, title or "Unknown error", detail[:DETAIL_CHARACTERS_MAX], delay)


def _reaction_to_unknown_code(error: dict[str, Any], status: int | None) -> Reaction:
    if error.get("is_transient") is True:
        return "retry"
    if status is None:
        return "fail"  # a failed receipt: the attempt is over, and nothing says that another would do better
    if status == 429:
        return "wait_number"
    if status == 401:
        return "stop_lane"
    # Permission codes are all in the table, so another 403 is about this message (a country, a group).
    return "retry" if status >= 500 else "fail"


def _by_status(status: int, headers: Mapping[str, str], now: datetime | None) -> Outcome:
    """Judge an answer without Meta's envelope: it comes from a proxy, a vendor's gateway, or a wrong address."""
    title = f"HTTP {status}"
    told = _told_delay(headers, now)
    if status == 429:
        return Failed(None, "wait_number", title, "Too many requests.", told)
    if status == 503:
        # By its meaning (RFC 9110) refused before it was worked on.
        return Failed(None, "retry", title, "Unavailable for a moment.", told)
    if status >= 500 or status == 408 or status < 200:
        # 500, 502, 504 of a gateway: the request may have reached Meta before the answer was lost.
        return Unknown(f"{title} without Meta's error")
    if status in (401, 403, 407):
        return Failed(None, "stop_lane", title, "The token, or the header it is sent in, is not accepted.")
    if status < 400 or status in (404, 405, 410):
        # A redirect or an unknown path: the address is wrong, for this message and for all others.
        return Failed(None, "stop_lane", title, "The base URL or the Graph version is wrong.")
    return Failed(None, "fail", title, "The request was refused without a reason.")


def _told_delay(headers: Mapping[str, str], now: datetime | None) -> float | None:
    """How long the answer says to wait: the longer of `Retry-After` and Meta's usage header."""
    found = {name.lower(): value for name, value in headers.items()} if headers else {}
    delays = [*_retry_after(found.get("retry-after"), now), *_usage(found.get("x-business-use-case-usage"))]
    return min(max(delays), RETRY_AFTER_SECONDS_MAX) if delays else None


def _retry_after(text: str | None, now: datetime | None) -> Iterable[float]:
    if not text:
        return
    if text.strip().isdecimal() and text.isascii():
        yield float(text[:12])
    elif now is not None:
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, TypeError, OverflowError):
            return
        yield max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())


def _usage(text: str | None) -> Iterable[float]:
    """Meta's `{business: [{estimated_time_to_regain_access: minutes}]}`."""
    if not text:
        return
    try:
        usage = _ANY.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return
    for rows in usage.values() if isinstance(usage, dict) else ():
        for row in rows if isinstance(rows, list) else ():
            minutes = row.get("estimated_time_to_regain_access") if isinstance(row, dict) else None
            if isinstance(minutes, int | float) and minutes > 0:
                yield float(minutes) * 60.0


def _whole_number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 12:
        return int(value)
    return None


def _text(*values: object) -> str:
    return next((value for value in values if isinstance(value, str) and value), "")
