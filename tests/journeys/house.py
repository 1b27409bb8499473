"""The house the stories happen in: emulator, a gateway process, a subscriber, all over real sockets."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes.harness import Api, Gateway, add_number, until
from tests.processes.sink import Event, Sink, Sinks, open_sinks

from waypost.emulator import DEMO, Emulator
from waypost.emulator.journeys import release
from waypost.emulator.phone_acts import write
from waypost.emulator.phone_state import Message, Phone
from waypost.emulator.ports import fresh_dice
from waypost.emulator.seed import add_number as add_number_at_meta
from waypost.emulator.stage import Pace

Wire = dict[str, Any]


@dataclass
class House:
    """What a story holds."""

    emulator: Emulator
    gateway: Gateway
    api: Api
    number: Wire
    sinks: Sinks
    sink: Sink
    subscriber: Wire
    _people: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def person(self) -> str:
        """A customer nobody has spoken with."""
        person = f"+49171{6000000 + next(self._people)}"
        self.phone(person).behaviour.auto_read_seconds = 0.05
        return person

    def phone(self, person: str) -> Phone:
        """A customer's phone."""
        return self.emulator.world.phone_or_new(person.lstrip("+"), DEMO.portfolio_id)

    async def number_of_its_own(self) -> Wire:
        """Another number, for stories that stop or pause theirs."""
        turn = len(self.emulator.world.numbers)
        number_id = str(106540000000500 + turn)
        add_number_at_meta(
            self.emulator.world, number_id, DEMO.waba_id, f"49155500005{turn:02d}", f"Number {turn}"
        )
        added: Wire = await add_number(self.api, self.emulator, self.gateway, number_id)
        return added

    def draft(self, to: str, text: str = "hello", **more: Any) -> Wire:
        """A text."""
        return {"from": self.number["id"], "to": to, "type": "text", "text": {"body": text}} | more

    async def send(self, to: str, text: str = "hello", **more: Any) -> str:
        """Send a text; gives the message id."""
        reply = await self.api.call("POST", "/v1/messages", self.draft(to, text, **more))
        return str(reply.ok(202)["id"])

    def say(self, person: str, **wanted: Any) -> Message:
        """Let a customer write."""
        number = self.emulator.world.numbers[self.number["phone_number_id"]]
        return write(self.emulator.stage, number, self.phone(person), wanted)

    async def status(self, message_id: str, *wanted: str, seconds_max: float = 10) -> Wire:
        """Wait for one of these statuses; gives the message with its timeline."""
        seen: Wire = {}

        async def there() -> bool:
            nonlocal seen
            seen = await self.api.message(message_id)
            return seen["message"]["status"] in wanted

        try:
            await until(there, seconds_max, f"{message_id} is {' or '.join(wanted)}")
        except AssertionError as fault:
            raise AssertionError(f"{fault}; it is {seen['message']['status']}: {seen['timeline']}") from None
        return seen

    async def told(self, kind: str, seconds_max: float = 10, **facts: Any) -> Event:
        """Wait until the subscriber hears an event of this kind with these values in its data or its facts."""
        found: list[Event] = []

        async def there() -> bool:
            found[:] = [event for event in self.sink.of(kind) if _fits(event, facts)]
            return bool(found)

        await until(there, seconds_max, f"the subscriber hears {kind} {facts}")
        return found[0]

    @contextlib.contextmanager
    def trouble(self, **fault: Any) -> Any:
        """A fault of the provider for as long as the block lasts."""
        placed = self.emulator.fault(**fault)
        try:
            yield placed
        finally:
            if (gone := self.emulator.faults.remove(placed.id)) is not None:
                release(self.emulator.stage, gone)

    def ledger_of(self, detail: Wire) -> list[str]:
        """The attempts of a message that the provider took, in its order."""
        ours = {attempt["id"] for attempt in detail["attempts"]}
        return [
            str(line.biz_opaque_callback_data)
            for line in self.emulator.world.ledger
            if line.biz_opaque_callback_data in ours
        ]


def _fits(named: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(value in (named.get(key), named["data"].get(key)) for key, value in wanted.items())


@contextlib.asynccontextmanager
async def open_house(folder: Path, over: Mapping[str, Wire] | None = None) -> AsyncIterator[House]:
    """Start everything, and leave nothing behind."""
    emulator = Emulator(random=fresh_dice(1), pace=Pace(0.02, 0.04, 0.1))
    url = await emulator.start()
    gateway = Gateway(folder, url, over or {})
    sinks = await open_sinks()
    api: Api | None = None
    try:
        await gateway.start()
        api = await gateway.caller()
        number = await add_number(api, emulator, gateway)
        sink = sinks.add("subscriber")
        wanted = {"url": sinks.url(sink), "label": "test", "kinds": [], "batch_events_max": 1}
        subscriber = await api.post("/v1/subscribers", wanted)
        sink.secret = subscriber["secret"]
        yield House(emulator, gateway, api, number, sinks, sink, subscriber)
    finally:
        if api is not None:
            await api.close()
        if gateway.process is not None:
            await gateway.kill()
        await sinks.close()
        await emulator.stop()
