"""What a broker is to us: a source of drafts that must each be settled, and a sink that confirms each event."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from waypost.domain.drafts import AnyDraft
from waypost.domain.errors import Unavailable
from waypost.domain.keys import Environment
from waypost.store.idempotency import Answer, Claim

# What goes on the wire beside a body, the same on both brokers.
KEY_HEADER = "Idempotency-Key"
PROBLEM_HEADER = "Waypost-Problem"
TYPE_HEADER = "Waypost-Event-Type"


class BrokerDown(Unavailable):
    """The broker can't be reached, or didn't answer in time; whatever was not settled comes again."""

    code = "broker_unreachable"


class Received(Struct, frozen=True):
    """One message from a queue. `key` is None when it has none; `ticket` is the adapter's own, to settle it with."""

    body: bytes
    key: str | None
    reference: str  # where the broker keeps it, for the problem document and the log; no content
    ticket: Any

    def __repr__(self) -> str:
        return f"Received({self.reference})"


class Source(Protocol):
    """A queue to take from. Everything received and not settled comes again, to us or to another process."""

    async def receive(self, limit: int, wait_seconds: float) -> Sequence[Received]:
        """Give up to `limit` messages as soon as there is one, none after `wait_seconds`; connects when it has to.

        Raises `BrokerDown`.
        """
        ...

    async def done(self, received: Received) -> None:
        """Tell the broker that this message need not come again. Raises `BrokerDown`."""
        ...

    async def later(self, received: Received, delay_seconds: float) -> None:
        """Give the message back; `delay_seconds` is a wish. Raises `BrokerDown`."""
        ...

    async def bury(self, received: Received, problem: bytes) -> None:
        """Put the message with its problem (ASCII JSON) among the dead letters, confirmed; only then it is done.

        Raises `BrokerDown`.
        """
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...


class Outgoing(Struct, frozen=True):
    """One event to forward: its id, which brokers and consumers know a repeat by, its kind, its body."""

    id: str
    kind: str
    body: bytes


class Sink(Protocol):
    """A queue to put events into."""

    async def publish(self, event: Outgoing) -> None:
        """Return once the broker has confirmed that it keeps the event; connects when it has to.

        Raises `BrokerDown`, also when the broker refuses: then nothing was confirmed.
        """
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...


class Acting(Struct, frozen=True):
    """On whose behalf a queue's messages are taken: as for a request with that key."""

    tenant_id: str
    actor: str
    environment: Environment


Take = Callable[[AnyDraft, Acting, Claim], Awaitable[Answer]]
