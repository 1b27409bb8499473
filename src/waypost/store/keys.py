"""API keys: made, found by digest, listed, revoked, rotated. The key itself is never here, only its SHA-256."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from waypost.domain import keys as key_text
from waypost.domain.errors import Conflict, NotFound
from waypost.domain.keys import KeyEnvironment
from waypost.domain.ports import Randomness
from waypost.domain.times import optional_ms, to_ms
from waypost.store.engine import single
from waypost.store.transaction import Line, Reading, Row, Transaction

_COLUMNS = (
    "id, tenant_id, label, environment, scopes, created_at, expires_at, last_used_at, revoked_at, successor_id,"
    " version"
)


class Key(Struct, frozen=True):
    """A key as stored; times in milliseconds since the epoch."""

    id: str
    tenant_id: str
    label: str
    environment: KeyEnvironment
    scopes: frozenset[str]
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None
    successor_id: str | None
    version: int

    def state(self, now: datetime) -> str:
        """Say `active`, `expiring` (rotated, in its overlap), `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= to_ms(now):
            return "expired"
        return "expiring" if self.successor_id else "active"


class NewKey(Struct, frozen=True):
    """A key to store; `digest` is of the text that only its caller has."""

    tenant_id: str
    label: str
    environment: KeyEnvironment
    scopes: frozenset[str]
    digest: bytes
    expires_at: datetime | None
    actor: str
    now: datetime


class Revoke(Struct, frozen=True):
    """A key to take back."""

    tenant_id: str
    key_id: str
    actor: str
    now: datetime
    reason: str | None = None


class Rotate(Struct, frozen=True):
    """A key to give a successor; both work until the overlap ends."""

    tenant_id: str
    key_id: str
    digest: bytes
    overlap: timedelta
    actor: str
    now: datetime


class Touch(Struct, frozen=True):
    """A key was used."""

    key_id: str
    at: datetime


class Bootstrap(Struct, frozen=True):
    """The first tenant and its first key."""

    digest: bytes
    now: datetime


def _key(row: Row) -> Key:
    values = list(row)
    values[4] = frozenset(values[4].split())
    return Key(*values)


def by_digest(reading: Reading, digest: bytes) -> Key | None:
    """Give the key of this digest, whatever its state. Without a tenant: the key tells it."""
    row = reading.one(f"SELECT {_COLUMNS} FROM api_keys WHERE digest = ?", (digest,))
    return None if row is None else _key(row)


def by_id(reading: Reading, key_id: str) -> Key | None:
    """Give the key of this id, whatever its state: for work that the operator's settings let a key's owner do."""
    row = reading.one(f"SELECT {_COLUMNS} FROM api_keys WHERE id = ?", (key_id,))
    return None if row is None else _key(row)


def show(reading: Reading, tenant_id: str, key_id: str) -> Key:
    """Give one key of the tenant; `NotFound` else."""
    row = reading.one(f"SELECT {_COLUMNS} FROM api_keys WHERE id = ? AND tenant_id = ?", (key_id, tenant_id))
    if row is None:
        raise NotFound("There is no such key.", remedy="List the keys with GET /v1/keys.")
    return _key(row)


def newest_first(reading: Reading, tenant_id: str, cursor: str | None, limit: int) -> list[Key]:
    """Give up to `limit` keys older than `cursor` (a key's id)."""
    sql = f"SELECT {_COLUMNS} FROM api_keys WHERE tenant_id = ? AND id < ? ORDER BY id DESC LIMIT ?"
    return [_key(row) for row in reading.rows(sql, (tenant_id, cursor or "key_~", limit))]


def tenants(reading: Reading) -> list[str]:
    """Give the ids of all tenants, oldest first."""
    return [row[0] for row in reading.rows("SELECT id FROM tenants ORDER BY created_at, id")]


@single
def create(tx: Transaction, item: NewKey) -> Key:
    """Store a new key."""
    return _insert(tx, item)


@single
def revoke(tx: Transaction, item: Revoke) -> Key:
    """Take a key back at once; doing it again changes nothing."""
    key = show(tx, item.tenant_id, item.key_id)
    if key.revoked_at is not None:
        return key
    tx.announce("keys")
    tx.execute(
        "UPDATE api_keys SET revoked_at = ?, version = version + 1 WHERE id = ? AND tenant_id = ?",
        (to_ms(item.now), key.id, item.tenant_id),
    )
    tx.journal(
        Line(item.tenant_id, "key.revoked", key.id, key.version + 1, item.actor, item.now, reason=item.reason)
    )
    return show(tx, item.tenant_id, key.id)


@single
def rotate(tx: Transaction, item: Rotate) -> Key:
    """Make a successor of the same label, scopes and lifetime; the old key ends with the overlap. Gives the new one."""
    old = show(tx, item.tenant_id, item.key_id)
    tx.announce("keys")
    state = old.state(item.now)
    if state != "active":
        raise Conflict(
            f"A key that is {state} cannot be rotated.",
            code="key_not_active",
            remedy="Rotate its successor, or create a new key.",
        )
    lifetime = None if old.expires_at is None else timedelta(milliseconds=old.expires_at - old.created_at)
    new = _insert(
        tx,
        NewKey(
            item.tenant_id,
            old.label,
            old.environment,
            old.scopes,
            item.digest,
            None if lifetime is None else item.now + lifetime,
            item.actor,
            item.now,
        ),
    )
    ends_at = to_ms(item.now + item.overlap)
    if old.expires_at is not None:
        ends_at = min(ends_at, old.expires_at)
    tx.execute(
        "UPDATE api_keys SET expires_at = ?, successor_id = ?, version = version + 1 WHERE id = ? AND tenant_id = ?",
        (ends_at, new.id, old.id, item.tenant_id),
    )
    facts = {"successor_id": new.id}
    tx.journal(
        Line(item.tenant_id, "key.rotated", old.id, old.version + 1, item.actor, item.now, facts=facts)
    )
    return new


def touch(tx: Transaction, items: Sequence[Touch]) -> list[None]:
    """Note the last use of keys. No journal line: it changes nothing but what an operator sees."""
    latest: dict[str, int] = {}
    for item in items:
        latest[item.key_id] = max(latest.get(item.key_id, 0), to_ms(item.at))
    tx.many(
        "UPDATE api_keys SET last_used_at = ? WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)",
        [(at, key_id, at) for key_id, at in latest.items()],
    )
    return [None] * len(items)


@single
def begin(tx: Transaction, item: Bootstrap) -> Key | None:
    """Make the first tenant, `Default`, and a key with every scope; None when there is a tenant already."""
    if tenants(tx):
        return None
    tenant_id = tx.ids.new("tenant", item.now)
    tx.execute("INSERT INTO tenants VALUES (?, 'Default', ?)", (tenant_id, to_ms(item.now)))
    return _insert(
        tx,
        NewKey(
            tenant_id,
            "first key",
            "live",
            frozenset(key_text.SCOPES),
            item.digest,
            None,
            "gateway",
            item.now,
        ),
    )


def make_bootstrap(randomness: Randomness, now: datetime) -> tuple[str, Bootstrap]:
    """Make the text of a first key and the item that stores it with `begin`."""
    text = key_text.new_key("live", randomness)
    return text, Bootstrap(key_text.digest_of(text), now)


def _insert(tx: Transaction, item: NewKey) -> Key:
    key_id = tx.ids.new("key", item.now)
    scopes = " ".join(sorted(item.scopes))
    tx.execute(
        "INSERT INTO api_keys (id, tenant_id, label, environment, digest, scopes, created_at, expires_at, version)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
        (
            key_id,
            item.tenant_id,
            item.label,
            item.environment,
            item.digest,
            scopes,
            to_ms(item.now),
            optional_ms(item.expires_at),
        ),
    )
    facts = {"environment": item.environment, "scopes": sorted(item.scopes)}
    tx.journal(Line(item.tenant_id, "key.created", key_id, 1, item.actor, item.now, facts=facts))
    return show(tx, item.tenant_id, key_id)
