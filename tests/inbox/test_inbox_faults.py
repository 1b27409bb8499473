"""What cannot be read or applied is parked alone and read again later; a crash or a full disk loses nothing."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests import engines
from tests.inbox.callback_support import Bench, new_bench, receipt, said
from tests.support import new_store, seed_number

from waypost.config import Inbox
from waypost.domain.errors import Conflict, NotFound, Unavailable
from waypost.domain.provider_events import MessageReceived, ProviderEvent
from waypost.inbox.reader import Reader
from waypost.store import callbacks
from waypost.transports.cloud_api.callbacks import parse


async def _states(bench: Bench) -> list[tuple[str, str | None]]:
    return [tuple(row) for row in await bench.rows("SELECT state, fault FROM callbacks ORDER BY id")]


async def _replay(bench: Bench, tenant_id: str = "ten_1") -> None:
    (row,) = await bench.store.read(callbacks.page, "ten_1", "parked", None, 10)
    item = callbacks.Replay(tenant_id, row.id, "operator", "mended", bench.clock.now())
    await bench.store.write(callbacks.replay, item)


def _stumbling(raw: bytes) -> Sequence[ProviderEvent]:
    if b"poison" in raw:
        raise RuntimeError("a mistake of ours, over: poison")
    return parse(raw)


def _corrupting(raw: bytes) -> Sequence[ProviderEvent]:
    """Gives an event that breaks what the store was promised, for one body."""
    events = parse(raw)
    if b"poison" not in raw:
        return events
    (event,) = events
    assert isinstance(event, MessageReceived)
    return [
        MessageReceived(
            event.waba_id, event.phone_number_id, "wamid.p", "1", None, None, None, None, event.sent_at, "text",
            "text", None,  # type: ignore[arg-type]
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("read", "fault"),
    [(_stumbling, "parser_fault: RuntimeError"), (_corrupting, "apply_fault: TypeError")],
)
async def test_a_mistake_of_ours_parks_that_callback_alone_and_replay_mends_it(
    tmp_path: Path, read: object, fault: str
) -> None:
    bench = await new_bench(tmp_path, read=read)
    await bench.receive(
        bench.messages(said("wamid.1")),
        bench.messages(said("wamid.2", "poison")),
        bench.messages(said("wamid.3")),
    )
    assert await _states(bench) == [("read", None), ("parked", fault), ("read", None)]
    told = [event.facts["provider_message_id"] for event in await bench.events("inbound.received")]
    assert told == ["wamid.1", "wamid.3"]
    (parked,) = await bench.events("callback.parked")
    assert parked.reason == fault.partition(":")[0]
    assert "poison" not in str(parked.facts)

    await _replay(bench)
    mended = Reader(bench.store, bench.clock, Inbox())
    while await mended.step() == 0.0:
        pass
    assert await _states(bench) == [("read", None)] * 3
    assert len(await bench.events("inbound.received")) == 3
    lines = [
        (event.kind, event.version) for event in await bench.events("callback.parked", "callback.replayed")
    ]
    assert lines == [("callback.parked", 1), ("callback.replayed", 2)]


@pytest.mark.parametrize("poisoned", [0, 6, 12])
async def test_many_callbacks_around_a_bad_one_are_all_applied_once(tmp_path: Path, poisoned: int) -> None:
    bench = await new_bench(tmp_path, read=_corrupting)
    for number in range(13):
        await bench.take(bench.messages(said(f"wamid.{number}", "poison" if number == poisoned else "x")))
    await bench.read()
    assert [state for state, _ in await _states(bench)].index("parked") == poisoned
    told = {event.facts["provider_message_id"] for event in await bench.events("inbound.received")}
    assert told == {f"wamid.{number}" for number in range(13) if number != poisoned}
    assert await bench.row("SELECT count(*) FROM inbound") == (12,)


@pytest.mark.parametrize("raw", [b"", b"not json", b"[]", b'{"entry": 7}', b'{"object": "x"}', b"\xff\xfe"])
async def test_a_signed_body_that_is_no_callback_is_taken_and_parked(tmp_path: Path, raw: bytes) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(raw)
    ((state, fault),) = await _states(bench)
    assert state == "parked"
    assert fault is not None
    assert fault.startswith("unreadable: ")


async def test_a_broken_part_is_parked_with_its_callback_and_the_rest_is_applied(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.messages(said("wamid.1"), {"id": "wamid.2"}, said("wamid.3")))
    ((state, fault),) = await _states(bench)
    assert (state, fault) == ("parked", "unreadable: messages: no readable timestamp")
    assert len(await bench.events("inbound.received")) == 2
    await _replay(bench)
    await bench.read()
    assert len(await bench.events("inbound.received")) == 2
    assert len(await bench.events("callback.parked")) == 2


async def test_a_callback_of_a_number_not_added_waits_until_it_is(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    ours = bench.messages(said("wamid.1"), statuses=[receipt("wamid.x", "sent")])
    other = (
        ours.replace(b"wamid.1", b"wamid.2")
        .replace(bench.number.phone_number_id.encode(), b"100000000002")
        .replace(b'"200000000001"', b'"200000000002"')
    )
    body = json.loads(ours)
    body["entry"] += json.loads(other)["entry"]
    await bench.receive(json.dumps(body).encode())
    assert await _states(bench) == [("parked", "unknown_number: 100000000002 of WABA 200000000002")]
    assert [e.facts["provider_message_id"] for e in await bench.events("inbound.received")] == ["wamid.1"]

    await seed_number(bench.store, suffix="2")
    await _replay(bench)
    await bench.read()
    assert await _states(bench) == [("read", None)]
    told = {(e.number_id, e.facts["provider_message_id"]) for e in await bench.events("inbound.received")}
    assert told == {("num_1", "wamid.1"), ("num_2", "wamid.2")}


async def test_another_tenants_number_is_an_unknown_one(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await seed_number(bench.store, suffix="2", tenant_id="ten_2")
    raw = (
        bench.messages(said("wamid.1"))
        .replace(bench.number.phone_number_id.encode(), b"100000000002")
        .replace(b'"200000000001"', b'"200000000002"')
    )
    await bench.receive(raw)
    ((state, fault),) = await _states(bench)
    assert state == "parked"
    assert str(fault).startswith("unknown_number")
    assert await bench.events("inbound.") == []


async def test_a_number_told_of_under_another_waba_is_an_unknown_one(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.messages(said("wamid.1")).replace(b'"200000000001"', b'"200000000009"'))
    assert await _states(bench) == [("parked", "unknown_number: 100000000001 of WABA 200000000009")]


async def test_only_what_is_parked_is_replayed_and_only_by_its_tenant(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(b"not json")
    with pytest.raises(NotFound):
        await _replay(bench, "ten_2")
    await bench.receive(bench.sample("text"))
    (row,) = await bench.store.read(callbacks.page, "ten_1", "read", None, 10)
    item = callbacks.Replay("ten_1", row.id, "operator", "mended", bench.clock.now())
    with pytest.raises(Conflict):
        await bench.store.write(callbacks.replay, item)


async def test_a_message_that_names_nobody_is_parked(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.messages(said("wamid.1", **{"from": None}), said("wamid.2")))
    ((state, fault),) = await _states(bench)
    assert (state, str(fault).partition(":")[0]) == ("parked", "no_sender")
    assert len(await bench.events("inbound.received")) == 1


async def test_what_was_answered_before_a_crash_is_read_after_it(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    for number in range(5):
        await bench.take(bench.messages(said(f"wamid.{number}")))
    bench.store.engine.close()
    store = new_store(tmp_path, seed=2)
    reader = Reader(store, bench.clock, Inbox())
    while await reader.step() == 0.0:
        pass
    count = await store.read(lambda reading: reading.one("SELECT count(*) FROM inbound"))
    assert count == (5,)


async def test_a_full_disk_while_reading_parks_nothing_and_reading_goes_on_afterwards(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    for number in range(20):
        await bench.take(bench.messages(said(f"wamid.{number}", "x" * 5_000)))
    with engines.current.unwritable(bench.store.engine):
        with pytest.raises(Unavailable):
            await bench.reader.step()
        assert {state for state, _ in await _states(bench)} == {"stored"}
    await bench.read()
    assert {state for state, _ in await _states(bench)} == {"read"}
    assert len(await bench.events("inbound.received")) == 20


async def test_a_disk_with_room_for_parking_but_not_for_applying_parks_nothing(
    tmp_path: Path,
) -> None:
    bench = await new_bench(tmp_path)
    # Few bytes as they come, many rows once applied: parking would fit where applying does not.
    await bench.take(bench.messages(*[said(f"wamid.{number}", "x") for number in range(700)]))
    with engines.current.unwritable(bench.store.engine, room_pages=60), pytest.raises(Unavailable):
        await bench.reader.step()
    assert await _states(bench) == [("stored", None)]


async def test_a_locked_database_while_reading_parks_nothing(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.take(bench.sample("text"))
    with engines.current.locked(bench.store.engine):
        with pytest.raises(Unavailable) as locked:
            await bench.reader.step()
        assert locked.value.code == "database_locked"
        with pytest.raises(Unavailable):
            await bench.take(bench.sample("image"))
    await bench.read()
    assert len(await bench.events("inbound.received")) == 1
