"""Recording a provider's no, whether an answer or a receipt brought it: the message retries or fails, its lane slows
or stops, all in the same transaction."""

from datetime import datetime

from msgspec import Struct

from waypost.domain.outcomes import Failed
from waypost.domain.retry import Plan, RetryRules, plan
from waypost.domain.times import from_ms, to_ms
from waypost.store.evidence import AttemptState, Bench, failure_bytes
from waypost.store.transaction import Line, Transaction


def record_failure(
    tx: Transaction,
    bench: Bench,
    attempt: AttemptState,
    failure: Failed,
    rules: RetryRules,
    at: int,
    *,
    actor: str,
) -> bool:
    """Write a provider's no, from an answer or a receipt; False when it told nothing new."""
    if attempt.state == "failed" or attempt.delivered_at or attempt.read_at or attempt.played_at:
        return False
    message = bench.messages[attempt.message_id]
    attempt.state, attempt.failed_at, attempt.failure = "failed", at, failure_bytes(failure)
    attempt.changed = True
    follows = plan(failure, attempt.ordinal, attempt.id, from_ms(at), from_ms(message.expires_at), rules)
    facts = {"code": failure.code, "title": failure.title, "reaction": failure.reaction}
    if follows.due_at is None:
        moved = bench.move(
            attempt,
            "refused_by_provider",
            at,
            actor=actor,
            reason=follows.reason,
            failure=attempt.failure,
            facts=facts,
        )
    else:
        due_at = to_ms(follows.due_at)
        moved = bench.move(
            attempt,
            "stumbled",
            at,
            actor=actor,
            reason=follows.reason,
            failure=attempt.failure,
            due_at=due_at,
            facts={**facts, "due_at": follows.due_at.isoformat()},
        )
    _slow(tx, attempt, follows, failure, at)
    return moved


def _slow(tx: Transaction, attempt: AttemptState, follows: Plan, failure: Failed, at: int) -> None:
    if follows.stop:
        stop_number(tx, StopNumber(attempt.tenant_id, attempt.number_id, failure, from_ms(at)))
    if follows.slow_until is None:
        return
    until = to_ms(follows.slow_until)
    scope = "number_id = ?"
    if follows.slow_scope == "account":
        scope = (
            "number_id IN (SELECT id FROM numbers WHERE waba_id = (SELECT waba_id FROM numbers WHERE id = ?))"
        )
    tx.execute(
        f"UPDATE lanes SET slow_until = ?, slow_reason = ?, slow_count = slow_count + 1"
        f" WHERE slow_until < ? AND {scope}",
        (until, follows.reason, until, attempt.number_id),
    )


class StopNumber(Struct, frozen=True):
    """A number that cannot send until a person acts."""

    tenant_id: str
    number_id: str
    failure: Failed
    now: datetime


def stop_number(tx: Transaction, stop: StopNumber) -> bool:
    """Open the lane's circuit: the queue is kept, the reason is shown, `resume` closes it."""
    row = tx.one(
        "SELECT state, version FROM numbers WHERE id = ? AND tenant_id = ?", (stop.number_id, stop.tenant_id)
    )
    if row is None or row[0] != "active":
        return False
    reason = "http" if stop.failure.code is None else str(stop.failure.code)
    tx.execute(
        "UPDATE numbers SET state = 'stopped', state_reason = ?, version = ? WHERE id = ?",
        (f"{reason}: {stop.failure.title}", row[1] + 1, stop.number_id),
    )
    tx.journal(
        Line(
            stop.tenant_id,
            "number.stopped",
            stop.number_id,
            row[1] + 1,
            "gateway",
            stop.now,
            reason=reason,
            number_id=stop.number_id,
            facts={"title": stop.failure.title, "code": stop.failure.code},
        )
    )
    return True
