"""The text of keys, and keys as rows."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.support import START, SeededRandomness, new_store

from waypost.domain import keys as key_text
from waypost.domain.errors import Conflict, Forbidden, NotFound, Unauthenticated
from waypost.store import journal, keys


@pytest.mark.parametrize("environment", ["live", "test"])
def test_a_key_has_its_environment_and_176_bits_of_chance(environment: key_text.KeyEnvironment) -> None:
    randomness = SeededRandomness()
    made = {key_text.new_key(environment, randomness) for _ in range(50)}
    assert len(made) == 50
    assert {len(each) for each in made} == {44}
    assert all(each.startswith(f"wp_{environment}_") for each in made)
    assert len({key_text.digest_of(each) for each in made}) == 50


def test_every_single_mistyped_character_is_found_by_the_checksum() -> None:
    key = key_text.new_key("live", SeededRandomness())
    for place in range(len(key)):
        other = "x" if key[place] != "x" else "y"
        with pytest.raises(Unauthenticated) as caught:
            key_text.digest_of(key[:place] + other + key[place + 1 :])
        assert caught.value.code == "key_malformed"
    for wrong in ("", key[:-1], key + "a", key.swapcase(), f" {key}"):
        with pytest.raises(Unauthenticated):
            key_text.digest_of(wrong)


@pytest.mark.parametrize(
    ("environment", "base_url", "allowed"),
    [
        ("test", "http://127.0.0.1:9000", True),
        ("test", "http://127.8.8.8", True),
        ("test", "http://[::1]:9000", True),
        ("test", "http://localhost:9000", True),
        ("test", "https://graph.facebook.com", False),
        ("test", "http://localhost.example.com", False),
        ("test", "http://127.0.0.1.example.com", False),
        ("test", "http://127.0.0.1@graph.facebook.com", False),
        ("test", "http://10.0.0.1", False),
        ("test", "", False),
        ("live", "https://graph.facebook.com", True),
        ("local", "https://graph.facebook.com", True),
    ],
)
def test_a_test_key_speaks_only_through_an_emulator(
    environment: key_text.Environment, base_url: str, allowed: bool
) -> None:
    if allowed:
        key_text.check_number(environment, base_url)
        return
    with pytest.raises(Forbidden) as caught:
        key_text.check_number(environment, base_url)
    assert caught.value.code == "test_key_live_number"


def _new(tenant_id: str, digest: bytes, **over: object) -> keys.NewKey:
    given: dict[str, object] = {
        "tenant_id": tenant_id, "label": "x", "environment": "live", "scopes": frozenset({"keys:read"}),
        "digest": digest, "expires_at": None, "actor": "operator", "now": START,
    }  # fmt: skip
    return keys.NewKey(**(given | over))  # type: ignore[arg-type]


async def test_another_tenants_key_is_not_found(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    key = await store.write(keys.create, _new("ten_1", b"1" * 32))
    with pytest.raises(NotFound):
        await store.read(keys.show, "ten_2", key.id)
    with pytest.raises(NotFound):
        await store.write(keys.revoke, keys.Revoke("ten_2", key.id, "operator", START))
    with pytest.raises(NotFound):
        await store.write(
            keys.rotate, keys.Rotate("ten_2", key.id, b"2" * 32, timedelta(0), "operator", START)
        )
    assert await store.read(keys.newest_first, "ten_2", None, 10) == []
    assert await store.read(keys.show, "ten_1", key.id) == key
    store.engine.close()


@pytest.mark.parametrize(
    ("lifetime_hours", "overlap_hours", "old_ends_after_hours", "new_ends_after_hours"),
    [(None, 24, 24, None), (48, 24, 24, 49), (10, 24, 10, 11), (None, 0, 1, None)],
)
async def test_a_rotation_never_lengthens_the_old_keys_life(
    tmp_path: Path,
    lifetime_hours: int | None,
    overlap_hours: int,
    old_ends_after_hours: int,
    new_ends_after_hours: int | None,
) -> None:
    store = new_store(tmp_path)
    ends_at = None if lifetime_hours is None else START + timedelta(hours=lifetime_hours)
    old = await store.write(keys.create, _new("ten_1", b"1" * 32, expires_at=ends_at))
    later = START + timedelta(hours=1)
    item = keys.Rotate("ten_1", old.id, b"2" * 32, timedelta(hours=overlap_hours), "operator", later)
    new = await store.write(keys.rotate, item)
    after = await store.read(keys.show, "ten_1", old.id)
    hour = 3_600_000
    begin = old.created_at
    told = None if new_ends_after_hours is None else begin + new_ends_after_hours * hour
    assert new.expires_at == told
    expected = old_ends_after_hours if lifetime_hours == 10 else overlap_hours + 1
    assert after.expires_at == begin + expected * hour
    assert after.successor_id == new.id
    with pytest.raises(Conflict):
        await store.write(keys.rotate, item)
    store.engine.close()


async def test_the_first_tenant_is_made_once_even_within_one_batch(tmp_path: Path) -> None:
    from waypost.store.engine import Write

    store = new_store(tmp_path)
    randomness = SeededRandomness(3)
    writes = [Write(keys.begin, keys.make_bootstrap(randomness, START)[1]) for _ in range(2)]
    store.engine.commit_batch(writes)
    assert [each.result is None for each in writes] == [False, True]
    assert len(await store.read(keys.tenants)) == 1
    lines = await store.read(journal.after, 0, 10)
    assert [(line.kind, line.actor, line.version) for line in lines] == [("key.created", "gateway", 1)]
    store.engine.close()


async def test_a_late_touch_never_turns_the_time_of_last_use_back(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    key = await store.write(keys.create, _new("ten_1", b"1" * 32))
    for seconds in (60, 5):
        await store.write(keys.touch, keys.Touch(key.id, START + timedelta(seconds=seconds)))
    assert (await store.read(keys.show, "ten_1", key.id)).last_used_at == key.created_at + 60_000
    store.engine.close()
