"""`/v1/events`: pulled by cursor and followed as a stream, and the same as what subscribers are told."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support import FakeClock
from tests.web.client import OPENED, Client, new_parts
from tests.webhooks.stage import Endpoint, Happening, Happenings, Stage, happen

from waypost.domain.ports import Clock
from waypost.store import subscribers
from waypost.web import auth
from waypost.web.asgi import application
from waypost.web.parts import Parts
from waypost.web.routes import all_routes
from waypost.webhooks.bell import STREAMS_MAX
from waypost.webhooks.teller import Teller


class Reader:
    """A consumer beside a gateway that things happen to."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.clock = clock
        self.parts: Parts = new_parts(folder, clock=clock)
        self.call: Client
        self.tenant = ""
        self._count = 0

    async def begin(self) -> "Reader":
        key = await auth.bootstrap(self.parts)
        self.call = Client(application(self.parts, all_routes(self.parts.config)), key)
        self.tenant = (await self.parts.store.read(lambda r: r.one("SELECT id FROM tenants")))[0]
        return self

    async def happen(self, *kinds: str, tenant_id: str = "", content: bytes | None = None) -> list[str]:
        items = tuple(
            Happening(f"con_{n % 3}", kind=kind, tenant_id=tenant_id or self.tenant, content=content)
            for n, kind in enumerate(kinds)
        )
        many = Happenings(items, self.clock.now(), self._count)
        self._count += len(items)
        return list(await self.parts.store.write(happen, many))

    async def pull(self, query: str = "") -> tuple[list[str], str]:
        answer = await self.call("GET", f"/v1/events{query}")
        assert answer.status == 200, answer.body
        return [each["id"] for each in answer.json["items"]], answer.json["next_cursor"]


