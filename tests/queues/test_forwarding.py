"""The mark of a forward: behind what was confirmed, one holder's at a time."""

import pytest
from tests.queues.house import furnish

from waypost.domain.drafts import decode_draft
from waypost.outbox.accept import Sender
from waypost.queues.base import BrokerDown
from waypost.store import forwards


class Shelf:
    """A queue in memory that refuses from the n-th event on."""

    def __init__(self, room: int = 1000) -> None:
        self.ids: list[str] = []
        self.room = room

    async def publish(self, event):
        if len(self.ids) >= self.room:
            raise BrokerDown("full")
        self.ids.append(event.id)

    async def close(self):
        pass


@pytest.fixture
async def house(tmp_path):
    return await furnish(tmp_path)


async def accept(house, *texts):
    for text in texts:
        await house.acceptor.take(decode_draft(house.draft(text)), Sender("ten_1", "key:k", "live"), None)


async def mark(house) -> tuple[int, int]:
    sql = "SELECT position, epoch FROM forwards WHERE name = 'out:ten_1'"
    return tuple(await house.store.read(lambda reading: reading.one(sql)))


async def test_the_mark_stands_behind_the_last_confirmed_event(house):
    await accept(house, "a", "b", "c")
    forwarder = house.forwarder(Shelf(room=2))
    with pytest.raises(BrokerDown):
        await forwarder.step()
    assert await mark(house) == (2, 1)


async def test_whoever_was_taken_over_moves_no_mark(house):
    await accept(house, "a", "b", "c")
    shelf = Shelf(room=2)
    old, new = house.forwarder(shelf), house.forwarder(Shelf())
    with pytest.raises(BrokerDown):
        await old.step()
    await new.step()
    after = await mark(house)
    assert after == (len(await house.event_ids()), 2)
    shelf.room = 1000
    await accept(house, "d")
    # It still publishes, also what its successor has not yet; the mark is not its own any more.
    await old.step()
    assert old.forwarded > after[0]
    assert await mark(house) == after


async def test_a_move_never_goes_back(house):
    await accept(house, "a")
    now = house.clock.now()
    standing = await house.store.write(forwards.begin, forwards.Begin("out", "ten_1", False, now))
    assert standing.position > 0
    assert not await house.store.write(forwards.move, forwards.Move("out", standing.epoch, 0, now))


async def test_a_new_forward_begins_behind_what_was_written_unless_told_otherwise(house):
    await accept(house, "before")
    shelf = Shelf()
    forwarder = house.forwarder(shelf, from_beginning=False)
    await forwarder.step()
    assert shelf.ids == []
    behind = len(await house.event_ids())
    await accept(house, "after")
    assert forwarder.woken.is_set()
    await forwarder.step()
    assert shelf.ids == (await house.event_ids())[behind:]


async def test_a_drain_ends_the_page_after_the_event_under_way_and_keeps_its_mark(house):
    await accept(house, "a", "b", "c")
    shelf = Shelf()
    forwarder = house.forwarder(shelf)
    publish = shelf.publish

    async def publish_and_drain(event):
        await publish(event)
        forwarder.drain()

    shelf.publish = publish_and_drain
    await forwarder.step()
    assert (len(shelf.ids), await mark(house)) == (1, (1, 1))


async def test_another_tenants_events_are_not_forwarded(house):
    from tests.support import seed_number

    other = await seed_number(house.store, suffix="2", tenant_id="ten_2")
    draft = decode_draft(house.draft("theirs", **{"from": other.number_id}))
    await house.acceptor.take(draft, Sender("ten_2", "key:k", "live"), None)
    await accept(house, "ours")
    shelf = Shelf()
    forwarder = house.forwarder(shelf)
    await forwarder.step()
    sql = "SELECT count(*) FROM journal WHERE tenant_id = 'ten_1'"
    count = await house.store.read(lambda reading: reading.one(sql)[0])
    assert 0 < len(shelf.ids) == count < len(await house.event_ids())
