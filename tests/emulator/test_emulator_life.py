"""The emulator starts, stops and starts again; as a program it tells its constants; a person uses its page."""

import asyncio

import aiohttp
import pytest

from waypost.emulator import DEMO, Emulator
from waypost.emulator.serve import run
from waypost.emulator.stage import Pace

BODY = {"messaging_product": "whatsapp", "to": "+4915550001111", "type": "text", "text": {"body": "hello"}}


async def test_it_starts_again_on_its_port_and_remembers(unused_tcp_port):
    emulator = Emulator()
    for round_count in (1, 2):
        base = await emulator.start(port=unused_tcp_port)
        headers = {"Authorization": f"Bearer {DEMO.access_token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.post(f"{base}/v26.0/{DEMO.number_id}/messages", json=BODY) as answer,
        ):
            assert answer.status == 200
        await emulator.stop()
        assert emulator.world.accepted_count == round_count


async def test_a_taken_port_is_an_error_and_not_the_end_of_the_process():
    first, second = Emulator(), Emulator()
    base = await first.start()
    with pytest.raises(OSError):
        await second.start(port=int(base.rsplit(":", 1)[1]))
    await first.stop()


async def test_stop_ends_a_live_stream_that_nobody_closed():
    emulator = Emulator()
    base = await emulator.start()
    async with aiohttp.ClientSession() as http, http.get(f"{base}/_emulator/live") as live:
        await live.content.readline()
        await asyncio.wait_for(emulator.stop(), 5)


async def test_the_program_tells_its_constants_and_ends_when_cancelled(unused_tcp_port):
    lines: list[str] = []
    told = asyncio.Event()

    def tell(line: str) -> None:
        lines.append(line)
        told.set()

    running = asyncio.create_task(run(port=unused_tcp_port, tell=tell))
    await asyncio.wait_for(told.wait(), 5)
    text = "\n".join(lines)
    for wanted in (
        str(unused_tcp_port),
        DEMO.number_id,
        DEMO.access_token,
        DEMO.app_secret,
        DEMO.verify_token,
    ):
        assert wanted in text
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_statuses_follow_the_real_clock_too(bench):
    emulator = Emulator(callback_url=bench.inbox.url, pace=Pace(0.01, 0.02))
    base = await emulator.start()
    async with bench.http.post(f"{base}/v26.0/{DEMO.number_id}/messages", json=BODY) as answer:
        assert answer.status == 200
    for _ in range(300):
        if len(bench.inbox.values("statuses")) >= 2:
            break
        await asyncio.sleep(0.01)
    await emulator.stop()
    assert [line["status"] for line in bench.inbox.values("statuses")] == ["sent", "delivered"]


@pytest.mark.browser
async def test_a_person_answers_on_the_page(bench, chromium):
    from playwright.async_api import async_playwright, expect

    buttons = {"buttons": [{"type": "reply", "reply": {"id": "yes", "title": "Yes please"}}]}
    await bench.send(
        {
            "type": "interactive",
            "interactive": {"type": "button", "body": {"text": "Tea?"}, "action": buttons},
        }
    )
    await bench.pass_time()
    async with async_playwright() as tool:
        browser = await tool.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = await browser.new_page()
        await page.goto(f"{bench.base}/?phone={DEMO.phone_digits}", wait_until="domcontentloaded")
        await page.get_by_role("button", name="Yes please").click()
        await page.fill("#words", "<b>two sugars</b>")
        await page.press("#words", "Enter")
        await expect(page.locator(".mine .words")).to_have_text(["Yes please", "<b>two sugars</b>"])
        await bench.text("On its way")
        await bench.pass_time()
        await expect(page.locator(".theirs .words").last).to_have_text("On its way")
        await browser.close()
    await bench.pass_time()
    first, second = bench.inbox.values("messages")
    assert first["interactive"]["button_reply"]["id"] == "yes"
    assert second["text"]["body"] == "<b>two sugars</b>"
