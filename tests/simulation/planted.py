"""Bugs to plant: each puts a broken variant in the place of one piece of the real code, and takes it out again."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from waypost.domain.outcomes import Failed, Unknown
from waypost.outbox.sender import Sender
from waypost.store import claims, receipts
from waypost.webhooks.follower import Follower


@contextmanager
def _instead(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    real = getattr(owner, name)
    setattr(owner, name, make(real))
    try:
        yield
    finally:
        setattr(owner, name, real)


@contextmanager
def a_far_poll() -> Iterator[None]:
    """No bug by itself: lanes are asked only when woken, so that a lost wake-up shows."""

    def make(real: Any) -> Any:
        async def keep(self: Sender) -> None:
            before, held = dict(self._next_at), set(self._epochs)
            await real(self)
            for number_id in held & self._epochs.keys():
                self._next_at[number_id] = before.get(number_id, 0)

        return keep

    with _instead(Sender, "_keep", make):
        yield


@contextmanager
def a_lost_wakeup() -> Iterator[None]:
    """A wake-up that comes while a claim is under way is overwritten by the claim's answer."""

    def make(real: Any) -> Any:
        def note(self: Sender, request: Any, answer: Any) -> None:
            real(self, request, answer)
            self._told_of.discard(request.number_id)

        return note

    with a_far_poll(), _instead(Sender, "_note", make):
        yield


@contextmanager
def a_claim_without_epoch_check() -> Iterator[None]:
    """Whoever believes to hold a lane may claim from it."""

    def make(real: Any) -> Any:
        def opened(request: Any, lane: Any) -> Any:
            if lane is None:
                return real(request, lane)
            found = real(replace(request, owner=lane[1], epoch=lane[2]), lane)
            if isinstance(found, claims._Opened):
                found.request = request
            return found

        return opened

    with _instead(claims, "_open", make):
        yield


@contextmanager
def a_receipt_matched_by_provider_id_only() -> Iterator[None]:
    """What the provider echoes of ours is not looked at."""

    def make(real: Any) -> Any:
        def applied(tx: Any, items: Sequence[Any]) -> Any:
            return real(tx, [replace(item, echo=None) for item in items])

        return applied

    with _instead(receipts, "_apply", make):
        yield


@contextmanager
def a_cursor_moved_before_the_answer() -> Iterator[None]:
    """What is taken to be told counts as told."""

    def make(real: Any) -> Any:
        def take(self: Follower) -> Any:
            entries, turn = real(self)
            for entry in entries:
                self.backlog.close(entry)
            return entries, turn

        return take

    with _instead(Follower, "take", make):
        yield


@contextmanager
def a_retry_after_unknown() -> Iterator[None]:
    """A call without an answer counts as one that failed, and is made again."""

    def make(real: Any) -> Any:
        async def record(self: Sender, claimed: Any, outcome: Any) -> None:
            if isinstance(outcome, Unknown):
                outcome = Failed(None, "retry", "no answer", "")
            await real(self, claimed, outcome)

        return record

    with _instead(Sender, "_record", make):
        yield


@contextmanager
def a_lane_that_is_always_first() -> Iterator[None]:
    """Whatever room gets free is offered to the lanes in one order that never changes."""

    def make(real: Any) -> Any:
        return lambda self, ready: sorted(ready)

    with _instead(Sender, "_in_turn", make):
        yield
