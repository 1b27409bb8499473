"""Subscribers and their signing secrets: added, listed, changed, paused, resumed, rotated, removed.

How far each was told stands in `subscriber_progress`. A secret is sealed for its own row and opened only to sign.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec import Struct

from waypost.domain.errors import Conflict, NotFound
from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.transaction import Line, Reading, Row, Transaction

State = Literal["active", "paused", "disabled", "removed"]
Scheme = Literal["v1", "v1a"]

# Each one follows the whole journal of its tenant: enough for any team, few enough to keep the followers' memory small.
SUBSCRIBERS_MAX = 100
# One is current, the others sign until their overlap ends; a header of five signatures is still small.
_SECRETS_MAX = 5

_COLUMNS = (
    "id, tenant_id, url, label, kinds, batch_events_max, state, state_reason, position, failing_since, failures,"
    " next_try_at, last_success_at, version, created_at"
)
_decode_kinds = msgspec.json.Decoder(tuple[str, ...]).decode
_encode = msgspec.json.Encoder().encode


class Subscriber(Struct, frozen=True):
    """A subscriber as stored; times in milliseconds since the epoch. `kinds` empty: every kind."""

    id: str
    tenant_id: str
    url: str
    label: str
    kinds: tuple[str, ...]
    batch_events_max: int
    state: State
    state_reason: str | None
    position: int
    failing_since: int | None
    failures: int
    next_try_at: int
    last_success_at: int | None
    version: int
    created_at: int


class NewSecret(Struct, frozen=True):
    """A secret to seal: the HMAC key of `v1`, or the Ed25519 seed of `v1a` beside its public key as shown."""

    scheme: Scheme
    secret: bytes
    public_key: str | None

    def __repr__(self) -> str:
        return f"NewSecret({self.scheme})"


class SecretShown(Struct, frozen=True):
    """A secret without itself."""

    id: str
    scheme: Scheme
    public_key: str | None
    created_at: int
    valid_until: int | None


class SigningKey(Struct, frozen=True):
    """An opened secret, to sign with until `valid_until` (milliseconds; None: current)."""

    id: str
    scheme: Scheme
    secret: bytes
    valid_until: int | None

    def __repr__(self) -> str:
        return f"SigningKey({self.id})"


class NewSubscriber(Struct, frozen=True):
    """A subscriber to add; told from now on, or from the journal's beginning."""

    tenant_id: str
    url: str
    label: str
    kinds: tuple[str, ...]
    batch_events_max: int
    from_beginning: bool
    secret: NewSecret
    actor: str
    now: datetime


class Change(Struct, frozen=True):
    """What to change; None leaves a field as it is."""

    tenant_id: str
    subscriber_id: str
    url: str | None
    label: str | None
    kinds: tuple[str, ...] | None
    batch_events_max: int | None
    actor: str
    now: datetime


class Turn(Struct, frozen=True):
    """A subscriber to pause, resume or remove, with the operator's reason."""

    tenant_id: str
    subscriber_id: str
    reason: str | None
    actor: str
    now: datetime


class Rotation(Struct, frozen=True):
    """A new secret; the old ones go on signing until the overlap ends."""

    tenant_id: str
    subscriber_id: str
    secret: NewSecret
    overlap: timedelta
    actor: str
    now: datetime


def _subscriber(row: Row) -> Subscriber:
    values = list(row)
    values[4] = _decode_kinds(values[4])
    return Subscriber(*values)


def show(reading: Reading, tenant_id: str, subscriber_id: str) -> Subscriber:
    """Give one subscriber of the tenant; `NotFound` else, and when it was removed."""
    sql = f"SELECT {_COLUMNS} FROM subscribers WHERE id = ? AND tenant_id = ? AND state <> 'removed'"
    row = reading.one(sql, (subscriber_id, tenant_id))
    if row is None:
        raise NotFound("There is no such subscriber.", remedy="List them with GET /v1/subscribers.")
    return _subscriber(row)


def newest_first(reading: Reading, tenant_id: str, cursor: str | None, limit: int) -> list[Subscriber]:
    """Give up to `limit` subscribers older than `cursor` (a subscriber's id)."""
    sql = (
        f"SELECT {_COLUMNS} FROM subscribers WHERE tenant_id = ? AND id < ? AND state <> 'removed'"
        " ORDER BY id DESC LIMIT ?"
    )
    return [_subscriber(row) for row in reading.rows(sql, (tenant_id, cursor or "sub_~", limit))]


def active_ids(reading: Reading) -> list[str]:
    """Give the ids of all subscribers to tell, of every tenant."""
    return [row[0] for row in reading.rows("SELECT id FROM subscribers WHERE state = 'active' ORDER BY id")]


