"""Quotas of acceptance, per tenant and per number: rows an operator sets, spent within the accepting transaction.

Spent where the message is written, so that the processes of a shared database share them; one look and one write for
all drafts of a batch.
"""

import math
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal

from msgspec import Struct

from waypost.domain import pace
from waypost.domain.errors import Busy, NotFound
from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.transaction import Line, Reading, Row, Transaction

QuotaScope = Literal["tenant", "number"]
_PREFIX: dict[QuotaScope, str] = {"tenant": "t:", "number": "n:"}

_KNOWN = """
SELECT q.key, q.accepts_per_second, q.burst, p.arrival_us
FROM quotas q LEFT JOIN pace p ON p.key = 'q:' || q.key
WHERE q.accepts_per_second IS NOT NULL AND q.key IN (%s)
"""
_SPEND = """
INSERT INTO pace (key, arrival_us) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET arrival_us = excluded.arrival_us
"""


class Quota(Struct, frozen=True):
    """What may be accepted for one tenant or number: so many a second in the long run, `burst` at once."""

    scope: QuotaScope
    id: str
    tenant_id: str
    accepts_per_second: int | None
    burst: int
    version: int
    changed_at: int


class SetQuota(Struct, frozen=True):
    """A quota to set; `accepts_per_second` None takes it away."""

    scope: QuotaScope
    id: str
    tenant_id: str
    accepts_per_second: int | None
    burst: int
    actor: str
    now: datetime


class QuotaExceeded(Busy):
    """More than the quota lets through; `key` names it, `free_at_us` when one more is let through."""

    def __init__(self, key: str, free_at_us: int, now_us: int) -> None:
        seconds = max(0.0, (free_at_us - now_us) / 1_000_000)
        self.key, self.free_at_us = key, free_at_us
        whose = "tenant" if key.startswith("t:") else "number"
        super().__init__(
            f"the {whose}'s quota of accepted messages is used up",
            code="quota_exceeded",
            field="from" if whose == "number" else None,
            remedy="send again after Retry-After; `waypost quotas list` shows the quotas",
            retry_after_seconds=max(1, math.ceil(seconds)),
        )


class Spending:
    """The quotas that one transaction spends from."""

    def __init__(self, tx: Transaction, pairs: Iterable[tuple[str, str]]) -> None:
        keys = {key for tenant_id, number_id in pairs for key in keys_of(tenant_id, number_id)}
        self._rates: dict[str, pace.Rate] = {}
        self._arrivals: dict[str, int] = {}
        self._spent: set[str] = set()
        for key, per_second, burst, arrival in tx.rows_in(_KNOWN, keys):
            self._rates[key] = pace.Rate(max(1, 1_000_000 // per_second), burst)
            self._arrivals[key] = arrival or 0

    def take(self, tenant_id: str, number_id: str, now: datetime) -> QuotaExceeded | None:
        """Spend one of the tenant's and one of the number's; give the refusal, and spend neither, if one is used up."""
        if not self._rates:
            return None
        now_us = to_ms(now) * 1000
        keys = [key for key in keys_of(tenant_id, number_id) if key in self._rates]
        for key in keys:
            if not pace.available(self._rates[key], self._arrivals[key], now_us):
                return QuotaExceeded(key, pace.next_at_us(self._rates[key], self._arrivals[key]), now_us)
        for key in keys:
            self._arrivals[key] = pace.spend(self._rates[key], self._arrivals[key], now_us, 1)
            self._spent.add(key)
        return None

    def save(self, tx: Transaction) -> None:
        """Write what was spent."""
        tx.many(_SPEND, [("q:" + key, self._arrivals[key]) for key in sorted(self._spent)])


def keys_of(tenant_id: str, number_id: str) -> Iterator[str]:
    """Give the keys under which a draft of this tenant for this number is counted."""
    yield "t:" + tenant_id
    yield "n:" + number_id


@single
def put(tx: Transaction, item: SetQuota) -> Quota:
    """Set a quota, or take it away; raises `NotFound` for a number the tenant does not have."""
    if item.scope == "number" and not tx.rows(
        "SELECT 1 FROM numbers WHERE id = ? AND tenant_id = ? AND state <> 'removed'",
        (item.id, item.tenant_id),
    ):
        raise NotFound("no number of this id", code="no_such_number", field="id")
    key, at = _PREFIX[item.scope] + item.id, to_ms(item.now)
    before = tx.one("SELECT version FROM quotas WHERE key = ?", (key,))
    version = 1 if before is None else before[0] + 1
    tx.execute(
        "INSERT INTO quotas (key, tenant_id, accepts_per_second, burst, version, changed_at)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
        " accepts_per_second = excluded.accepts_per_second, burst = excluded.burst,"
        " version = excluded.version, changed_at = excluded.changed_at",
        (key, item.tenant_id, item.accepts_per_second, item.burst, version, at),
    )
    # What was spent under the old rate means nothing under the new one.
    tx.execute("DELETE FROM pace WHERE key = ?", ("q:" + key,))
    tx.journal(
        Line(
            item.tenant_id,
            "quota.changed",
            "quo_" + key.replace(":", "_"),
            version,
            item.actor,
            item.now,
            number_id=item.id if item.scope == "number" else None,
            facts={"scope": item.scope, "accepts_per_second": item.accepts_per_second, "burst": item.burst},
        )
    )
    return Quota(item.scope, item.id, item.tenant_id, item.accepts_per_second, item.burst, version, at)


def of_tenant(reading: Reading, tenant_id: str) -> list[Quota]:
    """Give the tenant's quotas: its own and its numbers'."""
    sql = (
        "SELECT key, tenant_id, accepts_per_second, burst, version, changed_at FROM quotas"
        " WHERE tenant_id = ? AND accepts_per_second IS NOT NULL ORDER BY key"
    )
    return [_quota(row) for row in reading.rows(sql, (tenant_id,))]


def _quota(row: Row) -> Quota:
    scope: QuotaScope = "tenant" if row[0].startswith("t:") else "number"
    return Quota(scope, row[0][2:], *row[1:])
