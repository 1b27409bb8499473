"""Graph's conventions as a client meets them: versions, tokens, projection, cursors, envelopes, media, templates."""

import base64
import hashlib

import aiohttp
import pytest

from waypost.emulator import DEMO


@pytest.mark.parametrize("prefix", ["", "/v13.0", "/v26.0", "/v26"])
async def test_any_version_prefix_reaches_the_same_number(bench, prefix):
    status, answer = await bench.call("GET", f"{prefix}/{DEMO.number_id}?fields=display_phone_number")
    assert (status, answer) == (200, {"display_phone_number": "+49 1555 0000001", "id": DEMO.number_id})


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({"Authorization": f"Bearer {DEMO.access_token}"}, "", 200),
        ({"Authorization": f"OAuth {DEMO.access_token}"}, "", 200),
        ({"D360-API-KEY": DEMO.access_token}, "", 200),
        ({}, f"?access_token={DEMO.access_token}", 200),
        ({}, "", 401),
        ({"Authorization": "Bearer somebody-else"}, "", 401),
    ],
)
async def test_the_token_travels_in_a_header_or_the_query(bench, headers, query, status):
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.get(f"{bench.base}/v26.0/{DEMO.number_id}{query}") as answer,
    ):
        assert answer.status == status
        if status == 401:
            assert (await answer.json())["error"]["code"] == 190


@pytest.mark.parametrize(("state", "subcode"), [("expired", 463), ("invalidated", 467)])
async def test_a_dead_token_says_how_it_died(bench, state, subcode):
    await bench.call("POST", "/_emulator/tokens", json={"state": state})
    status, answer = await bench.send({"text": {"body": "x"}})
    assert (status, answer["error"]["code"], answer["error"]["error_subcode"]) == (401, 190, subcode)
    assert bench.emulator.world.accepted_count == 0


async def test_a_token_expires_with_the_clock(bench):
    await bench.call("POST", "/_emulator/tokens", json={"expires_in_seconds": 60})
    await bench.text()
    await bench.clock.advance(61)
    status, answer = await bench.send({"text": {"body": "x"}})
    assert (status, answer["error"]["error_subcode"]) == (401, 463)


async def test_an_unknown_object_is_100_33_with_the_method_exception(bench):
    status, answer = await bench.call("GET", "/v26.0/999999")
    error = answer["error"]
    assert (status, error["code"], error["error_subcode"], error["type"]) == (
        400,
        100,
        33,
        "GraphMethodException",
    )


async def test_fields_are_projected_with_nesting(bench):
    path = f"/v26.0/{DEMO.number_id}?fields=health_status{{can_send_message}},throughput"
    _, answer = await bench.call("GET", path)
    assert answer == {
        "health_status": {"can_send_message": "AVAILABLE"},
        "throughput": {"level": "STANDARD"},
        "id": DEMO.number_id,
    }


async def test_pages_are_walked_by_cursor_and_end_without_next(bench):
    path, names = f"/v26.0/{DEMO.waba_id}/message_templates?limit=3&fields=name", []
    while path:
        _, answer = await bench.call("GET", path)
        names += [row["name"] for row in answer["data"]]
        path = answer["paging"].get("next", "").removeprefix(bench.base)
    assert len(names) == len(set(names)) == len(bench.emulator.world.templates)
    status, answer = await bench.call("GET", f"/v26.0/{DEMO.waba_id}/message_templates?after=nonsense")
    assert (status, answer["error"]["code"]) == (400, 131059)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"messaging_product": None}, 100),
        ({"to": None}, 100),
        ({"type": "telepathy"}, 100),
        ({"type": "image", "image": {}}, 131008),
        ({"type": "image"}, 131008),
        ({"type": "image", "image": {"id": "12345"}}, 100),
        ({"type": "text", "text": {"body": "x" * 4097}}, 100),
        ({"to": f"+{DEMO.number_digits}", "text": {"body": "x"}}, 131021),
        ({"type": "template", "template": {"name": "unheard_of", "language": {"code": "en_US"}}}, 132001),
        ({"type": "template", "template": {"name": "order_update", "language": {"code": "en_US"}}}, 132000),
        ({"type": "template", "template": {"name": "spring_offer", "language": {"code": "en_US"}}}, 132012),
        (
            {"type": "interactive", "interactive": {"type": "button", "body": {"text": "x"}, "action": {}}},
            131008,
        ),
        ({"type": "pin", "pin": {"type": "pin", "message_id": "wamid.x"}}, 131009),
        ({"to": None, "recipient": "not a user id", "text": {"body": "x"}}, 131009),
        ({"biz_opaque_callback_data": "x" * 513, "text": {"body": "x"}}, 100),
    ],
)
async def test_what_meta_refuses_is_refused_with_its_code(bench, body, code):
    status, answer = await bench.send(body)
    assert (status >= 400, answer["error"]["code"]) == (True, code)
    assert answer["error"]["fbtrace_id"]
    assert bench.emulator.world.accepted_count == 0


