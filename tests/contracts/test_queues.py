"""What holds for every broker, on the real servers: each draft once, each event at least once and in order."""

import asyncio
import json
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from tests import engines
from tests.queues.house import furnish, reenter
from tests.queues.outside import OUTSIDES
from tests.queues.servers import require

from waypost.app.brokers import as_webhooks_tell
from waypost.domain.drafts import decode_draft
from waypost.outbox.accept import Sender
from waypost.queues.base import BrokerDown
from waypost.queues.ingress import Limits
from waypost.store import journal
from waypost.store import subscriber_progress as progress
from waypost.webhooks.payloads import is_pushed

# The seam under test is the broker; `tests/queues` runs the same code on both engines.
ONE_ENGINE = True

pytestmark = pytest.mark.brokers
# The brokers are what varies here; the store's part has its tests in tests/queues.
ONE_ENGINE = True
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session", params=sorted(OUTSIDES))
def server(request, tmp_path_factory):
    running = require(request.param)(tmp_path_factory.mktemp(request.param))
    running.start()
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def outside(server):
    return OUTSIDES[server.name](server)


@pytest.fixture
def queue(request):
    """A queue of this test's own."""
    return f"q.{abs(hash(request.node.name))}"


@pytest.fixture
async def house(tmp_path):
    return await furnish(tmp_path)


@pytest.fixture
async def opened():
    """Sources and sinks to close in the end."""
    found = []

    def keep(one):
        found.append(one)
        return one

    yield keep
    for each in found:
        await each.close()


async def until(ingress, settled: int) -> None:
    """Step until so many messages are settled; reconnects as the loop would."""
    for _ in range(20):
        try:
            await ingress.step()
        except BrokerDown:
            continue
        if sum(ingress.counts[fate] for fate in ("taken", "repeated", "buried")) >= settled:
            return
    raise AssertionError(f"only {ingress.counts} after 20 steps")


async def emptied(outside, queue: str) -> bool:
    """Whether the broker says within some looks that nothing is left: it hears of an acknowledgement a moment later."""
    for _ in range(200):
        if await outside.waiting(queue) == 0:
            return True
    return False


async def test_a_draft_from_the_queue_becomes_one_message(house, outside, queue, opened):
    await outside.put(queue, (house.draft("by key"), "k1"))
    await outside.put_with_id(queue, house.draft("by the broker's id"), "k2")
    ingress = opened(house.ingress(outside.source(queue)))
    await until(ingress, 2)
    assert sorted(await house.texts()) == ["by key", "by the broker's id"]
    assert ingress.counts == {"taken": 2, "repeated": 0, "later": 0, "buried": 0}
    await ingress.close()
    assert await emptied(outside, queue)


async def test_a_consumer_killed_between_commit_and_ack_leaves_one_message(
    house, outside, queue, opened, tmp_path
):
    await outside.put(queue, (house.draft("once"), "k1"))
    house.store.engine.close()
    arguments = (outside.server.name, outside.server.url, queue, str(tmp_path), house.key_id)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.queues.killed_taker", *arguments, cwd=ROOT, stderr=subprocess.PIPE
    )
    _, said = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == -signal.SIGKILL, said.decode()
    after = reenter(tmp_path, house)
    assert await after.texts() == ["once"]
    ingress = opened(after.ingress(outside.source(queue)))
    await until(ingress, 1)
    assert ingress.counts["repeated"] == 1
    assert await after.texts() == ["once"]
    await ingress.close()
    assert await emptied(outside, queue)


async def test_the_same_key_twice_is_one_message_and_another_body_under_it_a_dead_letter(
    house, outside, queue, opened
):
    same, other = house.draft("first"), house.draft("second")
    await outside.put(queue, (same, "k1"), (same, "k1"))
    ingress = opened(house.ingress(outside.source(queue)))
    await until(ingress, 2)
    await outside.put(queue, (other, "k1"))
    await until(ingress, 3)
    assert ingress.counts == {"taken": 1, "repeated": 1, "later": 0, "buried": 1}
    assert await house.texts() == ["first"]
    (dead,) = await outside.read(f"{queue}.dead")
    assert json.loads(dead.headers["waypost-problem"])["code"] == "idempotency_key_reused"


POISON = (
    (b"\xff not JSON", "k", "malformed"),
    (b'{"from": "num_1", "from": "num_1"}', "k", "duplicate_key"),
    ({"from": "num_unknown"}, "k", "no_such_number"),
    ({"text": {"body": ""}}, "k", "invalid_request"),
    ({"surprise \u00e9\U0001f600": 1}, "k", "invalid_request"),
    ({"text": {"body": "no key"}}, None, None),
    ({}, "k" * 256, "bad_idempotency_key"),
)


async def test_poison_goes_to_the_dead_letters_with_its_problem_and_holds_nobody_up(
    house, outside, queue, opened
):
    bodies = [body if isinstance(body, bytes) else house.draft(**body) for body, _, _ in POISON]
    for (_, key, _), body in zip(POISON, bodies, strict=True):
        await outside.put(queue, (body, key if key is None else f"{key}{len(body)}"))
    await outside.put(queue, (house.draft("good"), "good"))
    ingress = opened(house.ingress(outside.source(queue)))
    await until(ingress, len(POISON) + 1)
    assert await house.texts() == ["good"]
    dead = {letter.body: letter for letter in await outside.read(f"{queue}.dead")}
    assert dead.keys() == set(bodies)
    for (_, key, code), body in zip(POISON, bodies, strict=True):
        problem = json.loads(dead[body].headers["waypost-problem"])
        assert problem["request_id"].split(":")[1] == queue
        assert problem["code"] == (code or outside.keyless_code)
        # With its key, so that it can be put back as it was.
        if key is not None:
            assert dead[body].headers["idempotency-key"].startswith(key)
    await ingress.close()
    assert await emptied(outside, queue)


