"""Runs a workflow's step again and again: when it asked to be run, or earlier when woken.

A step that raises is a bug or a fault outside (a full disk): it is logged by its class, never by its text, and tried
again after a pause, so that one sick workflow stops neither itself nor the others. A loop with a role steps only while
this process holds it, and comes to rest before another takes it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from waypost.domain.errors import Unavailable, places
from waypost.outbox.holding import Role
from waypost.store.processes import Fence

log = structlog.get_logger("waypost.app")
_PAUSE_SECONDS = 1.0
# A role that comes to this process wakes its loop; this only bounds what a missed word costs.
_NOT_OURS_SECONDS = 5.0


class Loop:
    """One workflow's loop; `beats` counts its steps, for liveness.

    With a `role`: `begin` is told under which fence the work (re)starts, `rest` brings it to rest.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[float]],
        woken: asyncio.Event | None = None,
        *,
        role: Role | None = None,
        begin: Callable[[Fence], None] | None = None,
        rest: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.name, self._step = name, step
        self.woken = woken or asyncio.Event()
        self.beats = 0
        self.fault: str | None = None
        self._stopping = False
        self._role, self._begin, self._rest = role, begin, rest
        self._fence: Fence | None = None
        if role is not None:
            role.woken = self.woken

    async def run(self) -> None:
        """Step until stopped, then come to rest."""
        while not self._stopping:
            self.woken.clear()
            wait = await self._safely(self._turn)
            if wait > 0 and not self._stopping and not self.woken.is_set():
                # Not `wait_for`: before Python 3.12 it makes a task of every wait.
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self.woken.wait()
            else:
                await asyncio.sleep(0)
        await self._safely(self._come_to_rest)

    async def _turn(self) -> float:
        if self._role is None:
            return await self._step()
        fence = self._role.fence
        if fence != self._fence:
            # Lost, to be given back, or taken anew under another epoch: nothing is carried over.
            await self._come_to_rest()
            fence = self._role.fence
            if fence is not None:
                self._role.begin()
                self._fence = fence
                if self._begin is not None:
                    self._begin(fence)
        return _NOT_OURS_SECONDS if self._fence is None else await self._step()

    async def _come_to_rest(self) -> float:
        if self._fence is not None and self._role is not None:
            try:
                if self._rest is not None:
                    await self._rest()
            finally:
                self._fence = None
                self._role.end()
        return 0.0

    async def _safely(self, turn: Callable[[], Awaitable[float]]) -> float:
        try:
            wait = await turn()
            self.fault = None
            return wait
        except Unavailable as fault:
            log.warning("step_unavailable", loop=self.name, code=fault.code)
            self.fault = fault.code
        except Exception as error:
            log.error("step_failed", loop=self.name, error=type(error).__name__, at=places(error))
            self.fault = type(error).__name__
        finally:
            self.beats += 1
        return _PAUSE_SECONDS

    def stop(self) -> None:
        """End after the present step."""
        self._stopping = True
        self.woken.set()
