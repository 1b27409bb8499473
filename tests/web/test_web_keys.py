"""Keys over HTTP: made, used, refused, rotated, revoked."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support import START, FakeClock
from tests.web.client import Client, new_client, new_parts

from waypost.domain.keys import SCOPES
from waypost.store import journal, keys
from waypost.web import auth
from waypost.web.asgi import application
from waypost.web.parts import Parts
from waypost.web.routes import all_routes


async def _make(client: Client, *scopes: str, **over: Any) -> Any:
    reply = await client("POST", "/v1/keys", {"label": "x", "scopes": list(scopes), **over})
    assert reply.status == 201, reply.body
    return reply.json


def _clock(parts: Parts) -> FakeClock:
    assert isinstance(parts.clock, FakeClock)
    return parts.clock


async def test_the_first_start_makes_one_key_with_every_scope_and_the_second_none(tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    client = await new_client(parts)
    (only,) = (await client("GET", "/v1/keys")).json["items"]
    assert only["scopes"] == sorted(SCOPES)
    assert await auth.bootstrap(parts) is None


async def test_a_key_is_shown_once_and_works_in_both_headers(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path))
    made = await _make(client, "keys:read")
    assert made["key"].startswith("wp_live_")
    shown = await client("GET", f"/v1/keys/{made['id']}", key=made["key"])
    assert shown.status == 200
    assert "key" not in shown.json
    assert made["key"] not in (await client("GET", "/v1/keys")).body.decode()
    for headers in ({"X-API-Key": made["key"]}, {"Authorization": f"bearer {made['key']}"}):
        assert (await client("GET", "/v1/keys", headers=headers)).status == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "key_missing"),
        ({"Authorization": "Basic d3A6d3A="}, "key_missing"),
        ({"Authorization": "Bearer "}, "key_malformed"),
        ({"Authorization": "Bearer wp_live_short"}, "key_malformed"),
        ({"Authorization": "Bearer wp_live_" + "é" * 36}, "key_malformed"),
        ({"Authorization": "Bearer wp_live_000000000000000000000000000000000000"}, "key_malformed"),
    ],
)
async def test_without_a_whole_key_nothing_is_served(
    tmp_path: Path, headers: dict[str, str], code: str
) -> None:
    client = await new_client(new_parts(tmp_path))
    client.key = None
    reply = await client("GET", "/v1/keys", headers=headers)
    assert (reply.status, reply.code) == (401, code)
    assert reply.headers["www-authenticate"].startswith("Bearer")


async def test_a_mistyped_key_is_told_from_an_unknown_one(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    client = await new_client(new_parts(tmp_path))
    assert client.key is not None
    typo = client.key[:-1] + ("a" if client.key[-1] != "a" else "b")
    assert (await client("GET", "/v1/keys", key=typo)).code == "key_malformed"
    elsewhere = new_parts(tmp_path / "other")
    elsewhere.randomness.token_bytes(1)
    foreign = await auth.bootstrap(elsewhere)
    assert (await client("GET", "/v1/keys", key=foreign)).code == "key_unknown"


async def test_a_key_does_what_its_scopes_say(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path))
    reader = await _make(client, "keys:read")
    assert (await client("GET", "/v1/keys", key=reader["key"])).status == 200
    refused = await client("DELETE", f"/v1/keys/{reader['id']}", key=reader["key"])
    assert (refused.status, refused.code) == (403, "scope_missing")


async def test_a_key_cannot_make_one_that_may_more_than_itself(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path))
    maker = await _make(client, "keys:write")
    wish = {"label": "x", "scopes": ["keys:write", "messages:send"]}
    refused = await client("POST", "/v1/keys", wish, key=maker["key"])
    assert (refused.status, refused.code) == (403, "scope_not_held")
    first = (await client("GET", "/v1/keys")).json["items"][-1]["id"]
    assert (await client("POST", f"/v1/keys/{first}:rotate", key=maker["key"])).code == "scope_not_held"
    tester = await _make(client, *SCOPES, environment="test")
    assert tester["key"].startswith("wp_test_")
    assert (await client("POST", "/v1/keys", wish, key=tester["key"])).code == "test_key_live_key"
    assert (await client("DELETE", f"/v1/keys/{first}", key=tester["key"])).code == "test_key_live_key"
    assert (await client("POST", "/v1/keys", wish | {"environment": "test"}, key=tester["key"])).status == 201


async def test_an_expired_key_is_refused_from_its_moment_on(tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    client = await new_client(parts)
    ends_at = START + timedelta(seconds=10)
    made = await _make(client, "keys:read", expires_at=ends_at.isoformat())
    assert (await client("GET", "/v1/keys", key=made["key"])).status == 200
    _clock(parts).advance(9.999)
    assert (await client("GET", "/v1/keys", key=made["key"])).status == 200
    _clock(parts).advance(0.001)
    assert (await client("GET", "/v1/keys", key=made["key"])).code == "key_expired"
    assert (await client("GET", f"/v1/keys/{made['id']}")).json["state"] == "expired"


async def test_a_revoked_key_stops_at_once_although_it_was_just_used(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path))
    made = await _make(client, "keys:read")
    assert (await client("GET", "/v1/keys", key=made["key"])).status == 200
    revoked = await client("DELETE", f"/v1/keys/{made['id']}")
    assert revoked.json["state"] == "revoked"
    assert (await client("GET", "/v1/keys", key=made["key"])).code == "key_revoked"
    assert (await client("DELETE", f"/v1/keys/{made['id']}")).json == revoked.json


async def test_a_key_revoked_by_another_process_works_one_second_at_most(tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    client = await new_client(parts)
    made = await _make(client, "keys:read")
    tenant_id = (await parts.store.read(keys.tenants))[0]
    assert (await client("GET", "/v1/keys", key=made["key"])).status == 200
    await parts.store.write(keys.revoke, keys.Revoke(tenant_id, made["id"], "operator", START))
    _clock(parts).advance(0.999)
    assert (await client("GET", "/v1/keys", key=made["key"])).status == 200
    _clock(parts).advance(0.001)
    assert (await client("GET", "/v1/keys", key=made["key"])).code == "key_revoked"


async def test_after_a_rotation_both_keys_work_until_the_overlap_ends(tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    client = await new_client(parts)
    old = await _make(client, "keys:read")
    reply = await client("POST", f"/v1/keys/{old['id']}:rotate", {"overlap_hours": 1})
    assert reply.status == 201, reply.body
    new = reply.json
    assert new["scopes"] == ["keys:read"]
    shown = (await client("GET", f"/v1/keys/{old['id']}")).json
    assert (shown["state"], shown["successor_id"]) == ("expiring", new["id"])
    assert [(await client("GET", "/v1/keys", key=each["key"])).status for each in (old, new)] == [200, 200]
    assert (await client("POST", f"/v1/keys/{old['id']}:rotate")).code == "key_not_active"
    _clock(parts).advance(3600)
    assert (await client("GET", "/v1/keys", key=old["key"])).code == "key_expired"
    assert (await client("GET", "/v1/keys", key=new["key"])).status == 200


async def test_last_use_is_written_once_a_minute(tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    client = await new_client(parts)
    made = await _make(client, "keys:read")
    assert made["last_used_at"] is None
    seen = []
    for seconds in (0, 59, 1):
        _clock(parts).advance(seconds)
        await client("GET", "/v1/keys", key=made["key"])
        seen.append((await client("GET", f"/v1/keys/{made['id']}")).json["last_used_at"])
    assert seen == ["2026-11-22T12:00:00.000Z", "2026-11-22T12:00:00.000Z", "2026-11-22T12:01:00.000Z"]


async def test_every_change_of_a_key_has_its_line_and_no_line_has_its_text(tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    client = await new_client(parts)
    made = await _make(client, "keys:read")
    await client("POST", f"/v1/keys/{made['id']}:rotate")
    await client("DELETE", f"/v1/keys/{made['id']}")
    lines = [
        each for each in await parts.store.read(journal.after, 0, 100) if each.aggregate_id == made["id"]
    ]
    assert [(each.kind, each.version) for each in lines] == [
        ("key.created", 1),
        ("key.rotated", 2),
        ("key.revoked", 3),
    ]
    assert lines[0].actor.startswith("key:key_")
    assert made["key"] not in repr(lines)


async def test_keys_are_listed_in_pages(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path))
    made = [(await _make(client, "keys:read"))["id"] for _ in range(4)]
    found, path = [], "/v1/keys?limit=2"
    while path:
        page = (await client("GET", path)).json
        found += [each["id"] for each in page["items"]]
        path = page["next_cursor"] and f"/v1/keys?limit=2&cursor={page['next_cursor']}"
    assert found[:4] == made[::-1]
    assert len(found) == 5


async def test_the_local_socket_needs_no_key_and_speaks_as_the_operator(tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    early = Client(application(parts, all_routes(parts.config), local=True))
    assert (await early("GET", "/v1/keys")).status == 503
    await auth.bootstrap(parts)
    made = await _make(early, "keys:read")
    line = (await parts.store.read(journal.after, 0, 100))[-1]
    assert (line.aggregate_id, line.actor) == (made["id"], "operator")
    wrong = await early("GET", "/v1/keys", headers={"X-Waypost-Tenant": "ten_nobody"})
    assert (wrong.status, wrong.code) == (422, "tenant_unknown")
