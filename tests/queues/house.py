"""What the queues' tests stand on: a store with a number and a key, an acceptor over it, drafts."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support import FakeClock, SeededNumber, new_store, seed_number

from waypost.app.brokers import as_webhooks_tell, taking
from waypost.domain.errors import WaypostError
from waypost.outbox.accept import Acceptor
from waypost.queues.base import Sink, Source, Take
from waypost.queues.forwarding import Forwarder
from waypost.queues.ingress import Ingress, Limits
from waypost.store import journal, keys, messages
from waypost.store.database import Store
from waypost.webhooks.payloads import is_pushed

LIMITS = Limits(in_flight_max=50, body_bytes_max=100_000, retention=timedelta(hours=72))


class NoTemplates:
    """A number's room without templates and media."""

    async def template(self, number: Any, draft: Any) -> Any:
        raise AssertionError("no draft here has a template")

    async def media(self, number: Any, media_id: str, field: str) -> str:
        raise AssertionError("no draft here has media")


class House:
    """A store with a number, and the key its queues act with."""

    def __init__(self, store: Store, number: SeededNumber, key_id: str, clock: FakeClock) -> None:
        self.store, self.number, self.key_id, self.clock = store, number, key_id, clock
        self.faults: list[WaypostError] = []
        self.acceptor = Acceptor(store, NoTemplates(), store.engine.ids, clock, self._check_room)

    def _check_room(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    def draft(self, text: str = "hi", **over: Any) -> bytes:
        body = {"from": self.number.number_id, "to": "+4915550001111", "type": "text", "text": {"body": text}}
        return json.dumps(body | over).encode()

    def ingress(self, source: Source, limits: Limits = LIMITS, take: Take | None = None) -> Ingress:
        return Ingress(
            "in", source, self.key_id, take or taking(self.acceptor), self.store, self.clock, limits
        )

    def forwarder(self, sink: Sink, from_beginning: bool = True) -> Forwarder:
        return Forwarder(
            "out", sink, self.key_id, self.store, self.clock, as_webhooks_tell, is_pushed, from_beginning
        )

    async def texts(self) -> list[str]:
        """The texts of all messages, in the order they were taken."""
        wish = messages.Search(tenant_id=self.number.tenant_id, limit=1000)
        found = [message.content for message in await self.store.read(messages.search, wish)]
        return [json.loads(content)["text"]["body"] for content in reversed(found)]

    async def event_ids(self) -> list[str]:
        return [event.id for event in await self.store.read(journal.after, 0, 10_000)]


async def furnish(folder: Path, scopes: tuple[str, ...] = ("messages:send", "events:read")) -> House:
    """A house on a new store in `folder`."""
    store, clock = new_store(folder), FakeClock()
    number = await seed_number(store)
    item = keys.NewKey("ten_1", "queues", "live", frozenset(scopes), b"d" * 32, None, "operator", clock.now())
    key = await store.write(keys.create, item)
    return House(store, number, key.id, clock)


def reenter(folder: Path, house: House) -> House:
    """The same house after its process died: another life on the same store."""
    return House(new_store(folder, seed=2), house.number, house.key_id, FakeClock(house.clock.at))
