"""The journal as a consumer pulls it: a tenant's wanted events behind a cursor, and the cursor to go on from."""

from msgspec import Struct

from waypost.store import subscriber_progress as progress
from waypost.store.journal import position_now
from waypost.store.transaction import Reading
from waypost.webhooks.filters import Filter
from waypost.webhooks.payloads import Telling, tellings

_PAGE_EVENTS = 1000
# A narrow filter over a long history gives a cursor and no events, rather than an answer that takes for ever.
_PAGES_MAX = 20


class Pulled(Struct, frozen=True):
    """Events, and the position to go on behind, even when nothing was wanted."""

    found: list[Telling]
    position: int


def pull(reading: Reading, tenant_id: str, position: int, limit: int, kinds: Filter) -> Pulled:
    """Give up to `limit` wanted events behind `position`."""
    found: list[Telling] = []
    for _ in range(_PAGES_MAX):
        last = position_now(reading)
        page = progress.behind(
            reading, tenant_id, position, _PAGE_EVENTS, lambda event: kinds.wants(event.kind)
        )
        room = limit - len(found)
        found += tellings(page.events[:room], page.contents, 0)
        if len(found) >= limit:
            return Pulled(found, found[-1].event.position)
        position = page.upto
        if position >= last:
            break
    return Pulled(found, position)
