"""Reading stored callbacks: in order, a page at a time, parsed off the write thread, applied in one transaction.

A callback stays stored until what it tells is applied, in the same commit that marks it read; a crash anywhere means
that it is read again. What the parser or the store stumbles over parks that one callback and nothing else.
Raw bodies go some days after they were read; parked ones stay until they could be.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from waypost.config import Inbox
from waypost.domain.errors import Unavailable
from waypost.domain.ports import Clock
from waypost.domain.provider_events import CallbackUnreadable, ProviderEvent
from waypost.domain.retry import RetryRules
from waypost.store.callback_pages import Applied, ParsedCallback, ParsedPage, apply_callbacks
from waypost.store.callbacks import Park, Purge, Purged, StoredCallback, park, purge, unread
from waypost.store.database import Store
from waypost.store.transaction import Reading
from waypost.transports.cloud_api.callbacks import parse

_log = structlog.get_logger("waypost.inbox")
# About 1,200 receipts: enough to make the cost of a commit small, little enough not to keep accepts waiting.
_PAGE_BYTES_MAX = 512 * 1024
# The reader is woken by every callback that is stored; this only finds what was left by a crash or a fault.
_IDLE_SECONDS = 1.0
_PURGE_ROWS_MAX = 1_000
_PURGE_PAUSE = timedelta(minutes=10)


class Reader:
    """Reads what is stored. `read` turns a body into events; a test gives one that fails."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        settings: Inbox,
        rules: RetryRules | None = None,
        read: Callable[[bytes], Sequence[ProviderEvent]] = parse,
    ) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._rules = rules or RetryRules()
        self._read = read
        self._purge_at: datetime | None = None

    async def step(self) -> float:
        """Read and apply one page; gives the seconds until there may be more."""
        parsed = await self._store.read(self._parsed_page)
        if not parsed:
            await self._drop_old()
            return _IDLE_SECONDS
        applied = await self._apply(parsed)
        if applied.parked:
            _log.warning("callbacks_parked", parked=applied.parked, read=applied.read)
        return 0.0

    def _parsed_page(self, reading: Reading) -> tuple[ParsedCallback, ...]:
        found = unread(reading, self._settings.parse_batch_callbacks_max, _PAGE_BYTES_MAX)
        return tuple(self._parsed(callback) for callback in found)

    def _parsed(self, callback: StoredCallback) -> ParsedCallback:
        events: tuple[ProviderEvent, ...] = ()
        fault = None
        try:
            events = tuple(self._read(callback.body))
        except CallbackUnreadable as unreadable:
            fault = f"unreadable: {unreadable.message}"
        except Exception as error:
            # A mistake of ours. Its message may hold what a customer wrote, so only its class is told.
            fault = f"parser_fault: {type(error).__name__}"
        return ParsedCallback(callback.id, callback.tenant_id, callback.app_id, events, fault)

    async def _apply(self, parsed: tuple[ParsedCallback, ...]) -> Applied:
        """Apply a page; when it fails, halve it until the culprit stands alone, and park that one."""
        page = ParsedPage(parsed, self._rules, self._clock.now())
        try:
            applied: Applied = await self._store.write(apply_callbacks, page)
            return applied
        except Exception as error:
            if isinstance(error, Unavailable) and error.retry_after_seconds is not None:
                raise  # the store, not the callbacks: they stay stored and are read again
            if len(parsed) == 1:
                return await self._park(parsed[0], error)
        middle = len(parsed) // 2
        first, second = await self._apply(parsed[:middle]), await self._apply(parsed[middle:])
        return Applied(first.read + second.read, first.parked + second.parked, first.events + second.events)

    async def _park(self, callback: ParsedCallback, error: Exception) -> Applied:
        fault = f"apply_fault: {type(error).__name__}"
        _log.error("callback_not_applied", callback_id=callback.id, error=type(error).__name__)
        await self._store.write(park, Park(callback.tenant_id, callback.id, fault, self._clock.now()))
        return Applied(0, 1, len(callback.events))

    async def _drop_old(self) -> None:
        """Now and then, while there is nothing to read: drop raw bodies whose time is over, a bounded number."""
        now = self._clock.now()
        if self._purge_at is not None and now < self._purge_at:
            return
        item = Purge(self._settings.raw_retention_days, _PURGE_ROWS_MAX, now)
        purged: Purged = await self._store.write(purge, item)
        more = max(purged.bodies, purged.rows) >= _PURGE_ROWS_MAX
        self._purge_at = now if more else now + _PURGE_PAUSE
