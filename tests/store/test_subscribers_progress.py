"""How far a subscriber was told, as rows: marks only rise, exceptions are exact, a replay asks for what was told."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.support import START
from tests.webhooks.stage import Happening, Happenings, Stage, happen

from waypost.domain.errors import InvalidRequest
from waypost.domain.times import to_ms
from waypost.store import subscriber_replays as replays
from waypost.store.subscriber_progress import Advance, GivenUp, Health, Owed, Progress, Stop, advance, behind
from waypost.store.subscribers import Turn, remove


async def move(stage: Stage, progress: Progress) -> None:
    await stage.store.write(advance, Advance((progress,), stage.clock.now()))


async def test_a_mark_never_goes_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    key = (await stage.subscribe()).id
    await move(stage, Progress(key, 7))
    await move(stage, Progress(key, 5))
    assert (await stage.row(key)).position == 7


async def test_rows_come_go_and_are_swept_with_the_mark(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    key = (await stage.subscribe()).id
    waiting = Owed(4, "con_a", "waiting", 2, 1, 99, "http_400")
    await move(stage, Progress(key, 1, told=((3, "con_b"), (6, "con_c")), waiting=(waiting,)))
    assert await stage.owed(key) == [(3, "told", 0), (4, "waiting", 2), (6, "told", 0)]
    # The same write again, as after an answer to COMMIT that was lost, changes nothing.
    await move(stage, Progress(key, 1, told=((3, "con_b"), (6, "con_c")), waiting=(waiting,)))
    assert len(await stage.owed(key)) == 3
    await move(stage, Progress(key, 5, sweep=True))
    assert await stage.owed(key) == [(4, "waiting", 2), (6, "told", 0)]
    await move(stage, Progress(key, 5, cleared=(4,)))
    assert await stage.owed(key) == [(6, "told", 0)]


async def test_parking_and_stopping_are_journaled_with_the_progress(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    key = (await stage.subscribe()).id
    parked = GivenUp(Owed(9, "con_a", "parked", 5, 1, 0, "http_422"), "evt_t1_9", "message.sent")
    stop = Stop("paused", "endpoint_failing:timeout")
    await move(stage, Progress(key, 9, parked=(parked,), health=Health(1, 3, 50, None), stop=stop))
    (line,) = await stage.journal("event.parked")
    assert (line.version, line.reason, line.facts["event_id"]) == (2, "http_422", "evt_t1_9")
    (line,) = await stage.journal("subscriber.paused")
    assert (line.version, line.reason) == (3, "endpoint_failing:timeout")
    row = await stage.row(key)
    assert (row.state, row.failures, row.next_try_at, row.version) == ("paused", 3, 50, 3)
    # An operator was quicker: the gateway's own stop does not speak over it.
    await move(stage, Progress(key, 9, stop=Stop("disabled", "http_410")))
    assert (await stage.row(key)).state == "paused"


async def test_progress_of_a_removed_subscriber_leaves_no_rows(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    key = (await stage.subscribe()).id
    await stage.store.write(remove, Turn("ten_1", key, None, "operator", stage.clock.now()))
    await move(stage, Progress(key, 9, told=((12, "con_a"),)))
    assert await stage.owed(key) == []


async def test_a_replay_takes_what_was_told_and_counts_what_is_still_to_come(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    key = (await stage.subscribe()).id
    await stage.happen("con_a", "con_b", "con_c", "con_d")
    await move(stage, Progress(key, 3, told=((5, "con_d"),)))
    item = replays.Replay("ten_1", key, (2, 4, 5), "operator", stage.clock.now())
    assert await stage.store.write(replays.replay, item) == replays.Replayed(2, 1)
    assert await stage.owed(key) == [(2, "replay", 0), (5, "replay", 0)]
    (line,) = await stage.journal("event.replayed")
    assert line.facts == {"count": 2, "first_event_id": "evt_t1_2", "last_event_id": "evt_t1_5"}


async def test_a_time_is_found_in_the_journal_even_when_the_clock_stepped_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    seconds = [0, 10, 20, 15, 30, 300, 3000, 3010]
    positions = []
    for second in seconds:
        many = Happenings((Happening("con_a"),), START + timedelta(seconds=second), second)
        (event_id,) = await stage.store.write(happen, many)
        positions.append(int(event_id.rsplit("_", 1)[1]))

    async def between(since: int, until: int) -> list[int]:
        found = await stage.store.read(
            replays.positions_between,
            "ten_1",
            to_ms(START) + since * 1000,
            to_ms(START) + until * 1000,
            lambda event: True,
        )
        return [seconds[positions.index(each)] for each in found]

    assert await between(0, 4000) == seconds
    assert await between(12, 20) == [15]
    assert await between(20, 301) == [20, 30, 300]
    assert await between(3010, 3011) == [3010]
    assert await between(5000, 6000) == []


async def test_too_large_a_replay_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path)
    await stage.happen(*["con_a"] * 30)
    monkeypatch.setattr(replays, "REPLAY_EVENTS_MAX", 29)
    with pytest.raises(InvalidRequest) as refusal:
        await stage.store.read(replays.positions_between, "ten_1", 0, to_ms(START) + 1000, lambda event: True)
    assert refusal.value.code == "replay_too_large"


async def test_reading_on_skips_what_is_other_tenants_or_unwanted(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.happen("con_a", kind="media.wanted")
    await stage.happen("con_a", content=b'{"type":"text"}')
    await stage.happen("con_z", tenant_id="ten_2", content=b'{"type":"image"}')
    page = await stage.store.read(behind, "ten_1", 0, 100, lambda event: event.kind == "message.sent")
    assert [event.position for event in page.events] == [2]
    assert list(page.contents.values()) == [b'{"type":"text"}']
    assert page.upto == 3
