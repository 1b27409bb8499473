"""What this process remembers of used-up quotas, so that a flood is turned away before it is read.

Learnt from the store's refusals and kept until one more is let through: at most that one reaches the writer, the rest
costs a look into a table.
"""

from datetime import datetime

from waypost.domain.times import to_ms
from waypost.store.quotas import QuotaExceeded, keys_of

_REMEMBERED_MAX = 10_000


class FloodMemory:
    """Keys of quotas that are used up, and until when."""

    def __init__(self) -> None:
        self._until_us: dict[str, int] = {}

    def learn(self, refusal: QuotaExceeded) -> None:
        """Remember a refusal."""
        if len(self._until_us) > _REMEMBERED_MAX:
            self._until_us.clear()
        self._until_us[refusal.key] = refusal.free_at_us

    def check_tenant(self, tenant_id: str, now: datetime) -> None:
        """Raise `QuotaExceeded` while the tenant's quota is known to be used up."""
        self._check("t:" + tenant_id, now)

    def check(self, tenant_id: str, number_id: str, now: datetime) -> None:
        """Raise `QuotaExceeded` while the tenant's or the number's quota is known to be used up."""
        for key in keys_of(tenant_id, number_id):
            self._check(key, now)

    def _check(self, key: str, now: datetime) -> None:
        until = self._until_us.get(key)
        if until is None:
            return
        now_us = to_ms(now) * 1000
        if until > now_us:
            raise QuotaExceeded(key, until, now_us)
        del self._until_us[key]
