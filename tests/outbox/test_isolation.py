"""A number in trouble slows no other: what the others have waiting goes out as fast as its calls left free allow."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from tests.outbox.stage import OK, STOPPED, STUMBLE, THROTTLED
from tests.support import (
    FakeClock,
    ScriptedTransport,
    SeededNumber,
    accept_text,
    access_of,
    new_sender,
    new_store,
    seed_number,
    settle,
    status_of,
)

from waypost.domain.outcomes import Outcome, Unknown
from waypost.outbox.sender import Sender
from waypost.store.database import Store
from waypost.transports.base import Access, Recipient

NEVER = None


class TransportByNumber(ScriptedTransport):
    """Answers `outcome` for the sick number (None: not until told), yes for every other one."""

    def __init__(self, sick: str, outcome: Outcome | None) -> None:
        super().__init__(OK)
        self._sick, self._outcome = sick, outcome
        self.released = asyncio.Event()
        self.of_sick = 0

    async def send(self, access: Access, recipient: Recipient, content: bytes, echo: str) -> Outcome:
        if access.number_id != self._sick:
            return await super().send(access, recipient, content, echo)
        self.of_sick += 1
        if self._outcome is None:
            await self.released.wait()
        return self._outcome or Unknown("timeout")


class CountingTransport(ScriptedTransport):
    """Says yes to every number but the silent ones, and counts the calls of each."""

    def __init__(self, silent: frozenset[str] = frozenset()) -> None:
        super().__init__(OK)
        self._silent = silent
        self.released = asyncio.Event()
        self.of: Counter[str] = Counter()

    async def send(self, access: Access, recipient: Recipient, content: bytes, echo: str) -> Outcome:
        self.of[access.number_id] += 1
        if access.number_id in self._silent:
            await self.released.wait()
            return Unknown("timeout")
        return await super().send(access, recipient, content, echo)


class House:
    """Three numbers of two tenants, of which the first is sick, and a sender with room for ten calls."""

    def __init__(self, store: Store, numbers: list[SeededNumber], outcome: Outcome | None) -> None:
        self.store, self.numbers, self.clock = store, numbers, FakeClock()
        self.transport = TransportByNumber(numbers[0].number_id, outcome)
        self.sender: Sender = new_sender(
            store, self.transport, self.clock, in_flight_max=10, per_number_in_flight_max=5
        )
        self.sender._access_of = access_of

    async def accept_for(self, turn: int, count: int) -> list[str]:
        number = self.numbers[turn]
        return [
            await accept_text(self.store, number, self.clock, to=f"+49155500{turn}{n:04d}")
            for n in range(count)
        ]

    async def steps_until_sent(self, turn: int, ids: list[str], most: int = 60) -> int:
        for step in range(most):
            if {await status_of(self.store, self.numbers[turn], each) for each in ids} == {"sent"}:
                return step
            await settle(self.sender, steps=1)
            self.clock.advance(0.1)
        raise AssertionError("not sent")


async def opened(folder: Path, outcome: Outcome | None) -> House:
    await asyncio.to_thread(folder.mkdir)
    store = new_store(folder)
    numbers = [
        await seed_number(store, suffix=suffix, tenant_id=tenant)
        for suffix, tenant in (("1", "ten_1"), ("2", "ten_1"), ("3", "ten_2"))
    ]
    return House(store, numbers, outcome)


@pytest.mark.parametrize(
    "outcome",
    [STOPPED, THROTTLED, STUMBLE, Unknown("timeout"), NEVER],
    ids=["stopped", "throttled", "failing", "unknown", "silent"],
)
async def test_numbers_beside_a_sick_one_wait_one_claim_more_at_most(
    tmp_path: Path, outcome: Outcome | None
) -> None:
    taken = {}
    for name, sick in (("undisturbed", 0), ("disturbed", 40)):
        house = await opened(tmp_path / name, outcome)
        await house.accept_for(0, sick)
        # The sick one has had its chance to take what it can.
        await settle(house.sender, steps=3)
        assert (house.transport.of_sick > 0) == (sick > 0)
        ids = {turn: await house.accept_for(turn, 12) for turn in (1, 2)}
        taken[name] = [await house.steps_until_sent(turn, each) for turn, each in ids.items()]
        house.transport.released.set()
        await settle(house.sender, steps=2)
    # A silent one holds five of the ten calls until they time out: the others' 24 then go out five at a time.
    undisturbed, beside = (3, 5) if outcome is NEVER else (3, 3)
    assert max(taken["undisturbed"]) <= undisturbed
    assert max(taken["disturbed"]) <= beside + 1


async def test_a_silent_number_holds_its_share_of_the_calls_and_no_more(tmp_path: Path) -> None:
    house = await opened(tmp_path / "silent", NEVER)
    await house.accept_for(0, 40)
    await settle(house.sender, steps=5)
    assert (house.transport.of_sick, house.sender.in_flight) == (5, 5)
    house.transport.released.set()
    await settle(house.sender, steps=2)


async def test_a_stopped_number_costs_one_call_however_much_waits(tmp_path: Path) -> None:
    house = await opened(tmp_path / "stopped", STOPPED)
    await house.accept_for(0, 40)
    for _ in range(20):
        await settle(house.sender, steps=1)
        house.clock.advance(1.0)
    # The calls that were under way when the first answer came; after it nothing is tried again.
    assert house.transport.of_sick <= 5


async def test_few_busy_numbers_among_many_share_what_gets_free_evenly(tmp_path: Path) -> None:
    """Two neighbours in the list always have work, and there is room for one call: neither gets more of it."""
    store, clock = new_store(tmp_path), FakeClock()
    numbers = [await seed_number(store, suffix=f"{turn:02}") for turn in range(20)]
    transport = CountingTransport()
    sender = new_sender(store, transport, clock, in_flight_max=1, per_number_in_flight_max=1)
    sender._access_of = access_of
    for number in numbers[3:5]:
        for turn in range(24):
            await accept_text(store, number, clock, to=f"+4915{number.number_id[-2:]}{turn:07}")
    while transport.of.total() < 24:
        await settle(sender, steps=1)
        clock.advance(0.1)
    assert [transport.of[number.number_id] for number in numbers[3:5]] == [12, 12]


async def test_silent_numbers_leave_room_however_many_they_are(tmp_path: Path) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    numbers = [await seed_number(store, suffix=f"{turn:02}") for turn in range(20)]
    transport = CountingTransport(frozenset(number.number_id for number in numbers[:2]))
    sender = new_sender(store, transport, clock, in_flight_max=30, per_number_in_flight_max=26)
    sender._access_of = access_of
    for number in numbers[:2]:
        for turn in range(60):
            await accept_text(store, number, clock, to=f"+4915{number.number_id[-2:]}{turn:07}")
    await settle(sender, steps=10)
    for turn in range(40):
        await accept_text(store, numbers[5], clock, to=f"+491505{turn:07}")
    for _ in range(20):
        await settle(sender, steps=1)
        clock.advance(0.1)
    assert [transport.of[number.number_id] for number in (numbers[0], numbers[1], numbers[5])] == [13, 13, 40]
    transport.released.set()
    await settle(sender, steps=2)
