"""Nobody who said no is written to: at acceptance, at the claim, and after a restore from before they said it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests import engines
from tests.support import (
    START,
    FakeClock,
    ScriptedTransport,
    SeededRandomness,
    accept_text,
    kinds_of,
    new_sender,
    new_store,
    seed_number,
    settle,
    status_of,
)

from waypost.domain.addresses import parse_address
from waypost.domain.classes import CLASSES
from waypost.domain.errors import Conflict, Unavailable
from waypost.domain.outcomes import Sent
from waypost.domain.times import to_ms
from waypost.operations.backup import take
from waypost.operations.missing import known_missing
from waypost.operations.restore import Restored, restore
from waypost.operations.withdrawing import Withdrawals
from waypost.store import contacts, withdrawals
from waypost.store.contacts import AliasSeen
from waypost.store.database import Store
from waypost.store.engine import single
from waypost.store.journal import position_now
from waypost.store.second_place import SecondFolder, unreachable
from waypost.store.withdrawals import Withdrawing

pytestmark = pytest.mark.parametrize("engine", engines.NAMES, indirect=True)
KEY, SALT = b"k" * 32, b"s" * 16
PERSON, OTHER = "+4915550001111", "+4915550002222"
LATER = START + timedelta(hours=2)


def saying_no(to: str = PERSON, purpose: Any = "marketing", now: Any = START) -> Withdrawing:
    return Withdrawing("ten_1", parse_address(to), purpose, None, "key:key_1", now)


class AwayPlace(SecondFolder):
    """A folder whose mount comes and goes."""

    is_away = False

    def put(self, entries: Any) -> None:
        if self.is_away:
            raise unreachable("it is away")
        super().put(entries)


def new_place(tmp_path: Path) -> AwayPlace:
    (tmp_path / "second").mkdir(exist_ok=True)
    return AwayPlace(tmp_path / "second")


def rank(name: Any) -> int:
    return CLASSES[name].rank


@pytest.mark.parametrize(
    ("purpose", "refused"), [("marketing", {"marketing"}), ("all", {"marketing", "utility"})]
)
async def test_after_a_withdrawal_its_classes_are_refused_at_acceptance_and_at_the_claim(
    tmp_path: Path, purpose: str, refused: set[str]
) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store, pace_per_second=1000)
    waiting = {name: await accept_text(store, number, clock, rank=rank(name)) for name in CLASSES}
    bystander = await accept_text(store, number, clock, OTHER, rank=rank("marketing"))
    await store.write(withdrawals.withdraw, saying_no(purpose=purpose))
    for name in CLASSES:
        if name in refused:
            with pytest.raises(Conflict) as told:
                await accept_text(store, number, clock, rank=rank(name))
            assert told.value.code == "contact_withdrew"
    transport = ScriptedTransport(Sent("auto"))
    sender = new_sender(store, transport, clock)
    for _ in range(8):
        await settle(sender, 2)
        clock.advance(10)
    ended = {name: await status_of(store, number, message_id) for name, message_id in waiting.items()}
    assert {name for name, status in ended.items() if status == "refused"} == refused
    assert {name for name, status in ended.items() if status == "sent"} == set(CLASSES) - refused
    assert await status_of(store, number, bystander) == "sent"


async def test_a_stranger_who_said_no_is_refused_at_the_first_message(tmp_path: Path) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    await store.write(withdrawals.withdraw, saying_no())
    with pytest.raises(Conflict) as told:
        await accept_text(store, number, clock, rank=rank("marketing"))
    assert told.value.code == "contact_withdrew"


async def test_a_withdrawal_follows_a_merge(tmp_path: Path) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    await accept_text(store, number, clock, OTHER)
    await store.write(withdrawals.withdraw, saying_no())

    @single
    def merge(tx: Any, item: Any) -> str:
        aliases = (AliasSeen("phone", PERSON), AliasSeen("phone", OTHER))
        return contacts.resolve(tx, contacts.ContactSeen("ten_1", aliases, "meta", clock.now()))

    await store.write(merge, None)
    with pytest.raises(Conflict):
        await accept_text(store, number, clock, OTHER, rank=rank("marketing"))


async def test_the_same_no_said_twice_is_one_withdrawal_and_one_line(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    await seed_number(store)
    first = await store.write(withdrawals.withdraw, saying_no())
    again = await store.write(withdrawals.withdraw, saying_no(now=LATER))
    assert again == first
    number: Any = type("N", (), {"tenant_id": "ten_1"})
    assert (await kinds_of(store, number, first.contact_id)).count("contact.withdrew") == 1


async def test_it_is_acknowledged_only_once_it_is_in_the_second_place(tmp_path: Path) -> None:
    store, clock, place = new_store(tmp_path), FakeClock(), new_place(tmp_path)
    await seed_number(store)
    said = Withdrawals(store, clock, place)
    place.is_away = True
    with pytest.raises(Unavailable) as told:
        await said.take(saying_no())
    assert told.value.code == "second_place_unavailable"
    (kept,) = await store.read(withdrawals.page, "ten_1", None, 10)
    place.is_away = False
    assert await said.take(saying_no()) == kept
    (entry,) = place.withdrawals()
    assert entry.id == kept.id
    assert await store.read(withdrawals.uncopied, 10) == []
    (file,) = (tmp_path / "second").glob("*.jsonl")
    assert PERSON[1:].encode() not in file.read_bytes()


async def test_what_could_not_be_brought_over_is_brought_by_the_loop(tmp_path: Path) -> None:
    store, clock, place = new_store(tmp_path), FakeClock(), new_place(tmp_path)
    await seed_number(store)
    # Such as Meta's opt-out, which nobody waits for; or one from before a second place was configured.
    for to in (PERSON, OTHER):
        await store.write(withdrawals.withdraw, saying_no(to))
    said = Withdrawals(store, clock, place)
    place.is_away = True
    with pytest.raises(Unavailable):
        await said.step()
    place.is_away = False
    assert await said.step() > 0
    assert len(list(place.withdrawals())) == 2
    await said.step()
    (file,) = (tmp_path / "second").glob("*.jsonl")
    assert file.read_bytes().count(b"\n") == 2


async def test_the_heartbeat_is_noted_once_a_minute(tmp_path: Path) -> None:
    store, clock, place = new_store(tmp_path), FakeClock(), new_place(tmp_path)
    number = await seed_number(store)
    said = Withdrawals(store, clock, place)
    await said.step()
    first = place.last_beat()
    await accept_text(store, number, clock)
    clock.advance(30)
    await said.step()
    assert place.last_beat() == first
    clock.advance(31)
    await said.step()
    beat = place.last_beat()
    assert beat is not None
    assert first is not None
    assert beat.position > first.position


async def test_a_fresh_store_holds_nothing(tmp_path: Path) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    said = Withdrawals(store, clock, new_place(tmp_path))
    assert await said.why_not_ready() is None
    message = await accept_text(store, number, clock, rank=rank("marketing"))
    await settle(new_sender(store, ScriptedTransport(Sent("auto")), clock))
    assert await status_of(store, number, message) == "sent"


async def _restored(tmp_path: Path, place: AwayPlace) -> Any:
    """A store from before PERSON and a stranger said no; gives it with the number and a clock."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    store, clock = new_store(tmp_path / "a"), FakeClock()
    number = await seed_number(store)
    await accept_text(store, number, clock)
    await settle(new_sender(store, ScriptedTransport(Sent("auto")), clock))
    take(store.engine, tmp_path / "b.waypost", KEY, SALT, START)
    said = Withdrawals(store, clock, place)
    for to in (PERSON, OTHER):
        await said.take(saying_no(to))
    target = engines.current.open(tmp_path / "b", SeededRandomness(5), "t2")
    restore(target, tmp_path / "b.waypost", KEY, LATER, lambda done, in_all: None)
    return Store(target), number, FakeClock(LATER)


