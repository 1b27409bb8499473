"""Keeping numbers as Meta sees them: health, quality, throughput and limit are read again and journalled on change."""

from datetime import datetime, timedelta

import msgspec

from waypost.domain.errors import WaypostError
from waypost.domain.outcomes import Failed
from waypost.domain.ports import Clock
from waypost.numbers.access import AccessBook
from waypost.numbers.registry import seen_of
from waypost.store import numbers
from waypost.store.database import Store
from waypost.store.numbers import NumberSeen, Refreshed
from waypost.transports.cloud_api.management import Management
from waypost.transports.cloud_api.wire import FLAT

_ROUND = 20
_STEP_SECONDS_MAX = 60.0
_RETRY_SECONDS = 60.0
_TRANSIENT = frozenset({"retry", "wait_pair", "wait_number", "wait_account", "wait_day"})


class HealthRefresher:
    """Looks at every cloud number once per `refresh_seconds`."""

    def __init__(
        self, store: Store, management: Management, access: AccessBook, clock: Clock, refresh_seconds: float
    ) -> None:
        self._store, self._management, self._access, self._clock = store, management, access, clock
        self._refresh_seconds = refresh_seconds
        self._not_before: dict[str, datetime] = {}

    async def step(self) -> float:
        """Refresh what is due; gives the seconds until it wants to be called again."""
        now = self._clock.now()
        self._not_before = {number_id: at for number_id, at in self._not_before.items() if at > now}
        before = now - timedelta(seconds=self._refresh_seconds)
        # Those that wait after a failure stay due, so there is room for them beside a round of others.
        due = await self._store.read(numbers.due_for_refresh, before, _ROUND + len(self._not_before))
        ready = [each for each in due if each[1] not in self._not_before][:_ROUND]
        for tenant_id, number_id in ready:
            if not await self._refresh(tenant_id, number_id):
                self._not_before[number_id] = now + timedelta(seconds=_RETRY_SECONDS)
        if len(ready) == _ROUND:
            return 0.0
        return min(_STEP_SECONDS_MAX, self._refresh_seconds)

    async def _refresh(self, tenant_id: str, number_id: str) -> bool:
        """Read one number; False when it should be asked again soon."""
        try:
            access = await self._access.access_of(number_id)
            if access.graph_version == FLAT:
                return await self._keep(tenant_id, number_id, NumberSeen(), self._clock.now())
            asked_at = self._clock.now()
            answer = await self._management.phone_number(access)
            if not isinstance(answer, Failed):
                return await self._keep(tenant_id, number_id, seen_of(answer.value), asked_at)
            if answer.reaction in _TRANSIENT:
                return False
            # The token is dead or may not read: worth telling once, and the row says so.
            health = {"can_send_message": "UNKNOWN", "code": answer.code, "title": answer.title}
            return await self._keep(
                tenant_id, number_id, NumberSeen(health=msgspec.json.encode(health)), asked_at
            )
        except WaypostError:
            # Removed in between, or the disk refuses: asked again later, and whoever asks directly is told why.
            return False

    async def _keep(self, tenant_id: str, number_id: str, seen: NumberSeen, asked_at: datetime) -> bool:
        await self._store.write(numbers.refreshed, Refreshed(tenant_id, number_id, seen, "gateway", asked_at))
        return True
