"""Each fault does what it says, to whom it says, as often as it says; the ledger knows what was accepted."""

import asyncio
import json

import aiohttp
import pytest

from waypost.emulator import DEMO
from waypost.emulator.tables import ERRORS


async def accepted(bench):
    return (await bench.call("GET", "/_emulator/ledger"))[1]["data"]


async def test_a_connection_dropped_after_accept_leaves_a_message_the_client_never_heard_of(bench):
    await bench.fault(kind="drop_after", count=1)
    with pytest.raises(aiohttp.ClientError):
        await bench.text(biz_opaque_callback_data="att_9")
    (line,) = await accepted(bench)
    assert (line["biz_opaque_callback_data"], line["recipient"]) == ("att_9", DEMO.phone_digits)
    await bench.pass_time()
    assert bench.inbox.values("statuses")[0]["biz_opaque_callback_data"] == "att_9"
    await bench.text()
    assert len(await accepted(bench)) == 2


async def test_a_connection_dropped_before_accept_leaves_nothing(bench):
    await bench.fault(kind="drop_before", count=1)
    with pytest.raises(aiohttp.ClientError):
        await bench.text()
    assert await accepted(bench) == []


@pytest.mark.parametrize(
    ("code", "http_status"),
    [
        (131000, 500),
        (131016, 500),
        (130429, 400),
        (131048, 400),
        (368, 403),
        (133004, 503),
        (80007, 400),
        (2, 503),
    ],
)
async def test_an_error_code_comes_with_the_http_status_of_the_table(bench, code, http_status):
    await bench.fault(kind="error", code=code, count=1)
    status, answer = await bench.send({"text": {"body": "x"}})
    assert (status, answer["error"]["code"]) == (http_status, code)
    assert await accepted(bench) == []
    await bench.text()


async def test_every_code_of_the_table_can_be_answered_and_told(bench):
    assert len(ERRORS) == 157
    for code, row in ERRORS.items():
        await bench.fault(kind="error", code=code, count=1)
        status, answer = await bench.send({"text": {"body": "x"}})
        assert (status, answer["error"]["code"]) == (row["http_status"], code)
        await bench.fault(kind="failed_status", code=code, count=1)
        await bench.text()
    await bench.pass_time()
    assert [line["errors"][0]["code"] for line in bench.inbox.values("statuses")] == list(ERRORS)


async def test_a_failed_status_carries_its_code(bench):
    await bench.fault(kind="failed_status", code=131049)
    await bench.text()
    await bench.pass_time()
    (line,) = bench.inbox.values("statuses")
    assert (line["status"], line["errors"][0]["code"]) == ("failed", 131049)


@pytest.mark.parametrize(
    ("kind", "is_accepted"), [("html", True), ("truncated", True), ("empty", True), ("html", False)]
)
async def test_nonsense_is_answered_with_200(bench, kind, is_accepted):
    await bench.fault(kind=kind, accepted=is_accepted, count=1)
    async with bench.http.post(
        f"{bench.base}/v26.0/{DEMO.number_id}/messages",
        json={"messaging_product": "whatsapp", "to": "+4915550001111", "text": {"body": "x"}},
    ) as answer:
        assert answer.status == 200
        with pytest.raises(ValueError):
            json.loads(await answer.read())
    assert len(await accepted(bench)) == int(is_accepted)


async def test_an_http_status_may_say_when_to_come_back(bench):
    await bench.fault(kind="http", http_status=429, retry_after_seconds=7, count=1)
    async with bench.http.post(f"{bench.base}/v26.0/{DEMO.number_id}/messages", json={}) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")


@pytest.mark.parametrize(("kind", "count_before"), [("latency", 0), ("latency_after", 1)])
async def test_latency_holds_the_answer_back_before_or_after_the_accept(bench, kind, count_before):
    await bench.fault(kind=kind, seconds=30, count=1)
    sending = asyncio.create_task(bench.text())
    for _ in range(100):
        await asyncio.sleep(0.001)
    assert not sending.done()
    assert bench.emulator.world.accepted_count == count_before
    await bench.clock.advance(31)
    await sending
    assert bench.emulator.world.accepted_count == 1


async def test_a_status_may_overtake_the_answer(bench):
    await bench.fault(kind="status_first")
    wamid = await bench.text()
    assert [(line["id"], line["status"]) for line in bench.inbox.values("statuses")] == [(wamid, "sent")]
    await bench.pass_time()
    assert [line["status"] for line in bench.inbox.values("statuses")] == ["sent", "delivered", "read"]


