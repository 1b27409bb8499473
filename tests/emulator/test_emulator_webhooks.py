"""Webhooks as Meta tells them: signed escaped bytes, statuses in order, retries, overrides, batches."""

import hashlib
import hmac
import json

from waypost.emulator import DEMO


async def test_a_text_is_told_sent_delivered_read_with_pricing_and_echo(bench):
    wamid = await bench.text(biz_opaque_callback_data="att_1")
    await bench.pass_time()
    lines = bench.inbox.values("statuses")
    assert [line["status"] for line in lines] == ["sent", "delivered", "read"]
    assert {line["id"] for line in lines} == {wamid}
    assert {line["biz_opaque_callback_data"] for line in lines} == {"att_1"}
    assert lines[0]["pricing"]["pricing_model"] == "PMP"
    assert lines[0]["timestamp"].isdigit()
    assert (lines[0]["recipient_id"], "." in lines[0]["recipient_user_id"]) == (DEMO.phone_digits, True)


async def test_the_signature_covers_the_escaped_bytes(bench):
    await bench.say({"text": "Grüße/日本 😀"})
    await bench.pass_time()
    body = bench.inbox.bodies[0]
    assert body.isascii()
    assert b"Gr\\u00fc\\u00dfe/\\u65e5\\u672c \\ud83d\\ude00" in body
    wanted = "sha256=" + hmac.new(DEMO.app_secret.encode(), body, hashlib.sha256).hexdigest()
    assert bench.inbox.signatures == [wanted]
    assert json.loads(body)["entry"][0]["id"] == DEMO.waba_id


async def test_a_dead_receiver_gets_everything_within_days_and_once(bench):
    bench.inbox.status = 500
    wamid = await bench.text()
    await bench.pass_time(3600)
    assert bench.inbox.bodies == []
    tries = len(bench.emulator.webhooks.tries)
    await bench.pass_time(2 * 86400)
    more = len(bench.emulator.webhooks.tries) - tries
    assert 0 < more < tries  # the frequency falls
    bench.inbox.status = 200
    await bench.pass_time(86400)
    lines = [(line["id"], line["status"]) for line in bench.inbox.values("statuses")]
    assert sorted(lines) == [(wamid, "delivered"), (wamid, "read"), (wamid, "sent")]


async def test_after_seven_days_a_webhook_is_given_up(bench):
    bench.inbox.status = 404
    await bench.say({"text": "lost"})
    await bench.pass_time(8 * 86400)
    bench.inbox.status = 200
    await bench.pass_time(8 * 86400)
    assert bench.inbox.bodies == []
    assert bench.emulator.webhooks.counts()[0]["expired"] == 1


async def test_a_callback_must_repeat_the_challenge(bench):
    good = {"url": bench.inbox.url, "verify_token": DEMO.verify_token}
    assert (await bench.call("POST", "/_emulator/webhooks/callback", json=good))[0] == 200
    assert bench.inbox.challenges == 1
    bad = {"url": bench.inbox.url, "verify_token": "another"}
    assert (await bench.call("POST", "/_emulator/webhooks/callback", json=bad))[0] == 400


async def test_a_number_overrides_its_waba_and_the_waba_its_app(bench):
    path = f"/v26.0/{DEMO.waba_id}/subscribed_apps"
    waba_url, number_url = f"{bench.inbox.url}?at=waba", f"{bench.inbox.url}?at=number"
    override = {"override_callback_uri": waba_url, "verify_token": DEMO.verify_token}
    assert (await bench.call("POST", path, json=override))[1] == {"success": True}
    assert (await bench.call("GET", path))[1]["data"][0]["override_callback_uri"] == waba_url
    await bench.say({"text": "1"})
    configuration = {"override_callback_uri": number_url, "verify_token": DEMO.verify_token}
    body = {"webhook_configuration": configuration}
    assert (await bench.call("POST", f"/v26.0/{DEMO.number_id}", json=body))[1] == {"success": True}
    await bench.say({"text": "2"})
    await bench.pass_time(1)
    assert [line.url for line in bench.emulator.webhooks.tries] == [waba_url, number_url]


async def test_an_override_that_does_not_verify_is_refused(bench):
    body = {"override_callback_uri": bench.inbox.url, "verify_token": "wrong"}
    status, answer = await bench.call("POST", f"/v26.0/{DEMO.waba_id}/subscribed_apps", json=body)
    assert (status, answer["error"]["error_subcode"]) == (400, 2200)


async def test_a_backlog_is_told_in_batches_of_every_shape(bench):
    for shape, entries, changes in (("changes", 1, 60), ("entries", 60, 60), ("merged", 1, 1)):
        bench.inbox.bodies.clear()
        await bench.call("POST", "/_emulator/webhooks/settings", json={"shape": shape})
        fault = await bench.fault(kind="webhook_hold")
        for place in range(60):
            await bench.say({"text": str(place)})
        await bench.pass_time(1)
        assert bench.inbox.bodies == []
        await bench.call("DELETE", f"/_emulator/faults/{fault}")
        await bench.emulator.settle()
        texts = [int(line["text"]["body"]) for line in bench.inbox.values("messages")]
        assert texts == list(range(60))
        biggest = json.loads(max(bench.inbox.bodies, key=len))
        assert len(biggest["entry"]) <= entries
        assert sum(len(entry["changes"]) for entry in biggest["entry"]) <= changes


async def test_any_webhook_value_can_be_injected(bench):
    body = {"field": "account_update", "value": {"event": "DISABLED_UPDATE"}, "times": 2}
    await bench.call("POST", "/_emulator/webhooks", json=body)
    await bench.pass_time(1)
    assert bench.inbox.fields() == ["account_update", "account_update"]
    assert json.loads(bench.inbox.bodies[0])["entry"][0]["time"] > 0
