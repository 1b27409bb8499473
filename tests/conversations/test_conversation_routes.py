"""Conversations, contacts and inbound messages over HTTP: listed, shown, handed over, interleaved, found."""

from pathlib import Path
from typing import Any

import pytest
from tests.inbox.callback_support import Bench, new_bench, said
from tests.support import ScriptedTransport, accept_text, new_sender, settle, status_of
from tests.web.client import Client, new_parts

from waypost.config import Config
from waypost.domain.outcomes import Sent
from waypost.store import journal
from waypost.web.asgi import application
from waypost.web.routes import all_routes

ME = "16505551234"


async def _client(tmp_path: Path) -> tuple[Bench, Client]:
    """A client of the seeded tenant, with every scope."""
    bench = await new_bench(tmp_path)
    parts = new_parts(tmp_path / "web", store=bench.store, clock=bench.clock, inbox=bench.inbox)
    routes = all_routes(Config())
    client = Client(application(parts, routes, local=True))
    parts.key_cache.tenant_ids = (bench.number.tenant_id,)
    return bench, client


def _from(phone: str, message_id: str, body: str = "hi") -> dict[str, Any]:
    return said(message_id, body, **{"from": phone})


async def _only(client: Client, path: str) -> Any:
    (only,) = (await client("GET", path)).json["items"]
    return only


