"""Evidence: what answers and receipts prove about attempts, and what that makes of their messages.

Written whatever the epoch (only claims are fenced), in any order, any number of times. Each attempt keeps what is
known of it; the message's status is a join over its attempts: a failure counts only when no other attempt may have
gone out. All rows of a batch are loaded once, changed in memory and written back together.
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from msgspec import Struct

from waypost.domain.outcomes import Failed
from waypost.domain.statuses import Evidence, Status, after
from waypost.domain.times import from_ms
from waypost.store.lines import promote_all
from waypost.store.transaction import Line, Row, Transaction

encode_json = msgspec.json.encode
ReceiptStatus = Literal["sent", "delivered", "read", "played", "failed"]


class AttemptState(Struct):
    """An attempt while a batch works on it; times in milliseconds."""

    id: str
    tenant_id: str
    message_id: str
    number_id: str
    ordinal: int
    state: str
    answered_at: int | None
    provider_message_id: str | None
    failure: bytes | None
    sent_at: int | None
    delivered_at: int | None
    read_at: int | None
    played_at: int | None
    failed_at: int | None
    pricing: bytes | None
    changed: bool = False
    has_stored_provider_id: bool = False


class MessageState(Struct):
    """A message while a batch works on it."""

    id: str
    tenant_id: str
    number_id: str
    contact_id: str
    content_id: str
    status: Status
    reason: str | None
    attempts: int
    attempt_id: str | None
    due_at: int
    expires_at: int
    unknown_since: int | None
    failure: bytes | None
    version: int
    recipient_kind: str
    changed: bool = False


class Bench:
    """The attempts and messages a batch of evidence touches, loaded once and saved once."""

    def __init__(self, tx: Transaction, attempt_ids: Iterable[str], provider_ids: Iterable[str] = ()) -> None:
        self.tx = tx
        self.attempts: dict[str, AttemptState] = {}
        self.by_provider_id: dict[str, AttemptState] = {}
        self.messages: dict[str, MessageState] = {}
        self.freed: set[tuple[str, str]] = set()
        for row in tx.rows_in(_LOAD_ATTEMPTS, attempt_ids):
            self._keep(AttemptState(*row))
        missing = [p for p in provider_ids if p not in self.by_provider_id]
        for row in tx.rows_in(_LOAD_BY_PROVIDER_ID, missing):
            if row[0] not in self.attempts:
                self._keep(AttemptState(*row))
        for row in tx.rows_in(_LOAD_MESSAGES, {a.message_id for a in self.attempts.values()}):
            self.messages[row[0]] = MessageState(*row)

    def _keep(self, attempt: AttemptState) -> None:
        self.attempts[attempt.id] = attempt
        if attempt.provider_message_id is not None:
            attempt.has_stored_provider_id = True
            self.by_provider_id[attempt.provider_message_id] = attempt

    def move(
        self,
        attempt: AttemptState,
        evidence: Evidence,
        at: int,
        *,
        actor: str = "meta",
        reason: str | None = None,
        failure: bytes | None = None,
        due_at: int | None = None,
        facts: dict[str, Any] | None = None,
    ) -> bool:
        """Apply one piece of evidence to the attempt's message and journal the change; False: nothing new."""
        message = self.messages[attempt.message_id]
        if evidence in ("stumbled", "refused_by_provider", "lost") and attempt.id != message.attempt_id:
            # A late failure of attempt 1 must not fail a message whose attempt 2 speaks for it now.
            return False
        if evidence == "refused_by_provider" and message.attempts > 1 and self._in_doubt(attempt):
            # This try is refused for good, but an earlier one may have gone out: that is not a failure yet.
            evidence = "lost"
        status = after(message.status, evidence)
        if status is None:
            return False
        was_blocking = message.status in ("sending", "unknown")
        message.status, message.reason = status, reason
        message.unknown_since = at if status == "unknown" else None
        message.version += 1
        message.changed = True
        if failure is not None:
            message.failure = failure
        if due_at is not None:
            message.due_at = due_at
            self.tx.wake(message.number_id)
        self.tx.journal(
            Line(
                message.tenant_id,
                f"message.{status}",
                message.id,
                message.version,
                actor,
                from_ms(at),
                reason=reason,
                number_id=message.number_id,
                contact_id=message.contact_id,
                content_id=message.content_id,
                facts={"attempt_id": attempt.id, **(facts or {})},
            )
        )
        if was_blocking or status not in ("sending", "unknown"):
            self.freed.add((message.number_id, message.contact_id))
        return True

    def take(self, attempt: AttemptState, at: int) -> None:
        """Note that the provider has this attempt; when it has another of the same message, too, tell of the double."""
        if attempt.state == "sent":
            return
        attempt.state, attempt.changed = "sent", True
        if self.messages[attempt.message_id].attempts > 1 and "sent" in self._others(attempt):
            self._tell(attempt, "message.doubled", at, {})

    def _in_doubt(self, attempt: AttemptState) -> bool:
        """Tell whether another attempt of the same message has no known outcome."""
        return "unknown" in self._others(attempt)

    def _others(self, attempt: AttemptState) -> list[str]:
        """Give the states of the message's other attempts."""
        return [
            self.attempts[i].state if i in self.attempts else state
            for i, state in self.tx.rows(
                "SELECT id, state FROM attempts WHERE message_id = ? AND id <> ?",
                (attempt.message_id, attempt.id),
            )
        ]

    def note(self, attempt: AttemptState, at: int, facts: dict[str, Any]) -> None:
        """Journal evidence that left the message's status as it was."""
        self._tell(attempt, "attempt.receipted", at, facts)

    def _tell(self, attempt: AttemptState, kind: str, at: int, facts: dict[str, Any]) -> None:
        message = self.messages[attempt.message_id]
        message.version += 1
        message.changed = True
        self.tx.journal(
            Line(
                message.tenant_id,
                kind,
                message.id,
                message.version,
                "meta",
                from_ms(at),
                number_id=message.number_id,
                contact_id=message.contact_id,
                facts={"attempt_id": attempt.id, **facts},
            )
        )

    def save(self, now_ms: int) -> None:
        """Write back what changed and let the lines behind move up."""
        changed = [attempt for attempt in self.attempts.values() if attempt.changed]
        # Apart, because its index is random in time: rewriting an id already there would dirty a page per receipt.
        learnt = [a for a in changed if a.provider_message_id is not None and not a.has_stored_provider_id]
        known = [a for a in changed if a.provider_message_id is None or a.has_stored_provider_id]
        self.tx.many(_SAVE_ATTEMPT, [_attempt_row(attempt) for attempt in known])
        self.tx.many(_SAVE_LEARNT, [(a.provider_message_id, *_attempt_row(a)) for a in learnt])
        self.tx.many(
            _SAVE_MESSAGE,
            [
                (m.status, m.reason, m.due_at, m.unknown_since, m.failure, m.version, now_ms, m.id)
                for m in self.messages.values()
                if m.changed
            ],
        )
        promote_all(self.tx, self.freed, now_ms)