def by_id(reading: Reading, subscriber_id: str) -> Subscriber | None:
    """Give a subscriber whatever its tenant and state: for the gateway's own teller."""
    row = reading.one(f"SELECT {_COLUMNS} FROM subscribers WHERE id = ?", (subscriber_id,))
    return None if row is None else _subscriber(row)


def secrets_of(reading: Reading, tenant_id: str, subscriber_id: str) -> list[SecretShown]:
    """Give what may be shown of the secrets, newest first."""
    sql = (
        "SELECT id, scheme, public_key, created_at, valid_until FROM subscriber_secrets"
        " WHERE subscriber_id = ? AND tenant_id = ? ORDER BY id DESC"
    )
    return [SecretShown(*row) for row in reading.rows(sql, (subscriber_id, tenant_id))]


def signing_keys(reading: Reading, subscriber_id: str) -> list[SigningKey]:
    """Open the secrets to sign with, newest first."""
    sql = "SELECT id, scheme, secret, valid_until FROM subscriber_secrets WHERE subscriber_id = ? ORDER BY id DESC"
    return [
        SigningKey(
            secret_id, scheme, reading.codec.unseal(f"subscriber_secret:{secret_id}", sealed), valid_until
        )
        for secret_id, scheme, sealed, valid_until in reading.rows(sql, (subscriber_id,))
    ]


@single
def add(tx: Transaction, item: NewSubscriber) -> Subscriber:
    """Store a subscriber and its first secret; it is told from its own `subscriber.added` on, exclusive."""
    row = tx.one(
        "SELECT count(*) FROM subscribers WHERE tenant_id = ? AND state <> 'removed'", (item.tenant_id,)
    )
    if row is not None and row[0] >= SUBSCRIBERS_MAX:
        raise Conflict(
            f"There are {SUBSCRIBERS_MAX} subscribers already.",
            code="subscribers_max",
            remedy="Remove one that is not needed any more.",
        )
    subscriber_id = tx.ids.new("subscriber", item.now)
    facts = {
        "kinds": list(item.kinds),
        "batch_events_max": item.batch_events_max,
        "scheme": item.secret.scheme,
    }
    position = tx.journal(
        Line(item.tenant_id, "subscriber.added", subscriber_id, 1, item.actor, item.now, facts=facts)
    )
    tx.execute(
        "INSERT INTO subscribers (id, tenant_id, url, label, kinds, batch_events_max, state, position, failures,"
        " next_try_at, version, created_at) VALUES (?, ?, ?, ?, ?, ?, 'active', ?, 0, 0, 1, ?)",
        (
            subscriber_id,
            item.tenant_id,
            item.url,
            item.label,
            _encode(item.kinds).decode(),
            item.batch_events_max,
            0 if item.from_beginning else position,
            to_ms(item.now),
        ),
    )
    _seal(tx, item.tenant_id, subscriber_id, item.secret, item.now)
    return show(tx, item.tenant_id, subscriber_id)


@single
def change(tx: Transaction, item: Change) -> Subscriber:
    """Change the address, label, filter or batch size; a new address begins without the failures of the old one."""
    old = show(tx, item.tenant_id, item.subscriber_id)
    asked = {
        "url": item.url,
        "label": item.label,
        "kinds": item.kinds,
        "batch_events_max": item.batch_events_max,
    }
    new = {name: value for name, value in asked.items() if value is not None and value != getattr(old, name)}
    if not new:
        return old
    merged = {name: new.get(name, getattr(old, name)) for name in asked}
    tx.execute(
        "UPDATE subscribers SET url = ?, label = ?, kinds = ?, batch_events_max = ?, version = version + 1"
        " WHERE id = ? AND tenant_id = ?",
        (
            merged["url"],
            merged["label"],
            _encode(merged["kinds"]).decode(),
            merged["batch_events_max"],
            old.id,
            item.tenant_id,
        ),
    )
    if "url" in new:
        _forgive(tx, item.tenant_id, old.id)
    _tell(tx, old, "subscriber.changed", item.actor, item.now, facts={"fields": sorted(new)})
    return show(tx, item.tenant_id, old.id)


@single
def pause(tx: Transaction, item: Turn) -> Subscriber:
    """Stop telling until resumed; the events wait. Doing it again changes nothing."""
    old = show(tx, item.tenant_id, item.subscriber_id)
    if old.state == "paused":
        return old
    _turn(tx, old, "paused", item)
    _tell(tx, old, "subscriber.paused", item.actor, item.now, reason=item.reason)
    return show(tx, item.tenant_id, old.id)


