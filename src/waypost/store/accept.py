"""Taking drafts: message, content and journal line in the transaction whose commit the `202` waits for."""

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct

from waypost.domain.errors import Conflict, WaypostError
from waypost.domain.times import optional_ms, to_ms
from waypost.store import contacts, conversations, idempotency
from waypost.store.idempotency import Answer, Claim
from waypost.store.lines import IN_LINE, is_behind
from waypost.store.transaction import Line, Row, Transaction


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


_INSERT_CONTENT = "INSERT INTO contents (id, tenant_id, contact_id, body) VALUES (?, ?, ?, ?)"
_INSERT_MESSAGE = """
INSERT INTO messages (id, tenant_id, number_id, contact_id, content_id, type, rank, recipient_kind, recipient, assignee,
                      status, metadata, on_unknown, attempts, not_before, due_at, expires_at, overdue_at, deliver_by,
                      version, accepted_at, changed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'accepted', ?, ?, 0, ?, ?, ?, ?, ?, 1, ?, ?)
"""


def accept(tx: Transaction, requests: Sequence[Acceptances]) -> Sequence[Answer | WaypostError]:
    """Take every draft of every request; a request with a key already answered is given that answer again."""
    answers: list[Answer | WaypostError] = []
    contents: list[Row] = []
    messages: list[Row] = []
    heads: set[tuple[str, str, int]] = set()
    for request in requests:
        if request.claim is not None:
            try:
                stored = idempotency.find(tx, request.claim, request.now)
            except WaypostError as reused:
                answers.append(reused)
                continue
            if stored is not None:
                answers.append(stored)
                continue
        taken = [_take(tx, item, request.now, contents, messages, heads) for item in request.items]
        answer = request.render(taken)
        if request.claim is not None and isinstance(answer, Answer):
            idempotency.keep(tx, request.claim, answer)
        answers.append(answer)
    tx.many(_INSERT_CONTENT, contents)
    tx.many(_INSERT_MESSAGE, messages)
    return answers


def _take(
    tx: Transaction,
    item: Acceptance,
    now: datetime,
    contents: list[Row],
    messages: list[Row],
    heads: set[tuple[str, str, int]],
) -> Taken:
    tenant = item.tenant_id
    contact_id = item.contact_id
    if contact_id is None:
        alias = contacts.AliasSeen(
            "phone" if item.recipient_kind == "phone" else "bsuid",
            item.recipient,
            "" if item.recipient_kind == "phone" else item.portfolio_id,
        )
        contact_id = contacts.find(tx, tenant, alias) or contacts.resolve(
            tx, contacts.ContactSeen(tenant, (alias,), item.actor, now)
        )
    conversation = conversations.ensure(tx, tenant, item.number_id, contact_id, now, item.actor)
    if item.assignee is not None and conversation.assignee not in (None, item.assignee):
        return Conflict(
            f"the conversation is with {conversation.assignee} now",
            code="assignee_relieved",
            field="assignee",
            remedy="hand the conversation over first, or leave `assignee` out",
        )
    at = to_ms(now)
    not_before = max(optional_ms(item.not_before) or at, at)
    # The rows of this batch are not in the table yet: `heads` stands in for them.
    line = (item.number_id, contact_id, item.rank)
    behind = line in heads or is_behind(tx, *line, not_before, item.id)
    scheduled = not_before > at
    if not scheduled:
        heads.add(line)
    content_id = "cnt_" + item.id[4:]
    contents.append((content_id, tenant, contact_id, tx.codec.encode(tenant, contact_id, item.content)))
    due_at = not_before if scheduled or not behind else IN_LINE
    messages.append(_row(tx, item, contact_id, content_id, not_before, due_at, at))
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
