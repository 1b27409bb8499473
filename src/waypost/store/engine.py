"""The engine's common half: a queue of writes becomes one transaction, and each caller gets its own result.

`commit_batch` is a plain step: it takes what is queued, runs it in one durable transaction and gives the results. A
batch that fails is split until the culprit stands alone; a fault outside (a full disk, a lost database) fails all of
it as `Unavailable`, nothing is half written, and the next batch tries again by itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from msgspec import Struct

from waypost.domain.errors import Unavailable, WaypostError
from waypost.domain.ids import IdSource
from waypost.store.codec import Codec
from waypost.store.connection import Connection
from waypost.store.transaction import Reading, Transaction

# An operation takes every item of one batch that asks for it and gives one result per item. A result that is a
# WaypostError is raised to that item's caller alone.
Operation = Callable[[Transaction, Sequence[Any]], Sequence[Any]]


class Committed(Struct, frozen=True):
    """What a commit brought: the journal's last position, the numbers whose lanes may have work, and the other work
    that waits now (`callbacks` to read, `media` to fetch). `is_news`: it brought any of that; a beat that only renewed
    leases, say, did not."""

    position: int
    due_numbers: frozenset[str]
    waiting: frozenset[str]
    is_news: bool = True


class Write(Struct):
    """One queued write and, after its batch, its result (a value, or the exception for its caller).

    `late` writes run after the others of their batch: a claim then finds what was accepted in the same commit.
    """

    operation: Operation
    item: Any
    late: bool = False
    result: Any = None


_is_late = attrgetter("late")


def single(change: Callable[[Transaction, Any], Any]) -> Operation:
    """Make an operation of a function of one item; a WaypostError it raises undoes that item alone."""

    def operation(tx: Transaction, items: Sequence[Any]) -> Sequence[Any]:
        results: list[Any] = []
        for item in items:
            mark = tx.mark()
            try:
                results.append(change(tx, item))
            except WaypostError as error:
                tx.undo(mark)
                results.append(error)
            else:
                tx.release()
        return results

    operation.__name__ = change.__name__
    operation.__doc__ = change.__doc__
    return operation


class Engine(ABC):
    """One database, and this process's only way to change it.

    `shared`: other processes may be changing it too. `owner` names this life of this process, `timeline` this life of
    the journal (a restore begins another).
    """

    shared = False

    def __init__(self, codec: Codec, ids: IdSource, timeline: str, owner: str) -> None:
        self.codec, self.ids, self.timeline, self.owner = codec, ids, timeline, owner

    def commit_batch(self, writes: Sequence[Write]) -> Sequence[Committed]:
        """Run `writes` in one durable transaction (more when a fault splits it) and fill in their results."""
        try:
            return [self._attempt(writes)]
        except Exception as error:
            self._rollback()
            fault = self._fault_of(error)
            if fault is None and len(writes) > 1:
                middle = len(writes) // 2
                return [*self.commit_batch(writes[:middle]), *self.commit_batch(writes[middle:])]
            for write in writes:
                write.result = fault or error
        return []

    @abstractmethod
    def _attempt(self, writes: Sequence[Write]) -> Committed:
        """Run `writes` in one transaction that nobody else writes beside, and make it durable."""

    def _run(self, connection: Connection, writes: Sequence[Write]) -> Transaction:
        groups: dict[Operation, list[Write]] = {}
        for write in sorted(writes, key=_is_late):
            groups.setdefault(write.operation, []).append(write)
        tx = Transaction(connection, self.codec, self.ids, self.timeline)
        for operation, group in groups.items():
            results = operation(tx, [write.item for write in group])
            if len(results) != len(group):
                raise AssertionError(
                    f"{operation.__name__} gave {len(results)} results for {len(group)} items"
                )
            for write, result in zip(group, results, strict=True):
                write.result = result
        tx.flush()
        return tx

    def time_ms(self) -> int | None:
        """Give the time that the processes of a shared database agree on, or None where there is one process."""
        return None

    def heard(self, seconds: float) -> list[Committed]:
        """Wait up to `seconds` for commits of other processes; raises `Unavailable`."""
        raise TypeError("only processes of a shared database hear of each other")

    @abstractmethod
    def reading(self) -> Reading:
        """Open a connection of its own for queries; one thread at a time may use it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the database."""

    @abstractmethod
    def _rollback(self) -> None:
        """Take back what is not committed; nothing when there is nothing."""

    @abstractmethod
    def _fault_of(self, error: Exception) -> Unavailable | None:
        """Say which fault outside `error` is; None for a culprit among the writes."""


def brought(tx: Transaction) -> Committed:
    """Give what the commit of `tx` brought."""
    is_news = tx.position != tx.began_at or bool(tx.due_numbers or tx.waiting)
    return Committed(tx.position, frozenset(tx.due_numbers), frozenset(tx.waiting), is_news)
