"""A gateway's telling side on a virtual clock: a journal to write to, and an endpoint that answers as told."""

import asyncio
import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from tests.support import FakeClock, SeededRandomness, new_store

from waypost.config import Webhooks
from waypost.domain.times import to_ms
from waypost.store import subscribers
from waypost.store.database import Store
from waypost.store.engine import single
from waypost.store.journal import Event, after
from waypost.store.transaction import Line, Reading, Transaction
from waypost.transports.egress import Reply, Unreachable
from waypost.webhooks.teller import Teller

TENANT = "ten_1"
SECRET = b"s" * 32
WHSEC = "whsec_" + base64.b64encode(SECRET).decode()

Answer = Reply | Unreachable


def says(status: int, **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"")


class Post(Struct):
    """One POST as it arrived."""

    url: str
    headers: dict[str, str]
    body: bytes
    at_seconds: float
    status: int | str = ""

    @property
    def events(self) -> list[dict[str, Any]]:
        payload = msgspec.json.decode(self.body)
        events: list[dict[str, Any]] = payload.get("events", [payload])
        return events

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]


class Endpoint:
    """Answers 200 unless `rule` says otherwise; `told` are the events it said yes to, in order."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.began = clock, clock.at
        self.rule: Callable[[Post], Answer | None] = lambda post: None
        self.gate: asyncio.Event | None = None
        self.posts: list[Post] = []
        self.under_way = self.most_under_way = 0

    async def __call__(
        self, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> Answer:
        post = Post(url, dict(headers), body, (self.clock.at - self.began).total_seconds())
        self.posts.append(post)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        self.under_way -= 1
        answer = self.rule(post) or says(200)
        post.status = answer.fault if isinstance(answer, Unreachable) else answer.status
        return answer

    @property
    def told(self) -> list[dict[str, Any]]:
        return [event for post in self.posts if post.status == 200 for event in post.events]

    @property
    def told_ids(self) -> list[str]:
        return [event["id"] for event in self.told]


class Happening(Struct, frozen=True):
    contact: str
    kind: str = "message.sent"
    tenant_id: str = TENANT
    content: bytes | None = None


class Happenings(Struct, frozen=True):
    items: tuple[Happening, ...]
    at: Any
    first: int


@single
def happen(tx: Transaction, many: Happenings) -> list[str]:
    """Journal events, each of an aggregate of its own; gives their ids."""
    ids = []
    for number, item in enumerate(many.items, many.first):
        content_id = None
        if item.content is not None:
            content_id = f"cnt_{number}"
            body = tx.codec.encode(item.tenant_id, item.contact, item.content)
            tx.execute(
                "INSERT INTO contents VALUES (?, ?, ?, ?, NULL)",
                (content_id, item.tenant_id, item.contact, body),
            )
        line = Line(
            item.tenant_id,
            item.kind,
            f"msg_{number}",
            1,
            "gateway",
            many.at,
            number_id="num_1",
            contact_id=item.contact,
            content_id=content_id,
            facts={"n": number},
        )
        ids.append(f"evt_{tx.timeline}_{tx.journal(line)}")
    return ids


class Stage:
    """The whole of it. `quick` settings may be given by name."""

    def __init__(self, folder: Path, **over: Any) -> None:
        self.store: Store = new_store(folder)
        self.clock = FakeClock()
        self.config = Webhooks(**over)
        self.endpoint = Endpoint(self.clock)
        self.teller = self.new_teller()
        self._count = 0

    def new_teller(self) -> Teller:
        """As after a restart of the process."""
        self.teller = Teller(self.store, self.clock, SeededRandomness(3), self.endpoint, self.config)
        return self.teller

    async def subscribe(self, url: str = "https://sink.example/hook", **over: Any) -> subscribers.Subscriber:
        values: dict[str, Any] = {
            "tenant_id": TENANT,
            "url": url,
            "label": "sink",
            "kinds": (),
            "batch_events_max": 1,
            "from_beginning": False,
            "secret": subscribers.NewSecret("v1", SECRET, None),
            "actor": "operator",
            "now": self.clock.now(),
        }
        found: subscribers.Subscriber = await self.store.write(
            subscribers.add, subscribers.NewSubscriber(**(values | over))
        )
        return found

    async def happen(self, *contacts: str, **over: Any) -> list[str]:
        """One event for each contact named, in this order."""
        return await self.happen_all([Happening(contact, **over) for contact in contacts])

    async def happen_all(self, items: list[Happening]) -> list[str]:
        many = Happenings(tuple(items), self.clock.now(), self._count)
        self._count += len(items)
        ids: list[str] = await self.store.write(happen, many)
        return ids

    async def settle(self, rounds: int = 12) -> float:
        """Step until nothing more happens at this moment; gives how long the teller wants to sleep."""
        wait = 0.0
        for _ in range(rounds):
            wait = await self.teller.step()
            for _ in range(10):
                await asyncio.sleep(0)
        return wait

    async def run(self, seconds: float, *, least: float = 0.5) -> None:
        """Let virtual time go by, stepping when the teller asked for it."""
        end = to_ms(self.clock.at) + int(seconds * 1000)
        while (left := (end - to_ms(self.clock.at)) / 1000) > 0:
            wait = await self.settle(4)
            self.clock.advance(min(left, max(wait, least)))
        await self.settle()

    async def row(self, subscriber_id: str) -> subscribers.Subscriber:
        found = await self.store.read(subscribers.by_id, subscriber_id)
        assert found is not None
        return found

    async def owed(self, subscriber_id: str) -> list[tuple[int, str, int]]:
        """The rows of exceptions: position, state, tries."""

        def rows(reading: Reading) -> list[tuple[int, str, int]]:
            return [
                (row[0], row[1], row[2])
                for row in reading.rows(
                    "SELECT position, state, tries FROM subscriber_exceptions WHERE subscriber_id = ? ORDER BY 1",
                    (subscriber_id,),
                )
            ]

        return await self.store.read(rows)

    async def journal(self, kind: str = "") -> list[Event]:
        events = await self.store.read(after, 0, 100_000)
        return [event for event in events if event.kind.startswith(kind)]


def by_contact(events: list[dict[str, Any]]) -> dict[str, list[int]]:
    """The numbers of the events told, for each contact."""
    found: dict[str, list[int]] = {}
    for event in events:
        if event["contact_id"]:
            found.setdefault(event["contact_id"], []).append(event["data"]["n"])
    return found
