"""Start and stop: ready only when it can serve, drained on SIGTERM; the next process goes on where this one ended."""

import asyncio
import json
import os
import stat
import sys
from pathlib import Path

import aiohttp
from tests.journeys.house import open_house
from tests.processes.harness import Gateway, hurry_callbacks, until


async def test_sigterm_lets_what_is_under_way_end_and_the_next_process_goes_on(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        speaking, waiting = house.person(), house.person()
        with house.trouble(kind="latency", seconds=1.5, recipient=speaking):
            in_flight = await house.send(speaking)
            await house.status(in_flight, "sending")
            number = await house.number_of_its_own()
            await house.api.post(f"/v1/numbers/{number['id']}:pause", {"reason": "so that one waits"})
            later = await house.send(waiting, **{"from": number["id"]})
            assert await house.gateway.stop() == 0
        await house.gateway.start()
        hurry_callbacks(house.emulator)
        detail = await house.status(in_flight, "read")
        assert "message.unknown" not in [line["type"] for line in detail["timeline"]]
        assert len(house.ledger_of(detail)) == 1
        await house.api.post(f"/v1/numbers/{number['id']}:resume")
        await house.status(later, "read")


async def test_a_request_under_way_at_sigterm_gets_its_answer(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        person = house.person()
        said = house.say(person, type="text", text="read me")
        event = await house.told("inbound.received", provider_message_id=said.wamid)
        body = {"message_id": event["aggregate_id"], "typing": True}
        with house.trouble(kind="latency", seconds=1.0) as slow:
            asked = asyncio.create_task(house.api.call("POST", "/v1/messages:mark-read", body))
            await until(lambda: _struck(slow), 5, "the provider was asked")
            assert await house.gateway.stop() == 0
            assert (await asked).status == 200


async def _struck(fault: object) -> bool:
    return bool(getattr(fault, "struck", 0))


async def test_stopping_under_load_answers_or_refuses_and_loses_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:

        async def post(turn: int) -> str | None:
            try:
                reply = await house.api.call(
                    "POST", "/v1/messages", house.draft(house.person(), f"turn {turn}")
                )
            except aiohttp.ClientError:
                return None
            return str(reply.body["id"]) if reply.status == 202 else None

        asked = [asyncio.create_task(post(turn)) for turn in range(300)]
        await asyncio.sleep(0.15)
        assert await house.gateway.stop() == 0
        accepted = [each for each in await asyncio.gather(*asked) if each]
        assert accepted
        await house.gateway.start()
        hurry_callbacks(house.emulator)
        for message_id in accepted:
            detail = await house.status(message_id, "read", seconds_max=20)
            assert len(house.ledger_of(detail)) == 1


async def test_ready_is_said_only_when_it_can_serve(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, "http://127.0.0.1:9")
    await gateway.spawn()
    seen: list[int] = []
    try:
        async with aiohttp.ClientSession() as http:

            async def ready() -> bool:
                try:
                    async with http.get(gateway.base + "/readyz") as answer:
                        seen.append(answer.status)
                except aiohttp.ClientError:
                    return False
                if seen[-1] == 200:
                    async with http.get(gateway.base + "/healthz") as answer:
                        assert answer.status == 200
                return seen[-1] == 200

            await until(ready, 30, "ready", 0.01)
        assert set(seen) <= {200, 503}
        api = await gateway.caller()
        assert (await api.call("GET", "/v1/numbers")).status == 200
        await api.close()
        assert stat.S_IMODE(gateway.socket_path.stat().st_mode) == 0o600
        assert await gateway.stop() == 0
        assert not gateway.socket_path.exists()
    finally:
        await gateway.kill()


async def test_a_second_process_on_the_same_database_is_refused_with_a_word(tmp_path: Path) -> None:
    first = Gateway(tmp_path, "http://127.0.0.1:9")
    await first.start()
    second = Gateway(tmp_path, "http://127.0.0.1:9")
    try:
        await second.spawn()
        assert second.process is not None
        assert await asyncio.wait_for(second.process.wait(), 20) not in (0, None)
        assert "another process has" in second.log
        async with aiohttp.ClientSession() as http, http.get(first.base + "/readyz") as answer:
            assert answer.status == 200
        operator = first.operator()
        try:
            assert (await operator.call("GET", "/v1/numbers")).status == 200
        finally:
            await operator.close()
    finally:
        await second.kill()
        await first.kill()


async def _said(gateway: Gateway, words: str) -> bool:
    return words in gateway.log


async def test_the_key_of_the_first_start_works_and_is_shown_once(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, "http://127.0.0.1:9")
    try:
        await gateway.start()
        await until(lambda: _said(gateway, "wp_live_"), 5, "the key is shown")
        shown = [word for word in gateway.log.split() if word.startswith("wp_live_")]
        assert len(shown) == 1
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {shown[0]}"}) as http:
            async with http.get(gateway.base + "/v1/keys") as answer:
                assert answer.status == 200
            await gateway.stop()
            await gateway.start()
            async with http.get(gateway.base + "/v1/keys") as answer:
                assert answer.status == 200
        assert gateway.log.count("wp_live_") == 1
    finally:
        await gateway.kill()


async def test_waypost_drain_ends_the_process_in_order(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, "http://127.0.0.1:9")
    try:
        await gateway.start()
        caller = await gateway.caller()
        refused = await caller.call("POST", "/v1/process:drain")
        assert (refused.status, refused.body["code"]) == (403, "operator_only")
        await caller.close()
        drain = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "waypost", "drain", "--json",
            env=os.environ | {"WAYPOST_CONFIG": str(tmp_path / "waypost.toml")},
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        told, _ = await asyncio.wait_for(drain.communicate(), 60)
        assert drain.returncode == 0
        assert gateway.process is not None
        assert json.loads(told)["process_id"] == gateway.process.pid
        assert await asyncio.wait_for(gateway.process.wait(), 1) == 0
        assert not gateway.socket_path.exists()
    finally:
        await gateway.kill()
