"""Subscribers as rows: their history in the journal, their secrets, their limits."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.support import FakeClock, new_store

from waypost.domain.errors import Conflict, NotFound
from waypost.store import journal, subscribers
from waypost.store.database import Store

CLOCK = FakeClock()


async def add(store: Store, tenant_id: str = "ten_1", secret: bytes = b"s" * 32) -> subscribers.Subscriber:
    item = subscribers.NewSubscriber(
        tenant_id=tenant_id,
        url="https://sink.example/",
        label="sink",
        kinds=("message.*",),
        batch_events_max=1,
        from_beginning=False,
        secret=subscribers.NewSecret("v1", secret, None),
        actor="key:key_1",
        now=CLOCK.now(),
    )
    found: subscribers.Subscriber = await store.write(subscribers.add, item)
    return found


def turn(subscriber_id: str, reason: str | None = None, tenant_id: str = "ten_1") -> subscribers.Turn:
    return subscribers.Turn(tenant_id, subscriber_id, reason, "operator", CLOCK.now())


def rotation(subscriber_id: str, secret: bytes, hours: float) -> subscribers.Rotation:
    new = subscribers.NewSecret("v1", secret, None)
    return subscribers.Rotation("ten_1", subscriber_id, new, timedelta(hours=hours), "operator", CLOCK.now())


async def test_every_change_is_journaled_once_with_versions_without_gaps(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    found = await add(store)
    change = subscribers.Change("ten_1", found.id, None, "new label", None, 1, "operator", CLOCK.now())
    for _ in range(2):
        await store.write(subscribers.change, change)
    for operation in (subscribers.pause, subscribers.pause, subscribers.resume, subscribers.resume):
        await store.write(operation, turn(found.id, "because"))
    await store.write(subscribers.rotate, rotation(found.id, b"t" * 32, 1))
    await store.write(subscribers.tested, turn(found.id))
    await store.write(subscribers.remove, turn(found.id))
    lines = await store.read(journal.of_aggregate, "ten_1", found.id)
    assert [line.kind.removeprefix("subscriber.") for line in lines] == [
        "added",
        "changed",
        "paused",
        "resumed",
        "changed",
        "tested",
        "removed",
    ]
    assert [line.version for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert lines[1].facts == {"fields": ["label"]}
    assert lines[2].reason == "because"
    stored = b"".join(repr(line.facts).encode() for line in lines)
    assert b"ssss" not in stored
    assert b"tttt" not in stored


async def test_secrets_open_again_newest_first_and_old_ones_end(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    found = await add(store)
    await store.write(subscribers.rotate, rotation(found.id, b"t" * 32, 2))
    keys = await store.read(subscribers.signing_keys, found.id)
    assert [key.secret for key in keys] == [b"t" * 32, b"s" * 32]
    assert [key.valid_until is None for key in keys] == [True, False]
    assert "tttt" not in repr(keys)
    # A later, longer overlap does not give a secret that is ending a longer life.
    ends_at = keys[1].valid_until
    await store.write(subscribers.rotate, rotation(found.id, b"u" * 32, 5))
    keys = await store.read(subscribers.signing_keys, found.id)
    assert keys[2].valid_until == ends_at


async def test_secrets_in_their_overlap_are_bounded(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    found = await add(store)
    for number in range(4):
        await store.write(subscribers.rotate, rotation(found.id, bytes([number]) * 32, 10))
    with pytest.raises(Conflict) as refusal:
        await store.write(subscribers.rotate, rotation(found.id, b"x" * 32, 10))
    assert refusal.value.code == "secrets_max"


async def test_a_removed_subscriber_leaves_its_history_and_nothing_else(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    found = await add(store)
    await store.write(subscribers.remove, turn(found.id))
    with pytest.raises(NotFound):
        await store.read(subscribers.show, "ten_1", found.id)
    assert await store.read(subscribers.signing_keys, found.id) == []
    assert await store.read(subscribers.active_ids) == []
    for operation in (subscribers.pause, subscribers.resume, subscribers.remove, subscribers.tested):
        with pytest.raises(NotFound):
            await store.write(operation, turn(found.id))


async def test_another_tenants_subscriber_is_not_found(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    found = await add(store, "ten_2")
    for operation in (subscribers.pause, subscribers.resume, subscribers.remove, subscribers.tested):
        with pytest.raises(NotFound):
            await store.write(operation, turn(found.id))
    assert await store.read(subscribers.newest_first, "ten_1", None, 10) == []
    assert await store.read(subscribers.secrets_of, "ten_1", found.id) == []


async def test_a_tenant_has_only_so_many(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    made = [await add(store) for _ in range(subscribers.SUBSCRIBERS_MAX)]
    with pytest.raises(Conflict) as refusal:
        await add(store)
    assert refusal.value.code == "subscribers_max"
    await add(store, "ten_2")
    await store.write(subscribers.remove, turn(made[0].id))
    await add(store)
