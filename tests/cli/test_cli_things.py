"""Numbers, keys, subscribers and templates from the command line, over the socket and over HTTP with a key."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from tests.cli.house import House, run, until, write_settings
from tests.processes.harness import free_port
from tests.processes.sink import Sinks, open_sinks

from waypost.domain.keys import SCOPES
from waypost.emulator import DEMO

PHONE = f"+{DEMO.phone_digits}"


@pytest.fixture(scope="module")
def sinks(house: House) -> Any:
    """Endpoints that verify signatures with a foreign library."""
    opened: Sinks = house.there.do(open_sinks())
    yield opened
    house.there.do(opened.close())


def test_a_number_is_shown_with_its_health_and_never_with_its_token(house: House, number_id: str) -> None:
    shown = house.run("numbers", "show", number_id)
    assert "health            AVAILABLE" in shown.out
    assert DEMO.access_token not in shown.out + house.run("numbers", "show", number_id, "--json").out
    listed = house.run("numbers", "list")
    assert listed.out.splitlines()[1].split("\t")[:4] == [
        number_id,
        f"+{DEMO.number_digits}",
        "demo",
        "active",
    ]


def test_a_number_is_paused_with_a_reason_and_resumed(house: House, number_id: str) -> None:
    paused = house.run("numbers", "pause", number_id, "--reason", "moving house")
    assert "paused (moving house)" in paused.out
    stuck = house.run("stuck", "list")
    assert f"{number_id}\tdemo\tpaused\tmoving house" in stuck.out
    settled = house.run("stuck", "settle", number_id, "--action", "retry", "--reason", "we have moved")
    assert settled.out == f"{number_id}: retry, now active\n"


def test_a_token_is_read_from_standard_input_and_a_bad_one_is_refused(house: House, number_id: str) -> None:
    good = house.run(
        "numbers", "rotate-token", number_id, "--token-file", "-", typed=f"{DEMO.access_token}\n"
    )
    assert good.code == 0, good
    bad = house.run("numbers", "rotate-token", number_id, "--token-file", "-", typed="EAAwrong\n")
    assert bad.code == 1
    assert "EAAwrong" not in bad.out + bad.errors
    without = house.run("numbers", "rotate-token", number_id)
    assert (without.code, "give the file option" in without.errors) == (2, True)


def test_registering_speaks_to_the_provider(house: House, number_id: str) -> None:
    assert house.ok("numbers", "register", number_id, "--pin", "123456")["id"] == number_id
    refused = house.run("numbers", "verify-code", number_id, "000000")
    assert refused.code == 1
    assert "error (" in refused.errors


def test_removing_asks_first(house: House, number_id: str) -> None:
    said = house.run("numbers", "remove", number_id, typed="n\n")
    assert said.code == 1
    assert house.ok("numbers", "show", number_id)["state"] == "active"


def test_keys_are_made_shown_once_rotated_and_revoked(house: House) -> None:
    made = house.run("keys", "create", "shop", "--scope", "messages:send", "--days", "7")
    key_id = made.out.splitlines()[0].split()[1]
    key = made.out.splitlines()[-1]
    assert key.startswith("wp_live_")
    assert key not in house.run("keys", "list").out
    rotated = house.ok("keys", "rotate", key_id, "--overlap-hours", "1")
    assert rotated["key"] != key
    assert "works no more" in house.run("keys", "revoke", rotated["id"]).out
    states = {each["id"]: each["state"] for each in house.ok("keys", "list")}
    assert (states[key_id], states[rotated["id"]]) == ("expiring", "revoked")


def test_a_key_asks_over_http_with_its_own_scopes(house: House, number_id: str) -> None:
    key = house.ok("keys", "create", "reader", "--scope", "messages:read")["key"]
    base = house.gateway.config.http.base_url
    assert house.run("messages", "list", "--json", "--url", base, "--key", key).code == 0
    # Without a URL: this machine's gateway, whose address the settings tell.
    assert house.run("messages", "list", "--json", WAYPOST_API_KEY=key).code == 0
    refused = house.run("keys", "list", WAYPOST_API_KEY=key)
    assert (refused.code, "error (scope_missing)" in refused.errors) == (1, True)


def test_a_gateway_that_is_not_there_is_exit_3(tmp_path: Path) -> None:
    write_settings(tmp_path, "http://127.0.0.1:1")
    url = f"http://127.0.0.1:{free_port()}"
    for words in (("messages", "list"), ("messages", "tail")):
        said = run(tmp_path, *words, "--url", url, "--key", "wp_live_x")
        assert said.code == 3
        assert f"error (unreachable): no gateway answers at {url}" in said.errors


def test_a_subscriber_is_added_tested_paused_and_removed(house: House, sinks: Sinks) -> None:
    sink = sinks.add("cli")
    made = house.ok("subscribers", "add", sinks.url(sink), "--label", "crm", "--kind", "message.*")
    sink.secret = made["secret"]
    tested = house.run("subscribers", "test", made["id"])
    assert (tested.code, tested.out.startswith("ok   it answered 204")) == (0, True), tested
    assert not sink.bad
    shown = house.run("subscribers", "show", made["id"])
    assert made["secret"] not in shown.out
    assert re.search(r"^kinds +message\.\*$", shown.out, re.MULTILINE)
    assert (
        "paused (their move)" in house.run("subscribers", "pause", made["id"], "--reason", "their move").out
    )
    assert made["id"] in house.run("stuck", "list").out
    assert "\tpaused\ttheir move\t" in house.run("subscribers", "list").out
    assert (
        "now active"
        in house.run("stuck", "settle", made["id"], "--action", "resume", "--reason", "moved").out
    )
    rotated = house.ok("subscribers", "rotate", made["id"], "--overlap-hours", "1")
    assert rotated["secret"] != made["secret"]
    assert "is removed" in house.run("subscribers", "remove", made["id"], "--yes").out
    assert house.run("subscribers", "show", made["id"]).code == 1


def test_a_failing_test_is_told_and_exits_1(house: House) -> None:
    made = house.ok("subscribers", "add", f"http://127.0.0.1:{free_port()}/nobody")
    said = house.run("subscribers", "test", made["id"])
    assert said.code == 1
    assert said.out.startswith("fail it did not answer")
    house.ok("subscribers", "remove", made["id"], "--yes")


def test_events_are_told_again_by_time(house: House, number_id: str, sinks: Sinks) -> None:
    sink = sinks.add("again")
    made = house.ok("subscribers", "add", sinks.url(sink), "--kind", "message.accepted")
    sink.secret = made["secret"]
    house.ok("send", "--to", PHONE, "told twice")
    until(lambda: sink.kinds["message.accepted"])
    said = house.ok(
        "subscribers",
        "replay",
        made["id"],
        "--since",
        "2026-01-01T00:00:00Z",
        "--until",
        "2099-01-01T00:00:00Z",
    )
    assert said["replayed"] >= 1
    until(lambda: sink.again)
    house.ok("subscribers", "remove", made["id"], "--yes")


def test_listen_forwards_events_signed_as_a_subscriber_gets_them(house: House, number_id: str) -> None:
    taken: list[tuple[bytes, dict[str, str]]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}
        taken.append((await reader.readexactly(int(headers["content-length"])), headers))
        status = b"204 No Content" if len(taken) > 1 else b"500 Oops"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def opened() -> asyncio.Server:
        return await asyncio.start_server(answer, "127.0.0.1", 0)

    server = house.there.do(opened())
    port = server.sockets[0].getsockname()[1]
    house.ok("send", "--to", PHONE, "forward me")
    first = f"evt_{house.gateway.store.timeline}_0"
    words = (
        "listen",
        "--forward-to",
        f"http://127.0.0.1:{port}/hook",
        "--after",
        first,
        "--kind",
        "message.*",
    )
    said = house.run(*words, "--count", "2")
    assert said.code == 0
    secret = said.errors.split("Signing secret: ")[1].split()[0]
    for body, headers in taken:
        assert Webhook(secret).verify(body, headers)["type"].startswith("message.")
        assert json.loads(body)["id"] == headers["webhook-id"]
    assert [line.split("→ ")[1].split()[0] for line in said.out.splitlines()] == ["500", "204"]
    own = house.run(*words, "--count", "1", "--secret", secret, "--json")
    assert own.lines[0]["status"] == 204
    house.there.loop.call_soon_threadsafe(server.close)
    nobody = house.run(*words[:2], f"http://127.0.0.1:{free_port()}/", *words[3:], "--count", "1")
    assert "no answer: ClientConnectorError" in nobody.out


def test_every_scope_can_be_asked_for_at_once(house: House) -> None:
    made = house.ok("keys", "create", "all", "--all", "--test")
    assert made["scopes"] == sorted(SCOPES)
    assert made["environment"] == "test"