async def test_a_fault_strikes_only_in_its_scope(bench):
    await bench.fault(kind="error", code=131016, recipient="+4915550002222")
    await bench.text()
    assert (await bench.send({"to": "+4915550002222", "text": {"body": "x"}}))[0] == 500
    await bench.fault(kind="error", code=131016, phone_number_id="1")
    await bench.text()


async def test_an_outage_has_a_beginning_and_an_end(bench):
    await bench.fault(kind="http", http_status=503, edge="*", starts_in_seconds=10, lasts_seconds=60)
    await bench.text()
    await bench.clock.advance(11)
    assert (await bench.send({"text": {"body": "x"}}))[0] == 503
    assert (await bench.call("GET", f"/v26.0/{DEMO.number_id}"))[0] == 503
    await bench.clock.advance(60)
    await bench.text()


async def test_half_a_chance_strikes_about_half_the_time(bench):
    await bench.fault(kind="error", code=131016, probability=0.5)
    outcomes = [(await bench.send({"text": {"body": "x"}}))[0] for _ in range(60)]
    assert 15 < outcomes.count(500) < 45


async def test_webhooks_are_doubled_swapped_delayed_and_swallowed(bench):
    fault = await bench.fault(kind="webhook_duplicate", statuses=["sent"])
    await bench.text()
    await bench.pass_time()
    assert [line["status"] for line in bench.inbox.values("statuses")] == [
        "sent",
        "sent",
        "delivered",
        "read",
    ]
    await bench.call("DELETE", f"/_emulator/faults/{fault}")
    bench.inbox.bodies.clear()
    await bench.fault(kind="webhook_reorder", count=2)
    await bench.text()
    await bench.pass_time()
    assert [line["status"] for line in bench.inbox.values("statuses")] == ["delivered", "sent", "read"]
    bench.inbox.bodies.clear()
    await bench.fault(kind="webhook_delay", statuses=["sent"], seconds=60, count=1)
    await bench.text()
    await bench.pass_time(100)
    assert [line["status"] for line in bench.inbox.values("statuses")] == ["delivered", "read", "sent"]
    bench.inbox.bodies.clear()
    await bench.fault(kind="webhook_blackhole", statuses=["delivered"], count=1)
    await bench.text()
    await bench.pass_time()
    assert [line["status"] for line in bench.inbox.values("statuses")] == ["sent", "read"]


async def test_held_webhooks_are_told_when_the_hold_ends(bench):
    await bench.fault(kind="webhook_hold", lasts_seconds=600)
    await bench.text()
    await bench.pass_time(500)
    assert bench.inbox.bodies == []
    await bench.pass_time(101)
    assert [line["status"] for line in bench.inbox.values("statuses")] == ["sent", "delivered", "read"]


async def test_a_hold_with_a_count_lets_the_rest_pass(bench):
    fault = await bench.fault(kind="webhook_hold", count=1)
    await bench.text()
    await bench.pass_time()
    assert [line["status"] for line in bench.inbox.values("statuses")] == ["delivered", "read"]
    await bench.call("DELETE", f"/_emulator/faults/{fault}")
    await bench.emulator.settle()
    assert [line["status"] for line in bench.inbox.values("statuses")] == ["delivered", "read", "sent"]


async def test_another_site_may_not_control_the_emulator(bench):
    answers = [
        await bench.call("POST", "/_emulator/faults", json={"kind": "html"}, headers={"Origin": origin})
        for origin in ("https://evil.example", bench.base)
    ]
    assert [status for status, _ in answers] == [403, 200]


async def test_delivered_may_be_skipped(bench):
    await bench.fault(kind="skip_delivered")
    await bench.text()
    await bench.pass_time()
    assert [line["status"] for line in bench.inbox.values("statuses")] == ["sent", "read"]


async def test_the_pair_and_the_number_have_their_paces(bench):
    await bench.call("POST", "/_emulator/modes", json={"rates": True})
    codes = [(await bench.send({"text": {"body": "x"}}))[1].get("error", {}).get("code") for _ in range(46)]
    assert codes == [None] * 45 + [131056]
    await bench.clock.advance(6)
    assert (await bench.send({"text": {"body": "x"}}))[0] == 200
    others = [
        (await bench.send({"to": f"+49155600{place:05}", "text": {"body": "x"}}))[1]
        .get("error", {})
        .get("code")
        for place in range(85)
    ]
    assert set(others[:79]) == {None}
    assert 130429 in others


async def test_a_fault_that_makes_no_sense_is_refused(bench):
    for wrong in ({"kind": "gremlins"}, {"kind": "error", "sedonds": 1}):
        assert (await bench.call("POST", "/_emulator/faults", json=wrong))[0] == 400
