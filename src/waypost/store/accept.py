"""Taking drafts: message, content and journal line in the transaction whose commit the `202` waits for."""

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct

from waypost.domain.classes import RANKS
from waypost.domain.decisions import Decision, Facts, Refuse
from waypost.domain.errors import Conflict, WaypostError
from waypost.domain.times import optional_ms, to_ms, to_ms_up
from waypost.store import contacts, conversations, idempotency, withdrawn
from waypost.store.idempotency import Answer, Claim
from waypost.store.lines import ANY_WAITING, IN_LINE, is_behind
from waypost.store.quotas import Spending
from waypost.store.transaction import Line, Row, Transaction
from waypost.store.withdrawn import WIDEST_PURPOSE


class Acceptance(Struct, frozen=True):
    """One draft, checked and ready to be a message. `contact_id` is set when the caller named a contact, else
    `recipient` is resolved. Bytes pass through the codec here."""

    id: str
    tenant_id: str
    number_id: str
    portfolio_id: str
    recipient_kind: str  # phone | bsuid
    recipient: str
    contact_id: str | None
    content: bytes
    type: str
    rank: int
    assignee: str | None
    metadata: bytes | None
    on_unknown: str
    not_before: datetime | None
    expires_at: datetime
    deliver_by: datetime | None
    actor: str


Taken = str | WaypostError  # the contact's id, or why this draft was not taken


class Acceptances(Struct, frozen=True):
    """What one request brings: one draft or a batch. `render` makes the answer that is stored under `claim`, or
    the error for the caller when nothing was taken."""

    items: Sequence[Acceptance]
    render: Callable[[Sequence[Taken]], Answer | WaypostError]
    claim: Claim | None
    now: datetime
    decide: Callable[[Facts], Decision]


_INSERT_CONTENT = "INSERT INTO contents (id, tenant_id, contact_id, body) VALUES (?, ?, ?, ?)"
_INSERT_MESSAGE = """
INSERT INTO messages (id, tenant_id, number_id, contact_id, content_id, type, rank, recipient_kind, recipient, assignee,
                      status, metadata, on_unknown, attempts, not_before, due_at, expires_at, overdue_at, deliver_by,
                      version, accepted_at, changed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'accepted', ?, ?, 0, ?, ?, ?, ?, ?, 1, ?, ?)
"""


# Everything acceptance asks about a recipient who is known, in one look for many of them: the contact, its
# conversation with the number, whether something waits there, and what it withdrew from. (CROSS JOIN keeps SQLite to
# this order of tables.)
_KNOWN = f"""
SELECT s.column1, s.column2, s.column3, a.contact_id, c.id, c.assignee,
       {ANY_WAITING % ("s.column3", "a.contact_id")}, {WIDEST_PURPOSE % "a.contact_id"}
FROM %s CROSS JOIN aliases a CROSS JOIN conversations c
WHERE a.tenant_id = s.column1 AND a.blind_index = s.column2 AND a.valid_to IS NULL
  AND c.number_id = s.column3 AND c.contact_id = a.contact_id
"""


class _Met(Struct):
    """Where a message belongs: its contact, who the conversation is with, whether something may wait before it."""

    contact_id: str
    assignee: str | None
    may_wait: bool = True
    conversation_id: str | None = None
    withdrawn_from: str | None = None


class _Batch:
    """What one transaction's drafts need and write, gathered so that it goes in few statements."""

    def __init__(self, tx: Transaction, requests: Sequence[Acceptances]) -> None:
        self.tx = tx
        self.contents: list[Row] = []
        self.messages: list[Row] = []
        self.answers: dict[tuple[str, str], tuple[Claim, Answer]] = {}
        # The rows of this batch are not in the table yet: `heads` stands in for them.
        self.heads: dict[tuple[str, str, int], tuple[int, str]] = {}
        self.quotas = Spending(tx, {(item.tenant_id, item.number_id) for r in requests for item in r.items})
        self._answered = idempotency.known(tx, [r.claim for r in requests if r.claim is not None])
        self._known: dict[tuple[str, bytes, str], _Met] = {}
        self._index: dict[tuple[str, str, str, str], bytes] = {}
        self._look_up([item for request in requests for item in request.items if item.contact_id is None])

    def _look_up(self, items: Sequence[Acceptance]) -> None:
        wanted: dict[tuple[str, bytes, str], None] = {}
        for item in items:
            index = contacts.blind_index(self.tx, item.tenant_id, _alias(item))
            self._index[item.tenant_id, item.recipient_kind, item.portfolio_id, item.recipient] = index
            wanted[item.tenant_id, index, item.number_id] = None
        for row in self.tx.rows_beside(_KNOWN, list(wanted)):
            self._known[row[0], row[1], row[2]] = _Met(row[3], row[5], bool(row[6]), row[4], row[7])

    def stored(self, claim: Claim, now: datetime) -> Answer | None:
        """Give the answer this key already has; raises `InvalidRequest` when it was for another request."""
        key = (claim.tenant_id, claim.key)
        if key in self.answers:
            self._keep_answers()
            self._answered.add(key)
        return idempotency.find(self.tx, claim, now) if key in self._answered else None

    def meet(self, item: Acceptance, now: datetime) -> _Met:
        """Find, or make, the contact and the conversation of a draft."""
        tx, contact_id = self.tx, item.contact_id
        if contact_id is None:
            index = self._index[item.tenant_id, item.recipient_kind, item.portfolio_id, item.recipient]
            met = self._known.get((item.tenant_id, index, item.number_id))
            if met is not None and met.conversation_id is not None:
                return met
            alias = _alias(item)
            contact_id = contacts.find(tx, item.tenant_id, alias) or contacts.resolve(
                tx, contacts.ContactSeen(item.tenant_id, (alias,), item.actor, now)
            )
        conversation = conversations.ensure(tx, item.tenant_id, item.number_id, contact_id, now, item.actor)
        return _Met(
            contact_id, conversation.assignee, withdrawn_from=withdrawn.widest_purpose(tx, contact_id)
        )

    def save(self) -> None:
        """Write what was gathered."""
        self.tx.many(_INSERT_CONTENT, self.contents)
        self.tx.many(_INSERT_MESSAGE, self.messages)
        self.quotas.save(self.tx)
        self._keep_answers()

    def _keep_answers(self) -> None:
        idempotency.keep_all(self.tx, list(self.answers.values()))
        self.answers.clear()


