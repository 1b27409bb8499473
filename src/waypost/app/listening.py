"""Hears the commits of the other processes on a shared database, on a thread of its own.

What is heard is a wake-up: whatever is missed while the database is away is found by polling.
"""

import asyncio
import threading

import structlog

from waypost.domain.errors import Unavailable
from waypost.store.database import Store
from waypost.store.engine import Committed

log = structlog.get_logger("waypost.app")
_LISTEN_SECONDS = 0.5
_PAUSE_SECONDS = 1.0


class Ears:
    """Gives what `store`'s engine hears to the store's followers, on the loop it is started on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to listen, where there are others to be heard."""
        if self._store.engine.shared:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(
                target=self._listen, args=(loop,), name="waypost-listen", daemon=True
            )
            self._thread.start()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        is_deaf = False
        while not self._stopping.is_set():
            try:
                heard = self._store.engine.heard(_LISTEN_SECONDS)
                is_deaf = False
            except Unavailable as fault:
                if not is_deaf:
                    log.warning("not_listening", code=fault.code)
                is_deaf = True
                self._stopping.wait(_PAUSE_SECONDS)
                continue
            if heard and not loop.is_closed():
                loop.call_soon_threadsafe(self._tell, heard)

    def _tell(self, heard: list[Committed]) -> None:
        for commit in heard:
            self._store.hear(commit)

    async def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
