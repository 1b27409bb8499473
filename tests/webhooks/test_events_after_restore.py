"""What a restored gateway says of event ids from before: those it has it knows, others are told where to resume."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests import engines
from tests.support import SeededRandomness
from tests.web.client import OPENED, Client, new_parts
from tests.webhooks.stage import Happening, Happenings, happen
from tests.webhooks.test_events_routes import messages

from waypost.operations.backup import take
from waypost.operations.restore import restore
from waypost.web import auth
from waypost.web.asgi import application
from waypost.web.routes import all_routes

KEY, SALT = b"k" * 32, b"s" * 16
BODY = {"url": "https://sink.example/hook", "label": "x"}


class Survivor:
    """A gateway of a second life: `kept` are the events it still has, `lost` those behind the backup."""

    def __init__(self, call: Client, kept: list[str], lost: list[str], position: int, engine: Any) -> None:
        self.call, self.kept, self.lost = call, kept, lost
        self.position, self.engine = position, engine


@pytest.fixture
async def survivor(tmp_path: Path) -> AsyncIterator[Survivor]:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    parts = new_parts(tmp_path / "a")
    key = await auth.bootstrap(parts)
    tenant = (await parts.store.read(lambda r: r.rows("SELECT id FROM tenants")))[0][0]

    async def told(store: Any, first: int) -> list[str]:
        items = tuple(Happening(f"con_{n}", tenant_id=tenant) for n in range(3))
        return list(await store.write(happen, Happenings(items, parts.clock.now(), first)))

    kept = await told(parts.store, 0)
    taken = take(parts.store.engine, tmp_path / "b.waypost", KEY, SALT, parts.clock.now())
    lost = await told(parts.store, 10)
    fresh = engines.current.open(tmp_path / "b", SeededRandomness(5), "t2")
    # A database of the tests' PostgreSQL is a copy of one, timeline and all.
    engines.current.run(fresh, "UPDATE meta SET value = 't2' WHERE key = 'timeline'")
    fresh.close()
    target = engines.current.open(tmp_path / "b", SeededRandomness(5))
    restore(target, tmp_path / "b.waypost", KEY, parts.clock.now() + timedelta(hours=1), lambda *_: None)
    target.close()
    again = new_parts(tmp_path / "b")
    await told(again.store, 20)
    call = Client(application(again, all_routes(again.config)), key)
    yield Survivor(call, kept, lost, taken.position, again.store.engine)
    while OPENED:
        OPENED.pop().close()


async def test_events_from_before_a_restore_are_replayed_and_retried_by_their_ids(survivor: Survivor) -> None:
    made = (await survivor.call("POST", "/v1/subscribers", BODY)).json
    path = f"/v1/subscribers/{made['id']}"
    answer = await survivor.call("POST", f"{path}:replay", {"event_ids": survivor.kept})
    assert (answer.status, answer.json["replayed"]) == (202, 3)
    assert (await survivor.call("POST", f"{path}/events/{survivor.kept[0]}:retry")).code == "event_not_parked"
    engines.current.run(survivor.engine, "UPDATE subscriber_exceptions SET state = 'parked'")
    owed = (await survivor.call("GET", f"{path}/events?cursor={survivor.kept[0]}")).json["items"]
    assert [each["event_id"] for each in owed] == survivor.kept[1:]
    answer = await survivor.call("POST", f"{path}/events/{survivor.kept[0]}:retry")
    assert (answer.status, answer.json["replayed"]) == (202, 1)


async def test_events_that_a_restore_lost_are_not_taken_for_new_ones(survivor: Survivor) -> None:
    made = (await survivor.call("POST", "/v1/subscribers", BODY)).json
    path = f"/v1/subscribers/{made['id']}"
    answer = await survivor.call("POST", f"{path}:replay", {"event_ids": [survivor.lost[0]]})
    assert (answer.status, answer.code) == (409, "timeline_changed")
    answer = await survivor.call("POST", f"{path}/events/{survivor.lost[0]}:retry")
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_cursor_behind_the_restore_is_told_where_to_resume_and_resumes(
    survivor: Survivor, is_stream: bool
) -> None:
    if is_stream:
        headers = {"Last-Event-ID": survivor.lost[1]}
        answer = await survivor.call("GET", "/v1/events/stream", headers=headers)
    else:
        answer = await survivor.call("GET", f"/v1/events?after={survivor.lost[1]}")
    assert (answer.status, answer.code) == (409, "timeline_changed")
    resume = f"evt_t2_{survivor.position}"
    assert f"resume from {resume} " in answer.json["remedy"]
    found = (await survivor.call("GET", f"/v1/events?after={resume}&kinds=message.*")).json["items"]
    assert [each["id"].split("_")[1] for each in found] == ["t2"] * 3


async def test_a_stream_gives_cursors_that_it_takes_back(survivor: Survivor) -> None:
    answer = await survivor.call("GET", "/v1/events/stream?after=evt_t2_0&kinds=message.*")
    told = [each for each in messages(answer.body) if "event" in each]
    assert survivor.kept[0] in told[0]["data"]
    headers = {"Last-Event-ID": told[0]["id"]}
    again = await survivor.call("GET", "/v1/events/stream?kinds=message.*", headers=headers)
    assert [each["id"] for each in messages(again.body) if "event" in each] == [
        each["id"] for each in told[1:]
    ]