def accept(tx: Transaction, requests: Sequence[Acceptances]) -> Sequence[Answer | WaypostError]:
    """Take every draft of every request; a request with a key already answered is given that answer again."""
    batch = _Batch(tx, requests)
    answers: list[Answer | WaypostError] = []
    for request in requests:
        claim = request.claim
        if claim is not None:
            try:
                stored = batch.stored(claim, request.now)
            except WaypostError as reused:
                answers.append(reused)
                continue
            if stored is not None:
                answers.append(stored)
                continue
        answer = request.render([_take(batch, item, request) for item in request.items])
        if claim is not None and isinstance(answer, Answer):
            batch.answers[claim.tenant_id, claim.key] = (claim, answer)
        answers.append(answer)
    batch.save()
    return answers


def _alias(item: Acceptance) -> contacts.AliasSeen:
    if item.recipient_kind == "phone":
        return contacts.AliasSeen("phone", item.recipient)
    # A parent BSUID works across linked portfolios, and is met in callbacks under a kind of its own.
    kind: contacts.AliasKind = "parent_bsuid" if item.recipient[2:].startswith(".ENT.") else "bsuid"
    return contacts.AliasSeen(kind, item.recipient, item.portfolio_id)


def _take(batch: _Batch, item: Acceptance, request: Acceptances) -> Taken:
    tx, tenant, now = batch.tx, item.tenant_id, request.now
    if (exceeded := batch.quotas.take(tenant, item.number_id, now)) is not None:
        return exceeded
    met = batch.meet(item, now)
    contact_id = met.contact_id
    at = to_ms(now)
    # The gate runs here so that the caller hears of a refusal, and again at the claim, where it counts. What it would
    # hold is taken, and held there.
    facts = Facts(
        RANKS[item.rank], item.type, item.assignee, met.assignee, None, to_ms(item.expires_at), at,
        met.withdrawn_from,
    )  # fmt: skip
    decision = request.decide(facts)
    if isinstance(decision, Refuse):
        return _refusal(decision, met.assignee)
    not_before = at if item.not_before is None else max(to_ms_up(item.not_before), at)
    line = (item.number_id, contact_id, item.rank)
    place = (not_before, item.id)
    head = batch.heads.get(line, place)
    # Requests of one batch need not come in the order of their times: an earlier one goes before a head of this batch.
    behind = head < place or (met.may_wait and is_behind(tx, *line, not_before, item.id))
    scheduled = not_before > at
    if not scheduled:
        batch.heads[line] = min(head, place)
    content_id = "cnt_" + item.id[4:]
    batch.contents.append((content_id, tenant, contact_id, tx.codec.encode(tenant, contact_id, item.content)))
    due_at = not_before if scheduled or not behind else IN_LINE
    batch.messages.append(_row(tx, item, contact_id, content_id, not_before, due_at, at))
    tx.wake(item.number_id)
    tx.journal(
        Line(
            tenant,
            "message.accepted",
            item.id,
            1,
            item.actor,
            now,
            number_id=item.number_id,
            contact_id=contact_id,
            content_id=content_id,
            facts={"type": item.type, "rank": item.rank},
        )
    )
    return contact_id


def _refusal(decision: Refuse, conversation_assignee: str | None) -> Conflict:
    if decision.reason == "assignee_relieved":
        return Conflict(
            f"the conversation is with {conversation_assignee} now",
            code=decision.reason,
            field="assignee",
            remedy="hand the conversation over first, or leave `assignee` out",
        )
    if decision.reason == "contact_withdrew":
        return Conflict(
            "this person said no to messages of this class",
            code=decision.reason,
            field="to",
            remedy="leave the person out; GET /v1/withdrawals lists who withdrew from what",
        )
    return Conflict("the policies refuse this message", code=decision.reason)


def _row(
    tx: Transaction, item: Acceptance, contact_id: str, content_id: str, not_before: int, due_at: int, at: int
) -> Row:
    encode = tx.codec.encode
    return (
        item.id,
        item.tenant_id,
        item.number_id,
        contact_id,
        content_id,
        item.type,
        item.rank,
        item.recipient_kind,
        encode(item.tenant_id, contact_id, item.recipient.encode()),
        item.assignee,
        None if item.metadata is None else encode(item.tenant_id, contact_id, item.metadata),
        item.on_unknown,
        not_before,
        due_at,
        to_ms(item.expires_at),
        optional_ms(item.deliver_by),
        optional_ms(item.deliver_by),
        at,
        at,
    )
