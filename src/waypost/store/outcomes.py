"""Recording what an attempt returned: `Sent | Failed | Unknown`, and what that does to message and lane."""

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from msgspec import Struct

from waypost.domain.outcomes import Failed, Outcome, Sent, Unknown
from waypost.domain.retry import RetryRules
from waypost.domain.times import to_ms
from waypost.store.contacts import AliasSeen, ContactSeen, find, resolve
from waypost.store.engine import single
from waypost.store.evidence import AttemptState, Bench
from waypost.store.failures import record_failure
from waypost.store.receipts import unpark
from waypost.store.transaction import Transaction


class Answered(Struct, frozen=True):
    """The outcome of one attempt. `recipient` is what was spoken to, to learn a differing `wa_id` from."""

    attempt_id: str
    outcome: Outcome
    recipient: str
    rules: RetryRules
    now: datetime


class Recorded(Struct, frozen=True):
    """What became of it; `due_at` in milliseconds when it goes again."""

    status: str
    due_at: int | None = None


def record_outcomes(tx: Transaction, items: Sequence[Answered]) -> Sequence[Recorded]:
    """Write outcomes; a lane told to wait or stop is slowed or stopped in the same transaction."""
    bench = Bench(tx, [item.attempt_id for item in items])
    results: list[Recorded] = []
    sent_ids: list[str] = []
    for item in items:
        attempt = bench.attempts[item.attempt_id]
        attempt.answered_at = to_ms(item.now)
        attempt.changed = True
        match item.outcome:
            case Sent():
                _record_sent(tx, bench, attempt, item, item.outcome)
                sent_ids.append(item.outcome.provider_message_id)
            case Failed():
                record_failure(tx, bench, attempt, item.outcome, item.rules, to_ms(item.now), actor="gateway")
            case Unknown():
                if attempt.state == "sending":
                    attempt.state = "unknown"
                    bench.move(attempt, "lost", to_ms(item.now), actor="gateway", reason=item.outcome.reason)
            case _:
                assert_never(item.outcome)
        message = bench.messages[attempt.message_id]
        results.append(Recorded(message.status, message.due_at if message.status == "retrying" else None))
    now = max(item.now for item in items)
    bench.save(to_ms(now))
    unpark(tx, sent_ids, now)
    return results


def _record_sent(tx: Transaction, bench: Bench, attempt: AttemptState, item: Answered, sent: Sent) -> None:
    at = to_ms(item.now)
    attempt.provider_message_id = attempt.provider_message_id or sent.provider_message_id
    if attempt.state != "failed":
        # A failed receipt may have overtaken the answer: it stays the better evidence.
        bench.take(attempt, at)
        attempt.sent_at = attempt.sent_at or at
        facts: dict[str, object] = {"provider_message_id": sent.provider_message_id}
        if sent.message_status is not None:
            facts["message_status"] = sent.message_status
        bench.move(attempt, "sent", at, actor="gateway", facts=facts)
    message = bench.messages[attempt.message_id]
    if message.recipient_kind == "phone" and sent.wa_id and "+" + sent.wa_id != item.recipient:
        # Meta rewrites some numbers (Brazil's and Mexico's extra digit): replies come from this one.
        learnt = AliasSeen("phone", "+" + sent.wa_id)
        if find(tx, attempt.tenant_id, learnt) is None:
            resolve(
                tx,
                ContactSeen(
                    attempt.tenant_id, (AliasSeen("phone", item.recipient), learnt), "meta", item.now
                ),
            )


class Recovery(Struct, frozen=True):
    """Attempts in flight whose speaker is gone: all from before `epoch_owner` took over, or past their lease."""

    now: datetime
    all_in_flight: bool


@single
def recover(tx: Transaction, item: Recovery) -> int:
    """Turn attempts without an outcome into `unknown`, never into a blind resend; gives how many."""
    at = to_ms(item.now)
    rows = tx.rows(
        "SELECT id FROM attempts WHERE state = 'sending' AND (lease_until <= ? OR ?)"
        " ORDER BY lease_until, id LIMIT 1000",
        (at, item.all_in_flight),
    )
    if not rows:
        return 0
    bench = Bench(tx, [row[0] for row in rows])
    for attempt in bench.attempts.values():
        attempt.state, attempt.changed = "unknown", True
        bench.move(attempt, "lost", at, actor="gateway", reason="no_outcome")
    bench.save(at)
    return len(rows)