async def test_strict_refuses_what_lenient_lets_pass(bench):
    long_title = {"type": "reply", "reply": {"id": "a", "title": "x" * 21}}
    body = {
        "type": "interactive",
        "interactive": {"type": "button", "body": {"text": "?"}, "action": {"buttons": [long_title]}},
    }
    assert (await bench.send(body))[0] == 200
    await bench.call("POST", "/_emulator/modes", json={"strict": True})
    status, answer = await bench.send(body)
    assert (status, answer["error"]["code"]) == (400, 131009)


async def test_media_goes_up_and_comes_down_while_its_url_lives(bench):
    content = bytes(range(256)) * 4
    form = aiohttp.FormData({"messaging_product": "whatsapp", "type": "image/png"})
    form.add_field("file", content, filename="a.png", content_type="image/png")
    _, made = await bench.call("POST", f"/v26.0/{DEMO.number_id}/media", data=form)
    assert made["id"].isdigit()
    _, media = await bench.call("GET", f"/v26.0/{made['id']}?phone_number_id={DEMO.number_id}")
    assert (media["sha256"], media["file_size"]) == (hashlib.sha256(content).hexdigest(), 1024)
    async with bench.http.get(media["url"]) as answer:
        assert await answer.read() == content
    async with bench.http.get(media["url"], headers={"Range": "bytes=10-19"}) as answer:
        assert (answer.status, await answer.read()) == (206, content[10:20])
    async with aiohttp.ClientSession() as stranger, stranger.get(media["url"]) as answer:
        assert answer.status == 401
    await bench.clock.advance(301)
    async with bench.http.get(media["url"]) as answer:
        assert answer.status == 404
    assert (await bench.call("DELETE", f"/v26.0/{made['id']}"))[1] == {"success": True}
    assert (await bench.call("GET", f"/v26.0/{made['id']}"))[0] == 400


async def test_an_upload_resumes_where_it_stopped(bench):
    query = "file_length=6&file_type=image/png&file_name=a.png"
    _, opened = await bench.call("POST", f"/v26.0/{DEMO.app_id}/uploads?{query}")
    half = {"headers": {"file_offset": "0"}, "data": b"abc"}
    assert (await bench.call("POST", f"/v26.0/{opened['id']}", **half))[1]["file_offset"] == 3
    assert (await bench.call("GET", f"/v26.0/{opened['id']}"))[1]["file_offset"] == 3
    rest = {"headers": {"file_offset": "3"}, "data": b"def"}
    _, done = await bench.call("POST", f"/v26.0/{opened['id']}", **rest)
    profile = {"messaging_product": "whatsapp", "profile_picture_handle": done["h"], "about": "New"}
    path = f"/v26.0/{DEMO.number_id}/whatsapp_business_profile"
    assert (await bench.call("POST", path, json=profile))[1] == {"success": True}
    _, found = await bench.call("GET", f"{path}?fields=about,profile_picture_url")
    async with bench.http.get(found["data"][0]["profile_picture_url"]) as answer:
        assert await answer.read() == b"abcdef"


