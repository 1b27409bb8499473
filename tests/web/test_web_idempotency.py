"""Idempotency-Key: the first answer again, never the work again."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct
from structlog.testing import capture_logs
from tests.support import FakeClock
from tests.web.client import Client, new_client, new_parts

from waypost.domain.errors import Conflict, Unavailable
from waypost.store import idempotency, journal
from waypost.store.engine import Operation, single
from waypost.store.transaction import Transaction
from waypost.web.parts import Parts
from waypost.web.routing import Ask, Kept, Route

WISH = {"label": "shop", "scopes": ["messages:send"]}


class Count(Struct, frozen=True, forbid_unknown_fields=True):
    to: Annotated[int, Meta(ge=0)]


class Counted(Struct, frozen=True):
    calls: int


def _outside(calls: list[int], gate: asyncio.Event | None = None) -> Route:
    """A POST whose work is not one transaction: it calls somebody outside, here a list."""

    async def run(ask: Ask) -> Counted:
        body: Count = ask.body
        if gate is not None:
            await gate.wait()
        if body.to == 409:
            raise Conflict("not now")
        calls.append(body.to)
        return Counted(len(calls))

    return Route("POST", "/v1/outside", "operations:write", "Call outside", run, body=Count, answer=Counted)


async def _keys(client: Client) -> int:
    return len((await client("GET", "/v1/keys")).json["items"])


async def test_a_repeat_gets_the_first_answer_without_its_secret(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path))
    headers = {"Idempotency-Key": "first try"}
    first = await client("POST", "/v1/keys", WISH, headers=headers)
    again = await client("POST", "/v1/keys", WISH, headers=headers)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.status == first.status == 201
    expected = {**first.json, "secret_already_shown": ["key"]}
    del expected["key"]
    assert again.json == expected
    assert await _keys(client) == 2


async def test_the_secret_is_nowhere_in_the_stored_answer(tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    client = await new_client(parts)
    made = (await client("POST", "/v1/keys", WISH, headers={"Idempotency-Key": "k"})).json

    def stored(reading: Any) -> Any:
        return reading.rows("SELECT answer FROM idempotency")

    ((answer,),) = await parts.store.read(stored)
    assert made["id"].encode() in answer
    assert made["key"].encode() not in answer


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/keys", WISH | {"label": "another"}), ("/v1/outside", {"to": 1})],
)
async def test_the_same_key_for_another_request_is_refused(tmp_path: Path, path: str, body: Any) -> None:
    calls: list[int] = []
    client = await new_client(new_parts(tmp_path), (_outside(calls),))
    headers = {"Idempotency-Key": "k"}
    await client("POST", "/v1/keys", WISH, headers=headers)
    reply = await client("POST", path, body, headers=headers)
    assert (reply.status, reply.code) == (422, "idempotency_key_reused")
    assert calls == []
    assert await _keys(client) == 2


async def test_another_tenant_may_use_the_same_key(tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    client = await new_client(parts)

    @single
    def second_tenant(tx: Transaction, item: None) -> None:
        tx.execute("INSERT INTO tenants VALUES ('ten_2', 'Second', 0)")
        tx.execute("UPDATE api_keys SET tenant_id = 'ten_2' WHERE label = 'second'")

    made = (
        await client("POST", "/v1/keys", {"label": "second", "scopes": ["keys:write", "messages:send"]})
    ).json
    await parts.store.write(second_tenant, None)
    parts.key_cache.forget()
    headers = {"Idempotency-Key": "k"}
    ours = await client("POST", "/v1/keys", WISH, headers=headers)
    theirs = await client("POST", "/v1/keys", WISH, headers=headers, key=made["key"])
    assert (ours.status, theirs.status) == (201, 201)
    assert ours.json["id"] != theirs.json["id"]
    foreign = await client("DELETE", f"/v1/keys/{theirs.json['id']}")
    assert (foreign.status, foreign.code) == (404, "not_found")


async def test_a_key_is_forgotten_after_its_time(tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    client = await new_client(parts)
    headers = {"Idempotency-Key": "k"}
    first = await client("POST", "/v1/keys", WISH, headers=headers)
    assert isinstance(parts.clock, FakeClock)
    parts.clock.advance(72 * 3600 - 1)
    assert (await client("POST", "/v1/keys", WISH, headers=headers)).json["id"] == first.json["id"]
    parts.clock.advance(1)
    assert (await client("POST", "/v1/keys", WISH, headers=headers)).json["id"] != first.json["id"]


async def test_only_committed_answers_are_kept(tmp_path: Path) -> None:
    calls: list[int] = []
    client = await new_client(new_parts(tmp_path), (_outside(calls),))
    headers = {"Idempotency-Key": "k"}
    for _ in range(2):
        assert (await client("POST", "/v1/outside", {"to": 409}, headers=headers)).status == 409
    assert (await client("POST", "/v1/outside", {"to": 1}, headers=headers)).json == {"calls": 1}
    again = await client("POST", "/v1/outside", {"to": 1}, headers=headers)
    assert (again.json, again.headers["idempotent-replayed"]) == ({"calls": 1}, "true")
    assert calls == [1]


async def test_a_repeat_while_the_first_is_under_way_is_sent_away(tmp_path: Path) -> None:
    calls: list[int] = []
    gate = asyncio.Event()
    client = await new_client(new_parts(tmp_path), (_outside(calls, gate),))
    headers = {"Idempotency-Key": "k"}
    first = asyncio.ensure_future(client("POST", "/v1/outside", {"to": 1}, headers=headers))
    await asyncio.sleep(0)
    second = await client("POST", "/v1/outside", {"to": 1}, headers=headers)
    assert (second.status, second.code) == (409, "idempotency_in_flight")
    assert second.headers["retry-after"] == "1"
    gate.set()
    assert (await first).json == {"calls": 1}
    assert (await client("POST", "/v1/outside", {"to": 1}, headers=headers)).json == {"calls": 1}
    assert calls == [1]


async def test_without_a_key_every_request_is_its_own(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path))
    made = {(await client("POST", "/v1/keys", WISH)).json["id"] for _ in range(3)}
    assert len(made) == 3


async def test_a_change_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    def change(tx: Transaction) -> None:
        tx.execute("INSERT INTO tenants VALUES ('ten_9', 'Nine', 0)")
        raise Conflict("not so", code="not_so")

    async def run(ask: Ask) -> Any:
        return await ask.once(change)

    parts = new_parts(tmp_path)
    client = await new_client(parts, (Route("POST", "/v1/refused", "operations:write", "Refuse", run),))
    last = await parts.store.read(journal.position_now)
    for headers in ({}, {"Idempotency-Key": "k"}):
        reply = await client("POST", "/v1/refused", headers=headers)
        assert (reply.status, reply.code) == (409, "not_so")
    rows = await parts.store.read(lambda reading: reading.rows("SELECT id FROM tenants"))
    assert len(rows) == 1
    assert await parts.store.read(journal.position_now) == last


async def test_work_done_outside_is_answered_although_its_answer_could_not_be_kept(tmp_path: Path) -> None:
    class FullDisk:
        """The store, with no room for kept answers."""

        def __init__(self, parts: Parts) -> None:
            self._store = parts.store
            self.engine = parts.store.engine
            self.read = parts.store.read

        async def write(self, operation: Operation, item: Any) -> Any:
            if isinstance(item, Kept):
                raise Unavailable("the disk is full: nothing was changed", code="disk_full")
            return await self._store.write(operation, item)

    calls: list[int] = []
    (tmp_path / "a").mkdir()
    sound = new_parts(tmp_path / "a")
    parts = new_parts(tmp_path, store=FullDisk(sound))
    client = await new_client(parts, (_outside(calls),))
    with capture_logs() as lines:
        reply = await client("POST", "/v1/outside", {"to": 1}, headers={"Idempotency-Key": "k"})
    assert (reply.status, reply.json) == (200, {"calls": 1})
    (told,) = [line for line in lines if line["event"] == "answer_not_kept"]
    assert told["code"] == "disk_full"
    assert await sound.store.read(lambda reading: reading.rows("SELECT key FROM idempotency")) == []


def test_a_stored_answer_is_marked_when_given_again() -> None:
    from waypost.web.routing import replay

    assert replay(idempotency.Answer(201, b"{}")).headers == (("Idempotent-Replayed", "true"),)
