"""The gateway's send path with the store taken out: the same HTTP face, reading, checks, policies, sender and
transport, over rows that live in dictionaries and are gone with the process. What durable figures are divided by.

Left out with the store: journal, pace, order per conversation, contacts' aliases, receipts, retries.
"""

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from load import NUMBERS, number_id_of
from seeding import PORTFOLIO_ID, TENANT_ID, WABA_ID
from waypost.domain.classes import RANKS
from waypost.domain.decisions import Allow, Facts
from waypost.domain.ids import IdSource
from waypost.domain.keys import SCOPES
from waypost.domain.times import to_ms
from waypost.store import keys, lanes, processes
from waypost.store.accept import Acceptance, Acceptances, accept
from waypost.store.claims import Claim, Claimed, ClaimRequest, claim
from waypost.store.engine import Committed
from waypost.store.idempotency import Answer
from waypost.store.outcomes import Answered, Recorded, record_outcomes, recover
from waypost.store.senders import SendingNumber, sending_number


class MemoryStore:
    """Answers what acceptance and sending ask of a store. Satisfies `store.database.Store` as far as they use it."""

    def __init__(self, ids: IdSource, key_digest: bytes, base_url: str, epoch: int = 1) -> None:
        self._ids, self._base_url, self._epoch = ids, base_url, epoch
        self.timeline = "bench"
        self._key_digest = key_digest
        self._answers: dict[tuple[str, str], tuple[bytes, Answer]] = {}
        self._contacts: dict[tuple[str, str], str] = {}
        self._waiting: dict[str, deque[Acceptance]] = defaultdict(deque)
        self._statuses: dict[str, str] = {}
        self._message_of: dict[str, str] = {}
        self._followers: list[Callable[[Committed], None]] = []
        self._position = 0
        self.recorded = 0
        self._operations: dict[Any, Callable[[Any], Any]] = {
            accept: self._accept,
            claim: self._claim,
            record_outcomes: self._record,
            recover: lambda item: 0,
            processes.beat: self._beat,
            processes.leave: lambda item: 0,
            lanes.hand_over: lambda item: NUMBERS,
            keys.touch: lambda item: None,
        }
        self._queries: dict[Any, Callable[..., Any]] = {
            keys.by_digest: self._key,
            sending_number: self._number,
        }

    def follow(self, told: Callable[[Committed], None]) -> None:
        """Call `told` after every change."""
        self._followers.append(told)

    async def write(self, operation: Any, item: Any, *, late: bool = False) -> Any:
        """Carry out the operation on the dictionaries."""
        result = self._operations[operation](item)
        if isinstance(result, BaseException):
            raise result
        return result

    async def read(self, query: Any, *args: Any) -> Any:
        """Answer the query from the dictionaries."""
        return self._queries[query](*args)

    @property
    def open(self) -> int:
        """Give how many messages have no outcome yet."""
        return len(self._statuses) - self.recorded

    def _key(self, digest: bytes) -> keys.Key | None:
        if digest != self._key_digest:
            return None
        return keys.Key(
            "key_bench", TENANT_ID, "bench", "live", frozenset(SCOPES), 0, None, None, None, None, 1
        )

    def _number(self, tenant_id: str, name: str) -> SendingNumber | None:
        return SendingNumber(name, tenant_id, "cloud", WABA_ID, PORTFOLIO_ID, self._base_url, "active")

    def _accept(self, request: Acceptances) -> Any:
        if request.claim is not None:
            stored = self._answers.get((request.claim.tenant_id, request.claim.key))
            if stored is not None:
                return stored[1]
        taken = [self._take(item) for item in request.items]
        answer = request.render(taken)
        if request.claim is not None and isinstance(answer, Answer):
            self._answers[request.claim.tenant_id, request.claim.key] = (request.claim.request_digest, answer)
        self._position += 1
        due = frozenset(item.number_id for item in request.items)
        committed = Committed(self._position, due, frozenset())
        for told in self._followers:
            told(committed)
        return answer

    def _take(self, item: Acceptance) -> str:
        contact = (item.tenant_id, item.recipient)
        contact_id = self._contacts.get(contact)
        if contact_id is None:
            contact_id = self._contacts[contact] = f"con_{len(self._contacts):026d}"
        self._statuses[item.id] = "accepted"
        self._waiting[item.number_id].append(item)
        return contact_id

    def _beat(self, wish: processes.Beat) -> processes.Held:
        mine = {number_id_of(ordinal): self._epoch for ordinal in range(NUMBERS)}
        return processes.Held(mine, {}, (), (), frozenset(), None)

    def _claim(self, requests: Sequence[ClaimRequest]) -> list[Claim]:
        return [self._claim_one(request) for request in requests]

    def _claim_one(self, request: ClaimRequest) -> Claim:
        waiting, claimed = self._waiting[request.number_id], []
        now = to_ms(request.now)
        while waiting and len(claimed) < request.limit:
            item = waiting.popleft()
            facts = Facts(RANKS[item.rank], item.type, item.assignee, None, None, to_ms(item.expires_at), now)
            if not isinstance(request.decide(facts), Allow):
                self._statuses[item.id] = "refused"
                self.recorded += 1
                continue
            attempt_id = self._ids.new("attempt", request.now)
            self._statuses[item.id] = "sending"
            self._message_of[attempt_id] = item.id
            claimed.append(
                Claimed(
                    attempt_id, item.id, item.number_id, item.recipient_kind, item.recipient, item.content
                )
            )
        return Claim(claimed, now if waiting else None)

    def _record(self, item: Answered) -> Recorded:
        message_id = self._message_of.pop(item.attempt_id)
        self._statuses[message_id] = type(item.outcome).__name__
        self.recorded += 1
        return Recorded("sent")


class SilentPreflight:
    """Texts have nothing to ask of the number's room."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        raise AttributeError(f"a benchmark of texts asked for {name}")
