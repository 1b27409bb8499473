"""The store's operations, called as the gateway calls them, and timed: one `Subject` for each database."""

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from history import Past
from load import CONTACTS, NUMBERS, number_id_of, phone_of
from seeding import PORTFOLIO_ID, TENANT_ID
from waypost.domain.classes import CLASSES
from waypost.domain.errors import WaypostError
from waypost.domain.outcomes import Sent
from waypost.domain.retry import RetryRules
from waypost.domain.times import from_ms
from waypost.policies.decide import decide
from waypost.store import claims, journal, messages, processes, receipts
from waypost.store.accept import Acceptance, Acceptances, Taken, accept
from waypost.store.engine import Engine, Operation, Write
from waypost.store.idempotency import Answer, Claim
from waypost.store.outcomes import Answered, record_outcomes

R = TypeVar("R")
BATCH = 200  # messages in a transaction
PAGE = 50
READS = 20
_STRIDE = 27_449
_CONTENT = b'{"type":"text","text":{"body":"Your order has left our warehouse."}}'

NAMES = {
    "accept": "with its key, per message",
    "claim": "policies and attempt, per message",
    "outcome": "sent, per message",
    "receipt": "by our id, of a new message",
    "receipt_of_any_age": "by our id, of a message from anywhere in the past",
    "list": "a page of 50 behind a cursor",
    "list_of_contact": "the same, one contact's",
    "list_of_number": "the same, one number's",
    "list_of_failed": "the same, of the status failed, which none has",
    "list_of_period": "the first page of a minute half-way back",
    "get": "one message with its attempts",
    "journal": "100 lines behind a position",
    "journal_of_tenant": "100 lines of a tenant behind a position",
    "timeline": "the journal lines of one message",
}


