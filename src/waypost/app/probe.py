"""Whether the store can be written, asked by writing: what `/readyz` says of the database is no guess.

Anybody may ask `/readyz`, as often as they like: the answer is kept for a moment, and one question is out at a time.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from waypost.domain.errors import Unavailable
from waypost.store.database import Store
from waypost.store.engine import single
from waypost.store.transaction import Transaction

# Who asks waits no longer: a database that takes longer than this to commit nothing serves nobody well.
_ANSWER_SECONDS_MAX = 2.0
_KEPT_SECONDS = 0.25


@single
def _nothing(tx: Transaction, item: Any) -> None:
    """Change nothing: whether that can be committed is the question."""


class StoreProbe:
    """Asks `store`; `seconds` is a clock that only goes forward."""

    def __init__(self, store: Store, seconds: Callable[[], float]) -> None:
        self._store, self._seconds = store, seconds
        self._asked_at = float("-inf")
        self._fault: str | None = None
        self._asking: asyncio.Task[None] | None = None

    async def why_not(self) -> str | None:
        """Give why the store cannot be written now, or None."""
        if self._seconds() - self._asked_at >= _KEPT_SECONDS and self._asking is None:
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._answered)
        if self._asking is not None:
            await asyncio.wait({self._asking}, timeout=_ANSWER_SECONDS_MAX)
            if self._asking is not None:
                return "the database does not answer"
        return self._fault

    async def _ask(self) -> None:
        try:
            await self._store.write(_nothing, None)
            self._fault = None
        except Unavailable as fault:
            self._fault = f"{fault.message} ({fault.code})"

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._asking, self._asked_at = None, self._seconds()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fault = f"the database failed ({type(error).__name__})"