_ATTEMPT = (
    "id, tenant_id, message_id, number_id, ordinal, state, answered_at, provider_message_id, failure, sent_at,"
    " delivered_at, read_at, played_at, failed_at, pricing"
)
_LOAD_ATTEMPTS = f"SELECT {_ATTEMPT} FROM attempts WHERE id IN (%s)"
_LOAD_BY_PROVIDER_ID = f"SELECT {_ATTEMPT} FROM attempts WHERE provider_message_id IN (%s)"
_LOAD_MESSAGES = (
    "SELECT id, tenant_id, number_id, contact_id, content_id, status, reason, attempts, attempt_id, due_at,"
    " expires_at, unknown_since, failure, version, recipient_kind FROM messages WHERE id IN (%s)"
)
_SAVE_ATTEMPT = (
    "UPDATE attempts SET state = ?, answered_at = ?, failure = ?, sent_at = ?, delivered_at = ?, read_at = ?,"
    " played_at = ?, failed_at = ?, pricing = ? WHERE id = ?"
)
_SAVE_LEARNT = _SAVE_ATTEMPT.replace(" SET ", " SET provider_message_id = ?, ")
_SAVE_MESSAGE = (
    "UPDATE messages SET status = ?, reason = ?, due_at = ?, unknown_since = ?, failure = ?, version = ?,"
    " changed_at = ? WHERE id = ?"
)


def _attempt_row(attempt: AttemptState) -> Row:
    return (
        attempt.state,
        attempt.answered_at,
        attempt.failure,
        attempt.sent_at,
        attempt.delivered_at,
        attempt.read_at,
        attempt.played_at,
        attempt.failed_at,
        attempt.pricing,
        attempt.id,
    )


def failure_bytes(failure: Failed) -> bytes:
    """Give a failure as it is kept in rows: code, title and detail."""
    return encode_json({"code": failure.code, "title": failure.title, "detail": failure.detail})
