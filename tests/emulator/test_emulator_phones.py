"""Virtual phones: what they say reaches the app, how they behave decides what becomes of a message."""

import pytest

from waypost.emulator import DEMO


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"text": "hello"}, "text"),
        ({"type": "image", "image": {"caption": "look"}}, "image"),
        ({"type": "audio", "audio": {"voice": True}}, "audio"),
        ({"type": "location"}, "location"),
        ({"type": "contacts"}, "contacts"),
        ({"type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": "👍"}}, "reaction"),
        (
            {"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": {"response_json": {"a": 1}}}},
            "interactive",
        ),
        ({"type": "order", "order": {"catalog_id": "1", "product_items": []}}, "order"),
        ({"type": "unsupported"}, "unsupported"),
        ({"type": "request_welcome"}, "request_welcome"),
    ],
)  # fmt: skip
async def test_every_kind_a_customer_can_send_is_told(bench, said, kind):
    status, answer = await bench.say(said)
    assert status == 200, answer
    await bench.pass_time(1)
    (line,) = bench.inbox.values("messages")
    assert (line["type"], line["id"], line["from"]) == (kind, answer["id"], DEMO.phone_digits)
    assert kind in line
    if kind == "unsupported":
        assert line["errors"][0]["code"] == 131051
    if kind == "image":
        media = line["image"]
        async with bench.http.get(media["url"]) as file:
            assert (file.status, len(await file.read()) > 0) == (200, True)


async def test_a_tapped_button_row_and_quick_reply_answer_in_context(bench):
    buttons = {"buttons": [{"type": "reply", "reply": {"id": "yes", "title": "Yes"}}]}
    rows = {"button": "Choose", "sections": [{"rows": [{"id": "r1", "title": "Row one"}]}]}
    for kind, action in (("button", buttons), ("list", rows)):
        body = {"type": "interactive", "interactive": {"type": kind, "body": {"text": "?"}, "action": action}}
        assert (await bench.send(body))[0] == 200
    issue = {"name": "sample_issue_resolution", "language": {"code": "en_US"}}
    issue["components"] = [{"type": "body", "parameters": [{"type": "text", "text": "Ada"}]}]
    _, sent = await bench.send({"type": "template", "template": issue})
    await bench.pass_time()
    for tap in ("yes", "Row one", "No"):
        assert (await bench.say({"tap": tap}))[0] == 200
    assert (await bench.say({"tap": "no such thing"}))[0] == 400
    await bench.pass_time(1)
    first, second, third = bench.inbox.values("messages")
    assert first["interactive"]["button_reply"] == {"id": "yes", "title": "Yes"}
    assert second["interactive"]["list_reply"] == {"id": "r1", "title": "Row one"}
    assert third["button"] == {"payload": "No", "text": "No"}
    assert third["context"]["id"] == sent["messages"][0]["id"]


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ({"on_whatsapp": False}, 131026),
        ({"blocks_business": True}, 131026),
        ({"window": "closed"}, 131047),
        ({"window": "auto"}, 131047),
        ({"failure_code": 130472}, 130472),
    ],
)
async def test_a_phone_may_be_out_of_reach(bench, behaviour, code):
    await bench.behave(**behaviour)
    await bench.text()
    await bench.pass_time()
    (line,) = bench.inbox.values("statuses")
    assert (line["status"], line["errors"][0]["code"]) == ("failed", code)


async def test_the_window_opens_with_the_customers_word_and_closes_after_a_day(bench):
    await bench.behave(window="auto")
    await bench.say({"text": "hi"})
    await bench.text()
    await bench.pass_time()
    await bench.pass_time(86400)
    await bench.text()
    await bench.pass_time()
    statuses = [line["status"] for line in bench.inbox.values("statuses")]
    assert statuses == ["sent", "delivered", "read", "failed"]