class Subject:
    """One database with a past."""

    def __init__(self, engine: Engine, past: Past) -> None:
        self._engine, self._past, self._size = engine, past, past.count
        self._reading = engine.reading()
        self._random = random.Random(1)
        self._count = 0
        now = datetime.now(UTC)
        beat = processes.Beat(
            "bench", now, now + timedelta(days=1), 1, (), draining=False, alone=True, release="bench"
        )
        self._lanes = dict(self._write(processes.beat, [beat])[0].lanes)
        first = self._reading.one("SELECT min(position) FROM journal WHERE kind = 'message.delivered'")
        assert first is not None
        self._first_position = int(first[0])
        people = self._reading.rows("SELECT contact_id FROM conversations ORDER BY contact_id LIMIT 1000")
        self._contacts = [row[0] for row in people]

    def round(self) -> dict[str, float]:
        """Do everything once; gives microseconds by name."""
        accepted = self._accept()
        claimed, claim_us = self._claim()
        _, outcome_us = _timed(lambda: self._write(record_outcomes, self._outcomes(claimed)))
        new = [(each.attempt_id, each.number_id) for each in claimed]
        return {
            "accept": accepted / BATCH,
            "claim": claim_us / len(claimed),
            "outcome": outcome_us / len(claimed),
            "receipt": self._receipts(new, "delivered") / len(new),
            "receipt_of_any_age": self._receipts(self._old_attempts(), "read") / BATCH,
            **self._reads(),
        }

    def _write(self, operation: Operation, items: Sequence[Any]) -> list[Any]:
        writes = [Write(operation, item) for item in items]
        self._engine.commit_batch(writes)
        for write in writes:
            if isinstance(write.result, BaseException):
                raise write.result
        return [write.result for write in writes]

    def _accept(self) -> float:
        now = datetime.now(UTC)
        items = [self._draft(now) for _ in range(BATCH)]
        return _timed(lambda: self._write(accept, items))[1]

    def _draft(self, now: datetime) -> Acceptances:
        self._count += 1
        contact = self._count * _STRIDE % CONTACTS
        message_id = self._engine.ids.new("message", now)
        item = Acceptance(
            message_id, TENANT_ID, number_id_of(contact % NUMBERS), PORTFOLIO_ID, "phone", phone_of(contact),
            None, _CONTENT, "text", CLASSES["reply"].rank, None, None, "wait", None, now + timedelta(days=1), None,
            "key:bench",
        )  # fmt: skip
        key = Claim(TENANT_ID, f"growth-{message_id}", b"d" * 32, now + timedelta(days=3))
        return Acceptances((item,), _rendered, key, now, decide)

    def _claim(self) -> tuple[list[claims.Claimed], float]:
        """Claim until nothing is left: a number's pace lets only so many go at once."""
        found: list[claims.Claimed] = []
        spent = 0.0
        while len(found) < BATCH:
            now = datetime.now(UTC)
            asks = [
                claims.ClaimRequest(number_id, "bench", epoch, 50, 20, now, decide)
                for number_id, epoch in self._lanes.items()
            ]
            (answers,), taken = _timed(lambda asks=asks: self._write(claims.claim, [asks]))
            got = [each for answer in answers for each in answer.claimed]
            if not got:
                raise RuntimeError(f"only {len(found)} of {BATCH} could be claimed")
            found += got
            spent += taken
        return found, spent

    def _outcomes(self, claimed: Sequence[claims.Claimed]) -> list[Answered]:
        now, wamid = datetime.now(UTC), self._random.randbytes
        return [
            Answered(each.attempt_id, Sent(f"wamid.{wamid(16).hex()}"), each.recipient, RetryRules(), now)
            for each in claimed
        ]

    def _receipts(self, attempts: Sequence[tuple[str, str]], status: receipts.ReceiptStatus) -> float:
        now = datetime.now(UTC)
        items = [
            receipts.ReceiptItem(
                TENANT_ID, number_id, f"wamid.{attempt_id}", attempt_id, status, now, None, None, now
            )
            for attempt_id, number_id in attempts
        ]
        (applied,), taken = _timed(lambda: self._write(_as_one, [items]))
        if applied == 0:
            raise RuntimeError("no receipt was applied")
        return taken

    def _old_attempts(self) -> list[tuple[str, str]]:
        ordinals = sorted(self._random.sample(range(1, self._size + 1), BATCH))
        marks = ", ".join("?" * BATCH)
        rows = self._reading.rows(
            f"SELECT message_id, number_id, id FROM attempts WHERE id IN ({marks})",
            [self._past.id_of("att", each) for each in ordinals],
        )
        return [(row[2], row[1]) for row in rows]

    def _reads(self) -> dict[str, float]:
        reading, size = self._reading, self._size

        def old() -> str:
            return self._past.id_of("msg", self._random.randint(size // 2, size))

        def listed(**wish: Any) -> Callable[[], Any]:
            search = messages.Search(TENANT_ID, PAGE, cursor=old(), **wish)
            return lambda: messages.search(reading, search)

        def of_period() -> Callable[[], Any]:
            since = from_ms(self._past.at(size // 2))
            search = messages.Search(TENANT_ID, PAGE, since=since, until=since + timedelta(minutes=1))
            return lambda: messages.search(reading, search)

        def lines(tenant_id: str | None = None) -> Callable[[], Any]:
            position = self._first_position + self._random.randint(0, size)
            return lambda: journal.after(reading, position, 100, tenant_id)

        def whole() -> Callable[[], Any]:
            message_id = old()
            return lambda: (
                messages.get(reading, TENANT_ID, message_id),
                messages.attempts_of(reading, TENANT_ID, message_id),
            )

        def timeline() -> Callable[[], Any]:
            message_id = old()
            return lambda: journal.of_aggregate(reading, TENANT_ID, message_id)

        made: dict[str, Callable[[], Callable[[], Any]]] = {
            "list": listed,
            "list_of_contact": lambda: listed(contact_id=self._random.choice(self._contacts)),
            "list_of_number": lambda: listed(number_id=number_id_of(self._random.randrange(NUMBERS))),
            "get": whole,
            "journal": lines,
            "journal_of_tenant": lambda: lines(TENANT_ID),
            "timeline": timeline,
        }
        costs = {name: self._read(make, READS) for name, make in made.items()}
        costs["list_of_failed"] = self._read(lambda: listed(statuses=("failed",)), 1)
        costs["list_of_period"] = self._read(of_period, 1)
        return costs

    def _read(self, make: Callable[[], Callable[[], Any]], times: int) -> float:
        queries = [make() for _ in range(times)]

        def all_of_them() -> None:
            for query in queries:
                self._reading.snapshot(lambda _, query=query: query())

        return _timed(all_of_them)[1] / times


def _as_one(tx: Any, groups: Sequence[Sequence[receipts.ReceiptItem]]) -> list[int]:
    return [receipts.apply_receipts(tx, items) for items in groups]


def _rendered(taken: Sequence[Taken]) -> Answer | WaypostError:
    return taken[0] if isinstance(taken[0], WaypostError) else Answer(202, b'{"id":"msg"}')


def _timed(what: Callable[[], R]) -> tuple[R, float]:
    """Run it; gives its result and how many microseconds it took."""
    begun_at = time.perf_counter()
    result = what()
    return result, (time.perf_counter() - begun_at) * 1e6
