"""Idempotency keys: an answer is stored in the transaction that made it true, and given again for the same body."""

from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from msgspec import Struct

from waypost.domain.errors import InvalidRequest
from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.transaction import Reading, Transaction


class Claim(Struct, frozen=True):
    """A caller's `Idempotency-Key` on one request; the digest covers route and body."""

    tenant_id: str
    key: str
    request_digest: bytes
    expires_at: datetime


class Answer(Struct, frozen=True):
    """A stored answer: HTTP status and body."""

    status: int
    body: bytes
    replayed: bool = False


class Once(Struct, frozen=True):
    """A change to make at most once. `run` changes rows; `render` gives the answer to store."""

    claim: Claim
    run: Callable[[Transaction], Any]
    render: Callable[[Any], Answer]
    now: datetime


_KEEP = """
INSERT INTO idempotency (tenant_id, key, request_digest, status, answer, expires_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant_id, key) DO UPDATE SET request_digest = excluded.request_digest, status = excluded.status,
  answer = excluded.answer, expires_at = excluded.expires_at
"""


_KEY_LENGTH_MAX = 255


def claim_of(
    tenant_id: str, key: str, method: str, path: str, query: bytes, raw: bytes, expires_at: datetime
) -> Claim:
    """Give the claim of one request, or of what stands for one; raises `InvalidRequest` for a key that is none."""
    if not 1 <= len(key) <= _KEY_LENGTH_MAX or not key.isascii() or not key.isprintable():
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {_KEY_LENGTH_MAX} printable ASCII characters.",
            field="Idempotency-Key",
            code="bad_idempotency_key",
            remedy="Use a UUID made once per intended change.",
        )
    digest = sha256(f"{method}\n{path}\n".encode("utf-8", "replace"))
    digest.update(query + b"\n" + raw)
    return Claim(tenant_id, key, digest.digest(), expires_at)


def find(reading: Reading, claim: Claim, now: datetime) -> Answer | None:
    """Give the answer stored for this key, if any; another body under the same key is refused."""
    row = reading.one(
        "SELECT request_digest, status, answer, expires_at FROM idempotency WHERE tenant_id = ? AND key = ?",
        (claim.tenant_id, claim.key),
    )
    if row is None or row[3] <= to_ms(now):
        return None
    if row[0] != claim.request_digest:
        raise InvalidRequest(
            "this Idempotency-Key was used with another request",
            code="idempotency_key_reused",
            field="Idempotency-Key",
            remedy="use a new key for a new request",
        )
    return Answer(row[1], row[2], replayed=True)


def known(reading: Reading, claims: Sequence[Claim]) -> set[tuple[str, str]]:
    """Give which of these (tenant, key) have an answer stored, in few looks; `find` says what it is worth."""
    # CROSS JOIN: one look per key, where IN (VALUES …) would first build and sort a table of them.
    sql = (
        "SELECT s.column1, s.column2 FROM %s CROSS JOIN idempotency i"
        " WHERE i.tenant_id = s.column1 AND i.key = s.column2"
    )
    return {
        (row[0], row[1]) for row in reading.rows_beside(sql, [(each.tenant_id, each.key) for each in claims])
    }


def keep(tx: Transaction, claim: Claim, answer: Answer) -> None:
    """Store `answer` in the running transaction; replaces one that has expired."""
    keep_all(tx, [(claim, answer)])


def keep_all(tx: Transaction, answers: Sequence[tuple[Claim, Answer]]) -> None:
    """Store many answers, each of a key of its own."""
    tx.many(
        _KEEP,
        [
            (
                claim.tenant_id,
                claim.key,
                claim.request_digest,
                answer.status,
                answer.body,
                to_ms(claim.expires_at),
            )
            for claim, answer in answers
        ],
    )


@single
def once(tx: Transaction, item: Once) -> Answer:
    """Run the change unless its key has an answer; gives the stored or the new answer."""
    stored = find(tx, item.claim, item.now)
    if stored is not None:
        return stored
    answer = item.render(item.run(tx))
    keep(tx, item.claim, answer)
    return answer


@single
def purge(tx: Transaction, now: datetime) -> int:
    """Drop expired keys; gives how many."""
    return tx.execute("DELETE FROM idempotency WHERE expires_at <= ?", (to_ms(now),))
