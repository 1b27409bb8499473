"""The world outside the processes: callers who ask until they are answered, customers, the provider's callbacks and
the subscribers' ends of the line. Answers get lost, and then everybody asks again."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any

import msgspec

from waypost.domain.content import Text as TextContent
from waypost.domain.drafts import TextDraft
from waypost.domain.errors import Unavailable, WaypostError
from waypost.outbox.accept import Sender as Caller
from waypost.simulation.clocks import WallClock
from waypost.simulation.endpoints import Endpoint
from waypost.simulation.loop import SeededLoop, end
from waypost.simulation.plan import Inbound, Odd, Plan, Text
from waypost.simulation.process import SimulatedProcess
from waypost.simulation.provider import Provider, text_of
from waypost.simulation.settling import TENANT
from waypost.store.idempotency import Answer, Claim
from waypost.transports.egress import Reply, Unreachable

_CALLER = Caller(TENANT, "key:simulated", "test")
_ANSWER_SECONDS_MAX = 8.0
_LOST_ANSWERS = 0.05


class Outside:
    """`pick` gives a process to ask, when one is there. `accepted`: the message's id by a text's key; `settled`: the
    texts whose caller has an answer."""

    def __init__(
        self,
        plan: Plan,
        loop: SeededLoop,
        wall: WallClock,
        chance: Random,
        pick: Callable[[], SimulatedProcess | None],
    ) -> None:
        self.loop, self.wall, self.chance, self._pick = loop, wall, chance, pick
        odds = [item for item in plan.items if isinstance(item, Odd)]
        self.provider = Provider(loop, wall, chance, odds, self.post_callback)
        self.accepted: dict[int, str] = {}
        self.settled: set[int] = set()
        self.endpoints: dict[str, Endpoint] = {}

    async def _ask(self, process: SimulatedProcess, work: Coroutine[Any, Any, Any]) -> Any:
        """Ask a process something, as over the network: gives its answer, its error, or None when none came."""
        answered = self.loop.create_future()
        task = self.loop.spawn(process.actor, work)

        def done(task: "asyncio.Task[Any]") -> None:
            if not answered.done():
                answered.set_result(task.exception() or task.result())

        task.add_done_callback(done, context=self.loop.world.context)
        self.loop.call_later(_ANSWER_SECONDS_MAX, end, answered)
        return await answered

    async def send(self, item: Text) -> None:
        """Send one text, with the same key until there is an answer."""
        number = list(self.provider.lines)[item.number]
        now = self.wall.now()
        draft = TextDraft(
            from_=number,
            to=phone_of(item.contact),
            class_=item.message_class,
            on_unknown=item.on_unknown,
            not_before=_after(now, item.starts_after_seconds),
            expires_at=_after(now, item.expires_after_seconds),
            text=TextContent(body=text_of(item.key)),
        )
        claim = Claim(TENANT, f"text-{item.key}", b"%032d" % item.key, now + timedelta(days=30))
        while True:
            process = self._pick()
            if process is not None:
                answer = await self._ask(process, process.acceptor.take(draft, _CALLER, claim))
                # Now and then the answer is lost on its way, and the caller asks again.
                if isinstance(answer, Answer) and self.chance.random() >= _LOST_ANSWERS:
                    self.accepted[item.key] = msgspec.json.decode(answer.body)["id"]
                    break
                if isinstance(answer, WaypostError) and not isinstance(answer, Unavailable):
                    break
            await self.loop.sleep(0.5 + self.chance.random())
        self.settled.add(item.key)

    async def write(self, item: Inbound) -> None:
        """Let a customer write."""
        line = list(self.provider.lines.values())[item.number]
        self.provider.hear(item, line, phone_of(item.contact))

    def post_callback(self, app_id: str, signature: str, raw: bytes, taken: Any) -> None:
        """Bring a callback until it is answered 200; then call `taken`."""
        self.loop.spawn(self.loop.world, self._bring(app_id, signature, raw, taken))

    async def _bring(self, app_id: str, signature: str, raw: bytes, taken: Any) -> None:
        while True:
            process = self._pick()
            if process is not None:
                answer = await self._ask(process, process.inbox.accept(app_id, signature, raw))
                if isinstance(answer, bool):
                    taken()
                    # An answer may be lost: the provider brings it again.
                    if self.chance.random() >= _LOST_ANSWERS:
                        return
            await self.loop.sleep(0.5 + self.chance.random() * 2)

    async def post_webhook(
        self, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> Reply | Unreachable:
        """Bring a webhook to the subscriber it is for."""
        endpoint = list(self.endpoints.values())[int(url.rsplit("/", 1)[1])]
        return await endpoint.post(url, headers, body, timeout_seconds)


def phone_of(contact: int) -> str:
    """Give a contact's phone number."""
    return f"+49155500011{contact:02}"


def _after(now: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else now + timedelta(seconds=seconds)