class WaitingClock(FakeClock):
    """A clock that stands still until it is told, and wakes who sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.slept = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await self.slept.wait()
        self.advance(seconds)


@pytest.fixture
async def reader(tmp_path: Path) -> Any:
    yield await Reader(tmp_path, FakeClock()).begin()
    while OPENED:
        OPENED.pop().close()


async def test_a_consumer_pages_through_everything_once(reader: Reader) -> None:
    ids = await reader.happen(*["message.sent"] * 25)
    found, cursor = await reader.pull("?limit=10")
    while True:
        some, cursor = await reader.pull(f"?limit=10&after={cursor}")
        if not some:
            break
        found += some
    assert [each for each in found if each in ids] == ids
    assert len(found) == len(set(found))
    assert await reader.pull(f"?after={cursor}") == ([], cursor)


async def test_kinds_filter_and_the_cursor_moves_past_what_is_not_wanted(reader: Reader) -> None:
    ids = await reader.happen("message.sent", "media.wanted", "inbound.received", "media.stored")
    found, cursor = await reader.pull("?kinds=message.*&kinds=inbound.received")
    assert found == [ids[0], ids[2]]
    assert cursor == ids[3]
    assert await reader.pull(f"?kinds=message.*&after={ids[0]}") == ([], ids[3])


async def test_a_tenant_pulls_its_own_events_only(reader: Reader) -> None:
    await reader.happen("message.sent", tenant_id="ten_other", content=b'{"secret":"word"}')
    mine = await reader.happen("message.sent")
    found, _ = await reader.pull("?kinds=message.*")
    assert found == mine


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?after=evt_t0_1", 409, "timeline_changed"),
        ("?after=evt_t1_999999", 409, "timeline_changed"),
        ("?after=nonsense", 422, "bad_cursor"),
        ("?kinds=never.heard", 422, "unknown_kind"),
        ("?limit=0", 422, "invalid_request"),
        ("?limit=1001", 422, "invalid_request"),
        ("?wait_seconds=26", 422, "invalid_request"),
    ],
)
async def test_a_senseless_pull_is_refused(reader: Reader, query: str, status: int, code: str) -> None:
    for path in ("/v1/events", "/v1/events/stream"):
        if path.endswith("stream") and ("limit" in query or "wait" in query):
            continue
        answer = await reader.call("GET", path + query)
        assert (answer.status, answer.code) == (status, code)


async def test_an_empty_pull_waits_as_long_as_asked(reader: Reader) -> None:
    _, cursor = await reader.pull()
    began = reader.clock.now()
    assert (await reader.pull(f"?after={cursor}&wait_seconds=20"))[0] == []
    assert (reader.clock.now() - began).total_seconds() == 20


async def test_a_waiting_pull_answers_when_something_happens(tmp_path: Path) -> None:
    clock = WaitingClock()
    reader = await Reader(tmp_path, clock).begin()
    _, cursor = await reader.pull()
    waiting = asyncio.create_task(reader.pull(f"?after={cursor}&wait_seconds=20&kinds=message.*"))
    for _ in range(20):
        await asyncio.sleep(0)
    await reader.happen("media.wanted")
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    ids = await reader.happen("message.sent")
    assert await asyncio.wait_for(waiting, 5) == (ids, ids[0])
    OPENED.pop().close()


def messages(body: bytes) -> list[dict[str, str]]:
    """The messages of a stream: field → value, repeated fields joined by a line break."""
    found = []
    for block in body.decode().split("\n\n")[:-1]:
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(": ")
            if name:
                fields[name] = f"{fields[name]}\n{value}" if name in fields else value
        found.append(fields)
    return found


async def test_a_stream_goes_on_behind_the_last_event_seen_and_ends(reader: Reader) -> None:
    ids = await reader.happen("message.sent", "message.sent", "message.read", content=b'{"type":\r\n "text"}')
    answer = await reader.call("GET", "/v1/events/stream", headers={"Last-Event-ID": ids[0]})
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = [each for each in messages(answer.body) if "event" in each]
    assert [(each["id"], each["event"]) for each in told] == [
        (ids[1], "message.sent"),
        (ids[2], "message.read"),
    ]
    assert msgspec.json.decode(told[0]["data"])["data"]["content"] == {"type": "text"}
    # On a clock that leaps from beat to beat: it lived its fifteen minutes, with a sign of life every fifteen seconds.
    assert 55 <= len([each for each in messages(answer.body) if "event" not in each]) <= 61


async def test_a_stream_begins_now_and_tells_what_happens_while_it_lasts(tmp_path: Path) -> None:
    reader = await Reader(tmp_path, WaitingClock()).begin()
    old = await reader.happen("message.sent")
    call = asyncio.create_task(reader.call("GET", "/v1/events/stream?kinds=message.*"))
    for _ in range(30):
        await asyncio.sleep(0)
    new = await reader.happen("message.sent", "media.wanted", "message.read")
    for _ in range(30):
        await asyncio.sleep(0)
    reader.parts.bell.close()
    answer = await asyncio.wait_for(call, 5)
    told = [each["id"] for each in messages(answer.body) if "event" in each]
    assert told == [new[0], new[2]]
    assert old[0] not in told
    OPENED.pop().close()


async def test_there_is_an_end_to_how_many_streams_are_open(reader: Reader) -> None:
    from contextlib import ExitStack

    with ExitStack() as stack:
        for _ in range(STREAMS_MAX):
            stack.enter_context(reader.parts.bell.stream())
        answer = await reader.call("GET", "/v1/events/stream")
        assert (answer.status, answer.code) == (429, "streams_max")
        assert answer.headers["retry-after"] == "30"
    assert (await reader.call("GET", "/v1/events/stream")).status == 200


async def test_pull_push_and_stream_tell_the_same(reader: Reader) -> None:
    endpoint = Endpoint(reader.clock)  # type: ignore[arg-type]
    for batch in (1, 10):
        item = subscribers.NewSubscriber(
            tenant_id=reader.tenant,
            url=f"https://sink.example/{batch}",
            label="x",
            kinds=("message.*", "inbound.*"),
            batch_events_max=batch,
            from_beginning=True,
            secret=subscribers.NewSecret("v1", b"s" * 32, None),
            actor="operator",
            now=reader.clock.now(),
        )
        await reader.parts.store.write(subscribers.add, item)
    teller = Teller(
        reader.parts.store, reader.clock, reader.parts.randomness, endpoint, reader.parts.config.webhooks
    )
    kinds = ["message.sent", "inbound.received", "media.wanted", "message.read"] * 15
    await reader.happen(*kinds, content='{"type":"text","text":{"body":"ja – 你好"}}'.encode())
    settled = type("S", (), {"teller": teller})()
    await Stage.settle(settled, 60)
    pulled = (await reader.call("GET", "/v1/events?kinds=message.*&kinds=inbound.*&limit=500")).json["items"]
    assert len(pulled) == 45
    for batch in (1, 10):
        posts = [post for post in endpoint.posts if post.url.endswith(f"/{batch}")]
        pushed = sorted((e for post in posts for e in post.events), key=lambda e: int(e["id"].split("_")[2]))
        assert pushed == pulled
    stream = await reader.call("GET", "/v1/events/stream?kinds=message.*&kinds=inbound.*&after=evt_t1_0")
    told = [msgspec.json.decode(each["data"]) for each in messages(stream.body) if "event" in each]
    assert told == pulled