async def test_a_template_lives_through_review_edit_and_deletion(bench):
    body = {
        "name": "new_one",
        "language": "de",
        "category": "UTILITY",
        "components": [{"type": "BODY", "text": "Hallo, alles gut."}],
    }
    path = f"/v26.0/{DEMO.waba_id}/message_templates"
    _, made = await bench.call("POST", path, json=body)
    assert made["status"] == "PENDING"
    template = {"type": "template", "template": {"name": "new_one", "language": {"code": "de"}}}
    assert (await bench.send(template))[1]["error"]["code"] == 132001
    await bench.pass_time(1)
    assert bench.inbox.fields() == ["message_template_status_update"]
    assert (await bench.send(template))[1]["messages"][0]["message_status"] == "accepted"
    await bench.call("POST", f"/_emulator/templates/{made['id']}", json={"status": "PAUSED"})
    assert (await bench.send(template))[1]["error"]["code"] == 132015
    assert (await bench.call("POST", f"/v26.0/{made['id']}/unpause"))[1] == {"success": True}
    assert (await bench.call("DELETE", f"{path}?name=new_one"))[1] == {"success": True}
    assert (await bench.call("DELETE", f"{path}?name=new_one"))[0] == 404
    assert (await bench.call("POST", path, json=body))[0] == 400


async def test_a_number_is_added_verified_registered_and_sends(bench):
    new = {"cc": "49", "phone_number": "15559998877", "verified_name": "Second"}
    _, made = await bench.call("POST", f"/v26.0/{DEMO.waba_id}/phone_numbers", json=new)
    path = f"/v26.0/{made['id']}"
    body = {"messaging_product": "whatsapp", "to": "+4915550001111", "type": "text", "text": {"body": "x"}}
    assert (await bench.call("POST", f"{path}/messages", json=body))[1]["error"]["code"] == 133010
    register = {"messaging_product": "whatsapp", "pin": "123456"}
    assert (await bench.call("POST", f"{path}/register", json=register))[1]["error"]["code"] == 133006
    await bench.call("POST", f"{path}/request_code", json={"code_method": "SMS", "language": "en"})
    assert (await bench.call("POST", f"{path}/verify_code", json={"code": "000000"}))[0] == 400
    await bench.call("POST", f"{path}/verify_code", json={"code": "123456"})
    assert (await bench.call("POST", f"{path}/register", json=register))[1] == {"success": True}
    assert (await bench.call("POST", f"{path}/messages", json=body))[0] == 200
    wrong_pin = {**register, "pin": "999999"}
    assert (await bench.call("POST", f"{path}/register", json=wrong_pin))[1]["error"]["code"] == 133005


async def test_a_mixed_block_is_an_error_that_also_says_what_worked(bench):
    await bench.say({"text": "hi"})
    users = {
        "messaging_product": "whatsapp",
        "block_users": [{"user": DEMO.phone_digits}, {"user": "4915559999999"}],
    }
    status, answer = await bench.call("POST", f"/v26.0/{DEMO.number_id}/block_users", json=users)
    assert (status, answer["error"]["code"]) == (400, 139100)
    assert answer["block_users"]["added_users"][0]["wa_id"] == DEMO.phone_digits
    assert (await bench.send({"text": {"body": "x"}}))[1]["error"]["code"] == 130403


async def test_what_is_not_played_answers_501_with_a_reason(bench):
    status, answer = await bench.call("POST", f"/v26.0/{DEMO.number_id}/groups", json={"subject": "x"})
    assert (status, "does not play" in answer["error"]["message"]) == (501, True)


async def test_debug_token_tells_the_scopes(bench):
    _, answer = await bench.call("GET", f"/debug_token?input_token={DEMO.access_token}")
    assert (answer["data"]["is_valid"], answer["data"]["app_id"]) == (True, DEMO.app_id)


async def test_the_history_of_a_message_can_be_asked_for(bench):
    wamid = await bench.text()
    await bench.pass_time()
    path = f"/v26.0/{DEMO.number_id}/message_history?message_id={wamid}"
    _, answer = await bench.call("GET", path)
    states = [event["delivery_status"] for event in answer["data"][0]["events"]["data"]]
    assert states == ["SENT", "DELIVERED", "READ"]


async def test_ids_carry_the_peer_and_the_direction(bench):
    wamid = await bench.text(to="+16505551234")
    assert b"16505551234" in base64.b64decode(wamid.removeprefix("wamid."))
    assert "VAgARGB" in wamid
    _, inbound = await bench.say({"text": "x"}, key="16505551234")
    assert "VAgASGB" in inbound["id"]