@single
def resume(tx: Transaction, item: Turn) -> Subscriber:
    """Go on where it stopped, after a pause or a 410, without past failures. Doing it again changes nothing."""
    old = show(tx, item.tenant_id, item.subscriber_id)
    if old.state == "active":
        return old
    _turn(tx, old, "active", item)
    _forgive(tx, item.tenant_id, old.id)
    _tell(tx, old, "subscriber.resumed", item.actor, item.now, reason=item.reason)
    return show(tx, item.tenant_id, old.id)


@single
def remove(tx: Transaction, item: Turn) -> None:
    """Forget the secrets and what was owed; the row stays for the history that names it."""
    old = show(tx, item.tenant_id, item.subscriber_id)
    _turn(tx, old, "removed", item)
    keys = (old.id, item.tenant_id)
    tx.execute("DELETE FROM subscriber_secrets WHERE subscriber_id = ? AND tenant_id = ?", keys)
    tx.execute("DELETE FROM subscriber_exceptions WHERE subscriber_id = ? AND tenant_id = ?", keys)
    _tell(tx, old, "subscriber.removed", item.actor, item.now, reason=item.reason)


@single
def rotate(tx: Transaction, item: Rotation) -> Subscriber:
    """Sign with a new secret from now on, and with the old ones too until the overlap ends."""
    old = show(tx, item.tenant_id, item.subscriber_id)
    now, ends_at = to_ms(item.now), to_ms(item.now + item.overlap)
    keys = (old.id, item.tenant_id)
    tx.execute(
        "DELETE FROM subscriber_secrets WHERE subscriber_id = ? AND tenant_id = ? AND valid_until <= ?",
        (*keys, now),
    )
    row = tx.one("SELECT count(*) FROM subscriber_secrets WHERE subscriber_id = ? AND tenant_id = ?", keys)
    if row is not None and row[0] >= _SECRETS_MAX:
        raise Conflict(
            "This many secrets are still in their overlap.",
            code="secrets_max",
            remedy="Wait for an overlap to end, or rotate with a shorter one.",
        )
    tx.execute(
        "UPDATE subscriber_secrets SET valid_until = ? WHERE subscriber_id = ? AND tenant_id = ?"
        " AND (valid_until IS NULL OR valid_until > ?)",
        (ends_at, *keys, ends_at),
    )
    secret_id = _seal(tx, item.tenant_id, old.id, item.secret, item.now)
    tx.execute("UPDATE subscribers SET version = version + 1 WHERE id = ? AND tenant_id = ?", keys)
    facts = {"fields": ["secret"], "secret_id": secret_id, "scheme": item.secret.scheme}
    _tell(tx, old, "subscriber.changed", item.actor, item.now, facts=facts)
    return show(tx, item.tenant_id, old.id)


@single
def tested(tx: Transaction, item: Turn) -> int:
    """Write the event of a test; gives its position. The teller leaves it alone: the test tells it itself."""
    old = show(tx, item.tenant_id, item.subscriber_id)
    tx.execute(
        "UPDATE subscribers SET version = version + 1 WHERE id = ? AND tenant_id = ?",
        (old.id, item.tenant_id),
    )
    return _tell(tx, old, "subscriber.tested", item.actor, item.now)


def _turn(tx: Transaction, old: Subscriber, state: State, item: Turn) -> None:
    tx.execute(
        "UPDATE subscribers SET state = ?, state_reason = ?, version = version + 1 WHERE id = ? AND tenant_id = ?",
        (state, None if state == "active" else item.reason, old.id, item.tenant_id),
    )


def _forgive(tx: Transaction, tenant_id: str, subscriber_id: str) -> None:
    tx.execute(
        "UPDATE subscribers SET failures = 0, failing_since = NULL, next_try_at = 0 WHERE id = ? AND tenant_id = ?",
        (subscriber_id, tenant_id),
    )


def _seal(tx: Transaction, tenant_id: str, subscriber_id: str, new: NewSecret, now: datetime) -> str:
    secret_id = tx.ids.new("secret", now)
    tx.execute(
        "INSERT INTO subscriber_secrets (id, tenant_id, subscriber_id, scheme, secret, public_key, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            secret_id,
            tenant_id,
            subscriber_id,
            new.scheme,
            tx.codec.seal(f"subscriber_secret:{secret_id}", new.secret),
            new.public_key,
            to_ms(now),
        ),
    )
    return secret_id


def _tell(
    tx: Transaction,
    old: Subscriber,
    kind: str,
    actor: str,
    now: datetime,
    reason: str | None = None,
    facts: Mapping[str, object] | None = None,
) -> int:
    return tx.journal(
        Line(old.tenant_id, kind, old.id, old.version + 1, actor, now, reason=reason, facts=dict(facts or {}))
    )
