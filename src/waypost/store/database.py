"""The room's front door: `Store.write` queues an operation for the next group commit, `Store.read` runs a query.

Threads are not started here: `app` gives an execution that drains the queue on a thread of its own; the plain one
runs everything where it is called, which is what tests, seeded runs and offline commands want.
"""

from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from waypost.store.engine import Committed, Engine, Operation, Write
from waypost.store.transaction import Reading

P = ParamSpec("P")
R = TypeVar("R")


class Execution(Protocol):
    """Where writes and reads run."""

    async def write(self, write: Write) -> Sequence[Committed]:
        """Return once the batch that holds `write` is on disk, or has failed. Gives the commits nobody was told of."""
        ...

    async def read(self, query: Callable[[Reading], R]) -> R:
        """Run `query` on a reading connection."""
        ...


class Inline:
    """Runs every write as a batch of one, at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading: Reading | None = None

    async def write(self, write: Write) -> Sequence[Committed]:
        """Commit `write` alone."""
        return self._engine.commit_batch([write])

    async def read(self, query: Callable[[Reading], R]) -> R:
        """Run `query` here and now."""
        if self._reading is None:
            self._reading = self._engine.reading()
        return self._reading.snapshot(query)


class Store:
    """Every change and every query of the gateway."""

    def __init__(self, engine: Engine, execution: Execution | None = None) -> None:
        self.engine = engine
        self.timeline = engine.timeline
        self._execution: Execution = execution or Inline(engine)
        self._followers: list[Callable[[Committed], None]] = []

    def follow(self, told: Callable[[Committed], None]) -> None:
        """Call `told` after every commit, on the caller's side: a wake-up, never the truth (that is the journal)."""
        self._followers.append(told)

    def hear(self, commit: Committed) -> None:
        """Tell the followers of a commit, this process's or another's."""
        for told in self._followers:
            told(commit)

    async def write(self, operation: Operation, item: Any, *, late: bool = False) -> Any:
        """Run `operation` on `item` in the next group commit; raises what the operation says to this caller.

        `late`: after the other operations of that commit.
        """
        write = Write(operation, item, late)
        for commit in await self._execution.write(write):
            self.hear(commit)
        if isinstance(write.result, BaseException):
            raise write.result
        return write.result

    async def read(self, query: Callable[Concatenate[Reading, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `query(reading, …)` and give its result."""
        return await self._execution.read(lambda reading: query(reading, *args, **kwargs))