async def test_an_offline_phone_gets_its_messages_when_it_comes_back(bench):
    await bench.behave(online=False, auto_read_seconds=None)
    await bench.text("one")
    await bench.text("two")
    await bench.pass_time(3600)
    assert {line["status"] for line in bench.inbox.values("statuses")} == {"sent"}
    await bench.behave(online=True)
    await bench.pass_time()
    assert [line["status"] for line in bench.inbox.values("statuses")][2:] == ["delivered", "delivered"]
    _, answer = await bench.call("POST", f"/_emulator/phones/{DEMO.phone_digits}/read", json={})
    assert answer == {"read": 2}


async def test_a_person_without_a_shown_number_is_known_by_user_id(bench):
    user_id = "DE.ABC123"
    body = {"user_id": user_id, "username": "ghost", "name": "Ghost"}
    assert (await bench.call("POST", "/_emulator/phones", json=body))[0] == 200
    status, answer = await bench.send({"to": None, "recipient": user_id, "text": {"body": "hi"}})
    assert (status, answer["contacts"]) == (200, [{"input": user_id, "user_id": user_id}])
    await bench.say({"text": "boo"}, key=user_id)
    await bench.pass_time()
    (line,) = bench.inbox.values("messages")
    assert ("from" in line, line["from_user_id"]) == (False, user_id)
    (contact,) = {str(c): c for c in bench.inbox.values("contacts")}.values()
    assert contact == {"profile": {"name": "Ghost", "username": "ghost"}, "user_id": user_id}
    assert all("recipient_id" not in line for line in bench.inbox.values("statuses"))
    given = [{"type": "text", "text": "123456"}]
    button = {"type": "button", "sub_type": "url", "index": "0", "parameters": given}
    code = {"name": "login_code", "language": {"code": "en_US"}}
    code["components"] = [{"type": "body", "parameters": given}, button]
    _, answer = await bench.send({"to": None, "recipient": user_id, "type": "template", "template": code})
    assert answer["error"]["code"] == 131062


async def test_a_new_number_is_told_by_a_system_message_with_both_user_ids(bench):
    old = bench.emulator.world.phones[DEMO.phone_digits].user_id
    path = f"/_emulator/phones/{DEMO.phone_digits}/number"
    _, phone = await bench.call("POST", path, json={"digits": "+4915550003333"})
    await bench.pass_time(1)
    (line,) = bench.inbox.values("messages")
    assert (line["type"], line["system"]["type"]) == ("system", "user_changed_number")
    assert (line["system"]["wa_id"], line["system"]["previous_user_id"]) == ("4915550003333", old)
    assert phone["user_id"] != old
    assert bench.inbox.values("contacts") == []


async def test_a_read_mark_and_typing_reach_the_phone(bench):
    _, said = await bench.say({"text": "anyone?"})
    body = {"status": "read", "message_id": said["id"], "typing_indicator": {"type": "text"}, "to": None}
    assert await bench.send(body) == (200, {"success": True})
    path = f"/_emulator/phones/{DEMO.phone_digits}/chat"
    _, chat = await bench.call("GET", path)
    assert (chat["typing"], chat["messages"][0]["status"]) == (True, "read")
    await bench.pass_time(26)
    assert (await bench.call("GET", path))[1]["typing"] is False


async def test_a_reaction_is_told_sent_only_and_lands_on_its_message(bench):
    _, said = await bench.say({"text": "thanks"})
    await bench.send({"type": "reaction", "reaction": {"message_id": said["id"], "emoji": "🎉"}})
    await bench.pass_time()
    assert [line["status"] for line in bench.inbox.values("statuses")] == ["sent"]
    _, chat = await bench.call("GET", f"/_emulator/phones/{DEMO.phone_digits}/chat")
    assert chat["messages"][0]["reactions"] == {"business": "🎉"}


async def test_the_page_is_served_with_its_parts(bench):
    async with bench.http.get(f"{bench.base}/") as answer:
        assert (answer.status, "Waypost Demo" in await answer.text()) == (200, True)
    for part in ("phone.js", "bubbles.js", "phone.css"):
        async with bench.http.get(f"{bench.base}/_emulator/assets/{part}") as answer:
            assert answer.status == 200
    async with bench.http.get(f"{bench.base}/_emulator/live") as live:
        first = await live.content.readline()
        await bench.say({"text": "x"})
        await live.content.readline()
        assert await live.content.readline() != first
