"""A seeded event loop on virtual time: no threads, no sockets, the same order for the same seed.

Everything belongs to an actor (a gateway process, or the world outside). Within an actor callbacks run in the order
they were scheduled, as on asyncio's own loop; which actor runs next is drawn from the seed. A paused actor runs
nothing until it goes on; what a dead one had scheduled never runs.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")
_FAULT_CHARACTERS_MAX = 400


class Planned:
    """A callback to run: what asyncio calls a handle, with less in it."""

    __slots__ = ("args", "at", "callback", "context", "is_cancelled")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context, at: float
    ) -> None:
        self.callback, self.args, self.context, self.at = callback, args, context, at
        self.is_cancelled = False

    def cancel(self) -> None:
        """Do not run it; it is passed over when its time comes."""
        self.is_cancelled = True

    def cancelled(self) -> bool:
        """Say whether it was cancelled."""
        return self.is_cancelled

    def when(self) -> float:
        """Give its virtual time."""
        return self.at


class Actor:
    """Who a callback belongs to."""

    __slots__ = ("context", "is_alive", "is_paused", "name", "ready")

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_alive, self.is_paused = True, False
        self.ready: deque[Planned] = deque()
        self.context = copy_context()
        self.context.run(_ACTOR.set, self)


_ACTOR: ContextVar[Actor] = ContextVar("actor")


class SeededLoop(asyncio.AbstractEventLoop):
    """Runs until told to stop, or until a virtual time. `faults` holds what nobody caught."""

    def __init__(self, chance: Random) -> None:
        self._random = chance.random
        self._now = 0.0
        self._order = 0
        self._timers: list[tuple[float, int, Planned, Actor]] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._is_stopped = self._is_closed = False
        self.faults: list[str] = []
        self.world = Actor("world")
        self._actors = [self.world]

    def new_actor(self, name: str) -> Actor:
        """Add an actor."""
        actor = Actor(name)
        self._actors.append(actor)
        return actor

    def kill(self, actor: Actor) -> None:
        """End an actor between two callbacks: nothing of it runs any more."""
        actor.is_alive = False
        actor.ready.clear()
        self._actors.remove(actor)

    def spawn(self, actor: Actor, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Start `work` as a task of `actor`."""
        return self.create_task(work, context=actor.context.copy())

    def run_until(self, limit_seconds: float) -> None:
        """Run what is due up to a virtual time, or until `stop`."""
        self._is_stopped = False
        asyncio._set_running_loop(self)
        try:
            self._run(limit_seconds)
        finally:
            asyncio._set_running_loop(None)

    def _run(self, limit: float) -> None:
        timers, draw = self._timers, self._random
        while not self._is_stopped:
            runnable = [actor for actor in self._actors if actor.ready and not actor.is_paused]
            if not runnable:
                if not timers or timers[0][0] > limit:
                    self._now = max(self._now, limit)
                    return
                self._now = max(self._now, timers[0][0])
                while timers and timers[0][0] <= self._now:
                    _, _, timer, actor = heapq.heappop(timers)
                    if actor.is_alive and not timer.is_cancelled:
                        actor.ready.append(timer)
                continue
            actor = runnable[0] if len(runnable) == 1 else runnable[int(draw() * len(runnable))]
            planned = actor.ready.popleft()
            if planned.is_cancelled:
                continue
            try:
                planned.context.run(planned.callback, *planned.args)
            except Exception as error:
                self.faults.append(f"{planned.callback!r}: {error!r}"[:_FAULT_CHARACTERS_MAX])

    def stop(self) -> None:
        """Return from `run_until` after the present callback."""
        self._is_stopped = True

    def close(self) -> None:
        """End every task where it stands, quietly."""
        self._is_closed = True
        for task in self._tasks:
            if not task.done():
                with suppress(BaseException):
                    task.get_coro().close()
        self._tasks.clear()
        self._timers.clear()
        for actor in self._actors:
            actor.ready.clear()

    def time(self) -> float:
        """Give virtual seconds since the beginning."""
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Planned:
        """Schedule a callback for its context's actor."""
        context = copy_context() if context is None else context
        planned = Planned(callback, args, context, self._now)
        actor = context.get(_ACTOR, self.world)
        if actor.is_alive:
            actor.ready.append(planned)
        return planned

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Planned:
        """Schedule a callback after virtual seconds."""
        return self.call_at(self._now + max(delay, 0.0), callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Planned:
        """Schedule a callback for a virtual time."""
        context = copy_context() if context is None else context
        timer = Planned(callback, args, context, when)
        self._order += 1
        heapq.heappush(self._timers, (when, self._order, timer, context.get(_ACTOR, self.world)))
        return timer

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        future = self.create_future()
        timer = self.call_later(seconds, end, future)
        try:
            await future
        finally:
            timer.cancel()

    def create_future(self) -> "asyncio.Future[Any]":
        """Make a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **ignored: Any
    ) -> "asyncio.Task[Any]":
        """Start a task; it belongs to its context's actor."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        # A dead process's tasks are pending for ever, which is what a crash means.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody caught: it is told with the run."""
        error = context.get("exception")
        if not self._is_closed:
            self.faults.append(f"{context.get('message')}: {error!r}"[:_FAULT_CHARACTERS_MAX])

    def get_debug(self) -> bool:
        """Say no: asyncio's own checks cost more than the run."""
        return False

    def is_running(self) -> bool:
        """Say whether it runs."""
        return not self._is_closed

    def is_closed(self) -> bool:
        """Say whether it was closed."""
        return self._is_closed


def end(future: "asyncio.Future[Any]") -> None:
    """Let those go on who wait for a future, unless something else has."""
    if not future.done():
        future.set_result(None)