async def test_nothing_is_lost_while_the_store_takes_nothing(house, outside, queue, opened):
    texts = [f"text {index}" for index in range(20)]
    await outside.put(queue, *[(house.draft(text), text) for text in texts])
    ingress = opened(house.ingress(outside.source(queue)))
    with engines.current.locked(house.store.engine):
        wait = await ingress.step()
        assert ingress.counts["later"] >= 1
        assert ingress.counts["taken"] == ingress.counts["buried"] == 0
        assert wait >= 1
    await until(ingress, 20)
    assert sorted(await house.texts()) == sorted(texts)
    assert ingress.counts["repeated"] == ingress.counts["buried"] == 0


async def test_a_broker_restarted_midway_loses_and_doubles_no_draft(house, outside, server, queue, opened):
    texts = [f"text {index}" for index in range(24)]
    await outside.put(queue, *[(house.draft(text), text) for text in texts])
    ingress = opened(house.ingress(outside.source(queue), Limits(8, 100_000, timedelta(hours=72))))
    await until(ingress, 8)
    server.kill()
    with pytest.raises(BrokerDown):
        await forever(ingress.step)
    server.start()
    for _ in range(60):
        if len(await house.texts()) == 24 and ingress.counts["taken"] == 24:
            break
        await step_again(ingress)
    assert sorted(await house.texts()) == sorted(texts)
    await outside.put(queue, (house.draft("after"), "after"))
    for _ in range(60):
        if "after" in await house.texts():
            break
        await step_again(ingress)
    assert ingress.counts["taken"] == 25


async def forever(step) -> None:
    while True:
        await step()


async def step_again(ingress) -> None:
    try:
        await ingress.step()
    except BrokerDown:
        return


class KillingSink:
    """A sink whose broker dies right after its n-th confirmation."""

    def __init__(self, sink, server, after: int) -> None:
        self._sink, self._server, self._left = sink, server, after

    async def publish(self, event) -> None:
        await self._sink.publish(event)
        self._left -= 1
        if self._left == 0:
            self._server.kill()

    async def close(self) -> None:
        await self._sink.close()


async def accept(house, *texts: str) -> None:
    for text in texts:
        await house.acceptor.take(decode_draft(house.draft(text)), Sender("ten_1", "key:k", "live"), None)


def firsts(letters) -> list[str]:
    """The ids in the order they were first seen."""
    return list(dict.fromkeys(letter.id for letter in letters))


async def test_the_journal_arrives_in_its_order_as_the_bytes_that_webhooks_tell(
    house, outside, queue, opened
):
    await accept(house, *[f"text {index}" for index in range(120)])
    forwarder = opened(house.forwarder(outside.sink(queue)))
    while await forwarder.step() == 0:
        pass
    letters = await outside.read(queue)
    assert [letter.id for letter in letters] == await house.event_ids()
    assert len(letters) > 100, "more than one page, or the mark between pages is not tried"
    page = await house.store.read(progress.behind, "ten_1", 0, 1000, is_pushed)
    assert [letter.body for letter in letters] == [
        as_webhooks_tell(event, page.contents, 0) for event in page.events
    ]
    assert [letter.headers["waypost-event-type"] for letter in letters] == [
        event.kind for event in page.events
    ]


async def test_a_broker_killed_amid_a_page_gets_the_rest_in_order_once_it_is_back(
    house, outside, server, queue, opened
):
    await accept(house, *[f"text {index}" for index in range(10)])
    forwarder = opened(house.forwarder(KillingSink(outside.sink(queue), server, after=7)))
    with pytest.raises(BrokerDown):
        await forwarder.step()
    assert forwarder.forwarded == 7
    server.start()
    await accept(house, "while it was away")
    for _ in range(20):
        try:
            if await forwarder.step() > 0:
                break
        except BrokerDown:
            continue
    assert firsts(await outside.read(queue)) == await house.event_ids()
    # The mark stood behind the seventh: nothing that was confirmed was told again.
    assert forwarder.forwarded == len(await house.event_ids())


async def test_a_mark_that_could_not_be_written_repeats_events_under_the_same_ids(
    house, outside, queue, opened, tmp_path
):
    await accept(house, "one", "two")
    first = opened(house.forwarder(outside.sink(queue)))
    # A broker answers while the store takes nothing: the forwarder has begun, and its move fails.
    with pytest.raises(Exception) as caught:
        await publish_without_store(first, house)
    assert caught.value.status == 503
    second = opened(house.forwarder(outside.sink(queue)))
    while await second.step() == 0:
        pass
    assert second.forwarded == len(await house.event_ids())
    letters = await outside.read(queue)
    assert firsts(letters) == await house.event_ids()


async def publish_without_store(forwarder, house) -> None:
    """One step that publishes, with a store that fails between the answers and the mark."""
    publish = forwarder._sink.publish
    fault = engines.current.locked(house.store.engine)

    async def publish_and_break(event) -> None:
        await publish(event)
        if forwarder.forwarded == 0:
            fault.__enter__()

    forwarder._sink.publish = publish_and_break
    try:
        await forwarder.step()
    finally:
        fault.__exit__(None, None, None)


async def test_the_whole_journal_is_forwarded_though_nobody_reads_it_at_first(house, outside, queue, opened):
    forwarder = opened(house.forwarder(outside.sink(queue), from_beginning=False))
    behind = len(await house.event_ids())
    await forwarder.step()
    await accept(house, "new")
    while await forwarder.step() == 0:
        pass
    expected = (await house.event_ids())[behind:]
    assert [letter.id for letter in await outside.read(queue)] == expected
    assert await house.store.read(journal.position_now) > behind