async def test_after_a_restore_marketing_waits_until_the_second_place_is_replayed(tmp_path: Path) -> None:
    place = new_place(tmp_path)
    store, number, clock = await _restored(tmp_path, place)
    third = "+4915550003333"
    to_all = {
        to: await accept_text(store, number, clock, to, rank=rank("marketing"))
        for to in (PERSON, OTHER, third)
    }
    useful = await accept_text(store, number, clock, third, rank=rank("utility"))
    transport = ScriptedTransport(Sent("auto"))
    sender = new_sender(store, transport, clock)
    await settle(sender)
    assert {await status_of(store, number, each) for each in to_all.values()} == {"held"}
    assert await status_of(store, number, useful) == "sent"
    said = Withdrawals(store, clock, place)
    assert "not replayed" in (await said.why_not_ready() or "")
    await said.step()
    assert await said.why_not_ready() is None
    for _ in range(3):
        clock.advance(61)
        await settle(sender, 2)
    ended = {to: await status_of(store, number, message_id) for to, message_id in to_all.items()}
    assert ended == {PERSON: "refused", OTHER: "refused", third: "sent"}
    assert len(await store.read(withdrawals.page, "ten_1", None, 10)) == 2


async def test_a_restore_says_what_the_second_place_knows_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    store, clock, place = new_store(tmp_path / "a"), FakeClock(), new_place(tmp_path)
    number = await seed_number(store)
    said = Withdrawals(store, clock, place)
    await said.take(saying_no())
    taken = take(store.engine, tmp_path / "b.waypost", KEY, SALT, clock.now())
    clock.advance(600)
    await accept_text(store, number, clock, OTHER)
    await said.take(saying_no(OTHER, now=clock.now()))
    await said.step()
    lines = await store.read(position_now) - taken.position
    found = Restored("t1", "t2", taken.position, taken.taken_at, taken.rows, 0)
    known = known_missing(found, place)
    assert (known.journal_lines, known.withdrawals, known.last_seen_at) == (lines, 1, to_ms(clock.now()))
    other = known_missing(Restored("t0", "t2", 0, taken.taken_at, 0, 0), place)
    assert (other.last_seen_at, other.journal_lines) == (None, 0)


async def test_a_stranger_whose_no_was_replayed_is_recognised_when_met(tmp_path: Path) -> None:
    place = new_place(tmp_path)
    store, number, clock = await _restored(tmp_path, place)
    await Withdrawals(store, clock, place).step()
    unmet = [
        each for each in await store.read(withdrawals.page, "ten_1", None, 10) if each.contact_id is None
    ]
    assert len(unmet) == 1
    with pytest.raises(Conflict):
        await accept_text(store, number, clock, OTHER, rank=rank("marketing"))


async def test_a_replay_that_fails_midway_goes_on_holding_and_ends_at_the_next_try(tmp_path: Path) -> None:
    place = new_place(tmp_path)
    store, _, clock = await _restored(tmp_path, place)
    (tmp_path / "second").rename(tmp_path / "unmounted")
    said = Withdrawals(store, clock, place)
    with pytest.raises(Unavailable):
        await said.step()
    assert await said.why_not_ready() is not None
    (tmp_path / "unmounted").rename(tmp_path / "second")
    await said.step()
    assert await said.why_not_ready() is None


async def test_without_a_second_place_a_restore_holds_nothing_for_long(tmp_path: Path) -> None:
    store, _, clock = await _restored(tmp_path, new_place(tmp_path))
    told: list[int | None] = []
    said = Withdrawals(store, clock, None, told=told.append)
    await said.step()
    assert told == [None]
    assert await said.why_not_ready() is None
