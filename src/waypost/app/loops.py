"""Runs a workflow's step again and again: when it asked to be run, or earlier when woken.

A step that raises is a bug or a fault outside (a full disk): it is logged by its class, never by its text, and tried
again after a pause, so that one sick workflow stops neither itself nor the others.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from waypost.domain.errors import Unavailable, places

log = structlog.get_logger("waypost.app")
_PAUSE_SECONDS = 1.0


class Loop:
    """One workflow's loop; `beats` counts its steps, for liveness."""

    def __init__(
        self, name: str, step: Callable[[], Awaitable[float]], woken: asyncio.Event | None = None
    ) -> None:
        self.name, self._step = name, step
        self.woken = woken or asyncio.Event()
        self.beats = 0
        self.fault: str | None = None
        self._stopping = False

    async def run(self) -> None:
        """Step until stopped."""
        while not self._stopping:
            self.woken.clear()
            wait = await self._safely()
            if wait > 0 and not self._stopping:
                try:
                    await asyncio.wait_for(self.woken.wait(), wait)
                except TimeoutError:
                    continue
            else:
                await asyncio.sleep(0)

    async def _safely(self) -> float:
        try:
            wait = await self._step()
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
