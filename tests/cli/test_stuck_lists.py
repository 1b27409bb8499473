"""The lists of what is stuck: of one tenant, bounded, and only what waits for a person."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.support import START, FakeClock, SeededNumber, accept_text, new_store, seed_number
from tests.web.client import new_client, new_parts

from waypost.domain.times import to_ms
from waypost.store import keys, stuck
from waypost.store.database import Store
from waypost.store.engine import single
from waypost.store.transaction import Transaction


@single
def _put(tx: Transaction, item: tuple[str, tuple[object, ...]]) -> None:
    tx.execute(*item)


async def put(store: Store, sql: str, *values: object) -> None:
    await store.write(_put, (sql, values))


async def message(store: Store, number: SeededNumber, clock: FakeClock, status: str, person: int = 1) -> str:
    message_id = await accept_text(store, number, clock, f"+4915550001{person:03d}")
    at = to_ms(clock.now())
    await put(store, "UPDATE messages SET status = ?, unknown_since = ? WHERE id = ?", status, at, message_id)
    return message_id


async def test_another_tenants_trouble_is_not_shown(tmp_path: Path) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    ours = await seed_number(store)
    theirs = await seed_number(store, suffix="2", tenant_id="ten_2")
    for number in (ours, theirs):
        for status in ("held", "unknown", "unresolved", "retrying"):
            await message(store, number, clock, status)
        one = number.tenant_id
        await put(
            store, "UPDATE numbers SET state = 'stopped', state_reason = '190' WHERE tenant_id = ?", one
        )
        await put(
            store,
            "INSERT INTO callbacks (id, tenant_id, app_id, digest, state, tries, received_at)"
            " VALUES (?, ?, ?, ?, 'parked', 1, 0)",
            f"cal_{one}", one, number.app_id, one.encode(),
        )  # fmt: skip
        await put(
            store,
            "INSERT INTO subscribers (id, tenant_id, url, label, kinds, batch_events_max, state, position, failures,"
            " next_try_at, failing_since, version, created_at)"
            " VALUES (?, ?, 'http://x', '', '[]', 1, 'active', 0, 3, 5, 1, 1, 0)",
            f"sub_{one}", one,
        )  # fmt: skip
        await put(
            store,
            "INSERT INTO subscriber_exceptions (subscriber_id, position, tenant_id, conversation, state, tries,"
            " next_try_at) VALUES (?, 1, ?, 'c', 'parked', 9, 0)",
            f"sub_{one}", one,
        )  # fmt: skip
    now, tenant_id = clock.now(), ours.tenant_id
    lists = [
        await store.read(stuck.held, tenant_id, 10),
        await store.read(stuck.unknown, tenant_id, 10),
        await store.read(stuck.unresolved, tenant_id, now + timedelta(hours=1), 1, 10),
        await store.read(stuck.retrying, tenant_id, now, 0, 10),
        await store.read(stuck.lanes, tenant_id, now, 10),
    ]
    assert [[each.number_id for each in found] for found in lists] == [[ours.number_id]] * 5
    assert [each.id for each in await store.read(stuck.parked_callbacks, tenant_id, 10)] == [
        f"cal_{tenant_id}"
    ]
    assert [each.id for each in await store.read(stuck.failing_subscribers, tenant_id, 10)] == [
        f"sub_{tenant_id}"
    ]
    assert [each.subscriber_id for each in await store.read(stuck.parked_events, tenant_id, 10)] == [
        f"sub_{tenant_id}"
    ]
    assert lists[-1][0].waiting == 2


@pytest.mark.parametrize(
    ("status", "aged", "shown"),
    [
        ("retrying", timedelta(minutes=14), False),
        ("retrying", timedelta(minutes=16), True),
        ("unresolved", timedelta(days=6), True),
        ("unresolved", timedelta(days=8), False),
        ("accepted", timedelta(days=6), False),
        ("delivered", timedelta(days=6), False),
    ],
)
async def test_only_what_has_waited_long_or_ended_lately_is_shown(
    tmp_path: Path, status: str, aged: timedelta, shown: bool
) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    await message(store, number, clock, status)
    now = clock.now() + aged
    found = [
        *await store.read(stuck.retrying, number.tenant_id, now, 15, 10),
        *await store.read(stuck.unresolved, number.tenant_id, now, 7, 10),
        *await store.read(stuck.unknown, number.tenant_id, 10),
        *await store.read(stuck.held, number.tenant_id, 10),
    ]
    assert [each.status for each in found] == ([status] if shown else [])


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (lambda reading: stuck.held(reading, "ten_1", 5), "messages_due"),
        (lambda reading: stuck.retrying(reading, "ten_1", START, 15, 5), "messages_due"),
        (lambda reading: stuck.unknown(reading, "ten_1", 5), "messages_blocking"),
        (
            lambda reading: stuck.unresolved(reading, "ten_1", START, 7, 5),
            "messages_unresolved (tenant_id=? AND id>?)",
        ),
        (lambda reading: stuck.parked_callbacks(reading, "ten_1", 5), "callbacks_parked"),
    ],
)
async def test_looking_costs_what_is_open_and_not_what_ever_was(
    tmp_path: Path, query: Callable[[Any], object], index: str
) -> None:
    store = new_store(tmp_path)
    plans: list[str] = []

    class Explaining:
        def rows(self, sql: str, parameters: tuple[object, ...]) -> list[object]:
            connection = apsw.Connection(str(tmp_path / "w.sqlite"))
            plans.extend(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters))
            connection.close()
            return []

    query(Explaining())
    assert store.timeline
    assert index in plans[0]


async def test_a_slowed_lane_is_shown_until_it_recovers(tmp_path: Path) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    until = clock.now() + timedelta(minutes=1)
    await put(
        store,
        "INSERT INTO lanes (number_id, tenant_id, epoch, lease_until, slow_until, slow_reason, slow_count)"
        " VALUES (?, ?, 1, 0, ?, '130429', 1)",
        number.number_id, number.tenant_id, to_ms(until),
    )  # fmt: skip
    (lane,) = await store.read(stuck.lanes, number.tenant_id, clock.now(), 10)
    assert (lane.slow_until, lane.slow_reason, lane.state) == (to_ms(until), "130429", "active")
    assert await store.read(stuck.lanes, number.tenant_id, until, 10) == []


async def test_a_list_that_was_cut_says_that_there_is_more(tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    client = await new_client(parts)
    (tenant_id,) = await parts.store.read(keys.tenants)
    number = await seed_number(parts.store, tenant_id=tenant_id)
    for person in range(3):
        await message(parts.store, number, parts.clock, "unknown", person)  # type: ignore[arg-type]
    whole = (await client("GET", "/v1/stuck?limit=3")).json
    assert (len(whole["unknown"]), whole["more"]) == (3, [])
    cut = (await client("GET", "/v1/stuck?limit=2")).json
    assert [each["id"] for each in cut["unknown"]] == [each["id"] for each in whole["unknown"][:2]]
    assert cut["more"] == ["unknown"]
    assert cut["unknown"][0]["settle"] == ["resend", "fail"]
    assert (await client("GET", "/v1/stuck?limit=0")).status == 422


async def test_it_wants_the_scope_of_operators(tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    client = await new_client(parts)
    made = await client("POST", "/v1/keys", {"label": "x", "scopes": ["messages:read"]})
    assert (await client("GET", "/v1/stuck", key=made.json["key"])).code == "scope_missing"
