"""What a paused process brings too late changes nothing; what changes for others is announced with its commit."""

from datetime import timedelta

import pytest
from tests.support import START, new_store, seed_number

from waypost.store import keys, numbers, templates


@pytest.fixture
async def house(tmp_path):
    store = new_store(tmp_path)
    return store, await seed_number(store)


def heard(store):
    words = []
    store.follow(lambda commit: words.extend(sorted(commit.waiting)))
    return words


async def test_a_look_at_meta_from_before_the_last_one_is_let_go(house):
    store, number = house

    async def look(rating, at):
        seen = numbers.NumberSeen(quality_rating=rating)
        item = numbers.Refreshed(number.tenant_id, number.number_id, seen, "gateway", at)
        return await store.write(numbers.refreshed, item)

    assert await look("GREEN", START + timedelta(seconds=10))
    assert not await look("RED", START + timedelta(seconds=9))
    kept = await store.read(numbers.get, number.tenant_id, number.number_id)
    assert kept.quality_rating == "GREEN"
    assert await look("RED", START + timedelta(seconds=11))


async def test_a_list_of_templates_from_before_the_last_one_is_let_go(house):
    store, number = house
    seen = templates.Seen("1", "hello", "en", "UTILITY", "APPROVED", None, "POSITIONAL", (), None)

    async def keep(listed, listed_at_seconds, now_seconds):
        item = templates.Synchronise(
            number.tenant_id,
            number.waba_id,
            listed,
            START + timedelta(seconds=listed_at_seconds),
            "gateway",
            START + timedelta(seconds=now_seconds),
        )
        return await store.write(templates.synchronise, item)

    assert (await keep([seen], 10, 12)).changed == 1
    assert (await keep([], 5, 60)).removed == 0
    assert (await keep([], 13, 61)).removed == 1


async def test_a_changed_token_is_announced(house):
    store, number = house
    words = heard(store)
    tenant, number_id = number.tenant_id, number.number_id
    await store.write(numbers.rotate_token, numbers.RotateToken(tenant, number_id, "new", "operator", START))
    assert words == ["access"]


async def test_a_revoked_and_a_rotated_key_are_announced_and_a_new_one_is_not(house):
    store, number = house
    words = heard(store)

    async def new(digest):
        item = keys.NewKey(
            tenant_id=number.tenant_id, label="k", environment="live", scopes=frozenset({"keys:read"}),
            digest=digest, expires_at=None, actor="operator", now=START,
        )  # fmt: skip
        return await store.write(keys.create, item)

    first, second = await new(b"1" * 32), await new(b"2" * 32)
    assert words == []
    await store.write(keys.revoke, keys.Revoke(number.tenant_id, first.id, "operator", START))
    assert words == ["keys"]
    rotate = keys.Rotate(number.tenant_id, second.id, b"3" * 32, timedelta(hours=1), "operator", START)
    await store.write(keys.rotate, rotate)
    assert words == ["keys", "keys"]