async def test_a_conversation_shows_its_window_open_and_then_closed(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    await bench.receive(bench.messages(said("wamid.1")))
    shown = await _only(client, "/v1/conversations")
    assert shown["window"] == {"open": True, "expires_at": "2026-11-23T12:00:00.000Z"}
    assert (shown["assignee"], shown["last_inbound_at"]) == ("none", "2026-11-22T12:00:00.000Z")
    bench.clock.advance(86_400)
    again = (await client("GET", f"/v1/conversations/{shown['id']}")).json
    assert again["window"] == {"open": False, "expires_at": "2026-11-23T12:00:00.000Z"}


async def test_conversations_are_listed_most_recent_first_in_pages(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    for place in range(5):
        bench.clock.advance(10)
        await bench.receive(bench.messages(_from(f"1650555000{place}", f"wamid.{place}")))
    bench.clock.advance(10)
    await bench.receive(bench.messages(_from("16505550001", "wamid.again")))
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await client("GET", f"/v1/conversations?limit=2{cursor}")).json
        seen += [item["last_event_at"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert [time[14:19] for time in seen] == ["01:00", "00:50", "00:40", "00:30", "00:10"]


async def test_conversations_of_the_same_moment_are_each_listed_once(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    await bench.receive(bench.messages(*[_from(f"1650555000{n}", f"wamid.{n}") for n in range(5)]))
    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        page = (await client("GET", f"/v1/conversations?limit=2{cursor}")).json
        seen += [item["id"] for item in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen)) == 5


@pytest.mark.parametrize("cursor", ["x", "1", ".", "9" * 30 + ".cnv", "-1.cnv"])
async def test_a_cursor_of_another_list_is_refused(tmp_path: Path, cursor: str) -> None:
    _, client = await _client(tmp_path)
    reply = await client("GET", f"/v1/conversations?cursor={cursor}")
    assert (reply.status, reply.code) == (422, "bad_cursor")


async def test_a_conversation_is_handed_over_and_the_journal_says_by_whom(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    await bench.receive(bench.messages(said("wamid.1")))
    shown = await _only(client, "/v1/conversations")
    path = f"/v1/conversations/{shown['id']}:assign"
    for assignee in ("bot", "person", "person", "none"):
        reply = await client("POST", path, {"assignee": assignee})
        assert (reply.status, reply.json["assignee"]) == (200, assignee)
    lines = await bench.events("conversation.assigned")
    assert [(e.version, e.facts["assignee_before"], e.facts["assignee"]) for e in lines] == [
        (2, "none", "bot"),
        (3, "bot", "person"),
        (4, "person", "none"),
    ]
    assert {event.actor for event in lines} == {"operator"}
    assert await _only(client, "/v1/conversations?assignee=none")
    assert (await client("GET", "/v1/conversations?assignee=bot")).json["items"] == []


async def test_a_hand_over_that_expects_somebody_else_is_a_conflict(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    await bench.receive(bench.messages(said("wamid.1")))
    shown = await _only(client, "/v1/conversations")
    path = f"/v1/conversations/{shown['id']}:assign"
    assert (await client("POST", path, {"assignee": "bot", "expected": "none"})).status == 200
    reply = await client("POST", path, {"assignee": "person", "expected": "none"})
    assert (reply.status, reply.code) == (409, "assignee_changed")
    assert (await client("GET", f"/v1/conversations/{shown['id']}")).json["assignee"] == "bot"


@pytest.mark.parametrize("body", [{}, {"assignee": "robot"}, {"assignee": None}, {"assignee": "bot", "x": 1}])
async def test_a_wrong_hand_over_is_refused(tmp_path: Path, body: dict[str, Any]) -> None:
    bench, client = await _client(tmp_path)
    await bench.receive(bench.messages(said("wamid.1")))
    shown = await _only(client, "/v1/conversations")
    assert (await client("POST", f"/v1/conversations/{shown['id']}:assign", body)).status == 422


async def test_what_a_relieved_assignee_queued_is_not_sent(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    await bench.receive(bench.messages(said("wamid.1")))
    shown = await _only(client, "/v1/conversations")
    path = f"/v1/conversations/{shown['id']}:assign"
    await client("POST", path, {"assignee": "bot"})
    message_id = await accept_text(bench.store, bench.number, bench.clock, f"+{ME}", assignee="bot")
    await client("POST", path, {"assignee": "person"})
    transport = ScriptedTransport(Sent("auto"))
    await settle(new_sender(bench.store, transport, bench.clock))
    assert transport.spoken == []
    assert await status_of(bench.store, bench.number, message_id) == "refused"


async def test_both_directions_are_interleaved_newest_first_in_pages(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    expected: list[tuple[str, str]] = []
    for place in range(7):
        bench.clock.advance(5)
        if place % 3 == 1:
            sent_id = await accept_text(bench.store, bench.number, bench.clock, f"+{ME}")
            expected.append(("outbound", sent_id))
        else:
            await bench.receive(bench.messages(said(f"wamid.{place}", f"word {place}")))
            expected.append(("inbound", f"wamid.{place}"))
    await bench.receive(bench.messages(_from("16505559999", "wamid.other")))
    bench.clock.advance(1)
    conversation = (await client("GET", "/v1/conversations")).json["items"][-1]
    seen: list[tuple[str, str]] = []
    cursor = ""
    while True:
        page = (await client("GET", f"/v1/conversations/{conversation['id']}/messages?limit=2{cursor}")).json
        for item in page["items"]:
            said_id = (
                item["id"] if item["direction"] == "outbound" else item["inbound"]["provider_message_id"]
            )
            seen.append((item["direction"], said_id))
            assert ("message" in item) == (item["direction"] == "outbound")
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == expected[::-1]


async def test_a_contact_is_found_by_each_alias_and_shows_their_history(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    await bench.receive(bench.sample("text"))
    contact = await _only(client, "/v1/contacts")
    assert contact["name"] == "Zoë Müller"
    for query in (
        "phone=%2B16505551234",
        "phone=%2B1%20650%20555%201234",
        "bsuid=US.13491208655302741918",
        "bsuid=US.ENT.118157992128868",
        "username=zoe",
        "username=@zoe",
        "phone=%2B16505551234&username=zoe",
    ):
        assert await _only(client, f"/v1/contacts?{query}") == contact
    await bench.receive(bench.sample("new_number").replace(b"US.OLD", b"US.13491208655302741918"))
    shown = (await client("GET", f"/v1/contacts/{contact['id']}")).json
    phones = [(a["value"], a["valid_to"] is None) for a in shown["aliases"] if a["kind"] == "phone"]
    assert phones == [("+16505551234", False), ("+16505559999", True)]
    assert (await client("GET", "/v1/contacts?phone=%2B16505551234")).json["items"] == []


@pytest.mark.parametrize(
    ("query", "field"), [("phone=0171%20123", "phone"), ("phone=US.1", "phone"), ("phone=x@g.us", "phone")]
)
async def test_a_search_for_what_is_no_number_names_the_field(tmp_path: Path, query: str, field: str) -> None:
    _, client = await _client(tmp_path)
    reply = await client("GET", f"/v1/contacts?{query}")
    assert (reply.status, reply.json["field"]) == (422, field)


async def test_two_aliases_of_different_people_find_nobody(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    await bench.receive(bench.sample("text"), bench.messages(_from("16505550001", "wamid.2")))
    assert (await client("GET", "/v1/contacts?phone=%2B16505550001&username=zoe")).json["items"] == []


async def test_the_id_of_a_merged_contact_leads_to_the_one_that_is_left(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    await bench.receive(bench.messages(said("wamid.1")))
    bench.clock.advance(1)
    await bench.receive(bench.messages(said("wamid.2", **{"from": None, "from_user_id": "US.1"})))
    one, other = [item["id"] for item in (await client("GET", "/v1/contacts")).json["items"]]
    await bench.receive(bench.messages(said("wamid.3", from_user_id="US.1")))
    left = await _only(client, "/v1/contacts")
    assert left["id"] == one
    assert (await client("GET", f"/v1/contacts/{other}")).json == left


async def test_a_merge_keeps_one_conversation_with_its_assignee_and_tells_it(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    await bench.receive(bench.messages(said("wamid.1")))
    bench.clock.advance(1)
    await bench.receive(bench.messages(said("wamid.2", **{"from": None, "from_user_id": "US.1"})))
    for item in (await client("GET", "/v1/conversations")).json["items"]:
        last = item
    await client("POST", f"/v1/conversations/{last['id']}:assign", {"assignee": "person"})

    await bench.receive(bench.messages(said("wamid.3", from_user_id="US.1")))

    left = await _only(client, "/v1/conversations")
    assert left["assignee"] == "person"
    told = await bench.store.read(journal.of_aggregate, "ten_1", left["id"])
    assert "conversation.merged" in [event.kind for event in told]
    assert [event.version for event in told] == list(range(1, len(told) + 1))


async def test_inbound_messages_are_listed_found_and_shown_with_content(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    await bench.receive(bench.messages(*[said(f"wamid.{n}", f"word {n}") for n in range(3)]))
    await bench.receive(bench.sample("image"))
    first = (await client("GET", "/v1/inbound?limit=1")).json
    assert first["items"][0]["type"] == "image"
    assert first["items"][0]["media_id"].startswith("med_")
    rest = (await client("GET", f"/v1/inbound?cursor={first['next_cursor']}")).json
    assert [item["content"]["text"]["body"] for item in rest["items"]] == ["word 2", "word 1", "word 0"]
    by_provider = await _only(client, "/v1/inbound?provider_message_id=wamid.1")
    assert (await client("GET", f"/v1/inbound/{by_provider['id']}")).json == by_provider
    assert (await client("GET", "/v1/inbound/wamid.1")).json == by_provider
    assert len((await client("GET", "/v1/inbound?type=text")).json["items"]) == 3


async def test_a_parked_callback_is_listed_with_its_fault_and_read_again(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    await bench.receive(b"not json", bench.sample("text"))
    parked = await _only(client, "/v1/callbacks?state=parked")
    assert parked["fault"].startswith("unreadable")
    reply = await client("POST", f"/v1/callbacks/{parked['id']}:replay")
    assert (reply.status, reply.json["state"]) == (202, "stored")
    assert (await client("POST", f"/v1/callbacks/{parked['id']}:replay")).code == "callback_not_parked"
    await bench.read()
    assert (await _only(client, "/v1/callbacks?state=parked"))["tries"] == 3


async def test_another_tenant_sees_nothing_of_it(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    await bench.receive(bench.sample("text"), b"not json")
    conversation = await _only(client, "/v1/conversations")
    inbound = await _only(client, "/v1/inbound")
    parked = await _only(client, "/v1/callbacks?state=parked")
    parts = new_parts(tmp_path / "other", store=bench.store, clock=bench.clock, inbox=bench.inbox)
    parts.key_cache.tenant_ids = ("ten_2",)
    stranger = Client(application(parts, all_routes(Config()), local=True))
    for path in ("/v1/conversations", "/v1/contacts", "/v1/inbound", "/v1/callbacks"):
        assert (await stranger("GET", path)).json["items"] == []
    for path in (
        f"/v1/conversations/{conversation['id']}",
        f"/v1/conversations/{conversation['id']}/messages",
        f"/v1/contacts/{conversation['contact_id']}",
        f"/v1/inbound/{inbound['id']}",
        "/v1/inbound/wamid.IN_text",
    ):
        assert (await stranger("GET", path)).status == 404
    assign = f"/v1/conversations/{conversation['id']}:assign"
    assert (await stranger("POST", assign, {"assignee": "bot"})).status == 404
    assert (await stranger("POST", f"/v1/callbacks/{parked['id']}:replay")).status == 404
