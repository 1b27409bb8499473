"""Wires the queues that the settings name: sources into the acceptor, the journal into the forwards."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from msgspec import Struct

from waypost.config import Config
from waypost.domain.drafts import AnyDraft
from waypost.domain.ports import Clock
from waypost.outbox.accept import Acceptor, Sender
from waypost.queues.base import Acting, Take
from waypost.queues.forwarding import Forwarder
from waypost.queues.ingress import Fate, Ingress, Limits
from waypost.queues.opening import open_sink, open_source
from waypost.store.database import Store
from waypost.store.idempotency import Answer, Claim
from waypost.store.journal import Event
from waypost.webhooks.payloads import Telling, is_pushed


class Brokers(Struct, frozen=True):
    """What the settings name: each source runs in every process, each forward in one at a time."""

    sources: tuple[Ingress, ...]
    forwards: tuple[Forwarder, ...]

    def drain(self) -> None:
        """Let the steps under way end soon."""
        for each in self.forwards:
            each.drain()

    async def close(self) -> None:
        """Let go of the brokers, once the loops have ended; what was not settled comes again."""
        for source in self.sources:
            await source.close()
        for forward in self.forwards:
            await forward.close()


def brokers(
    config: Config,
    store: Store,
    acceptor: Acceptor,
    clock: Clock,
    counted: Callable[[str, Fate], None] = lambda name, fate: None,
) -> Brokers:
    """Make sources and forwards, nothing connected yet. Raises `Unavailable` when a broker's client is missing."""
    settings = config.queues
    limits = Limits(
        settings.in_flight_max,
        config.http.request_body_bytes_max,
        timedelta(hours=config.idempotency.retention_hours),
    )
    sources = [
        Ingress(
            f"{row.broker}:{row.queue}",
            open_source(row, settings),
            row.key_id,
            taking(acceptor),
            store,
            clock,
            limits,
            counted,
        )
        for row in settings.source_rows
    ]
    forwards = [
        Forwarder(
            f"{row.broker}:{row.queue}",
            open_sink(row, settings),
            row.key_id,
            store,
            clock,
            as_webhooks_tell,
            is_pushed,
            from_beginning=settings.forward_from == "beginning",
        )
        for row in settings.forward_rows
    ]
    return Brokers(tuple(sources), tuple(forwards))


def taking(acceptor: Acceptor) -> Take:
    """Give the acceptor as the queues see it."""

    async def take(draft: AnyDraft, who: Acting, claim: Claim) -> Answer:
        return await acceptor.take(draft, Sender(who.tenant_id, who.actor, who.environment), claim)

    return take


def as_webhooks_tell(event: Event, contents: Mapping[str, bytes | None], read_at: int) -> bytes:
    """Give an event as the bytes that subscribers get."""
    return Telling(event, dict(contents), read_at).json
