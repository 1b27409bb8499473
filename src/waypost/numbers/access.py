"""What it takes to speak for a number, opened once and kept for a few seconds: the sender asks for every attempt."""

from datetime import datetime

from waypost.domain.errors import NotFound
from waypost.domain.ports import Clock
from waypost.store.database import Store
from waypost.store.numbers import Opened, open_access
from waypost.transports.base import Access

# A rotated token, in whichever process, is forgotten by its wake-up; where that is lost, the old one is used for no
# longer than this.
FRESH_SECONDS = 1.0


class AccessBook:
    """Accesses by number, read again when older than `fresh_seconds` or forgotten."""

    def __init__(self, store: Store, clock: Clock, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._store, self._clock, self._fresh_seconds = store, clock, fresh_seconds
        self._known: dict[str, tuple[datetime, Access]] = {}

    async def access_of(self, number_id: str) -> Access:
        """Give the access of a live cloud number; `NotFound` for any other."""
        now = self._clock.now()
        known = self._known.get(number_id)
        if known is not None and (now - known[0]).total_seconds() < self._fresh_seconds:
            return known[1]
        access = await access_of(self._store, number_id)
        if known is not None and known[1] == access:
            access = known[1]  # the same object, so that what is cached beside it stays
        self._known[number_id] = (now, access)
        return access

    def forget(self, number_id: str) -> None:
        """Read the number again when it is next asked for."""
        self._known.pop(number_id, None)

    def forget_all(self) -> None:
        """Read every number again: another process changed one."""
        self._known.clear()


async def access_of(store: Store, number_id: str) -> Access:
    """Open the access of a live cloud number; `NotFound` for any other."""
    opened: Opened | None = await store.read(open_access, number_id)
    if opened is None:
        raise NotFound("no such number, or it was removed", code="number_not_found")
    return Access(
        number_id=opened.number_id,
        phone_number_id=opened.phone_number_id,
        base_url=opened.base_url,
        graph_version=opened.graph_version,
        auth_header=opened.auth_header,
        token=opened.token,
    )
