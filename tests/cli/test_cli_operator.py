"""What an operator asks: doctor, stuck, golive, settings, versions; and help that is there for every command."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import typer
from tests.cli.house import House, open_house, run, write_settings

from waypost.cli.main import app
from waypost.cli.outside_checks import provider
from waypost.emulator import DEMO
from waypost.store.engine import single
from waypost.store.transaction import Transaction

PHONE = f"+{DEMO.phone_digits}"


def commands(of: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    inner = getattr(of, "commands", None)
    if inner is None:
        yield words
        return
    for name, each in inner.items():
        yield from commands(each, (*words, name))


ALL = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_has_help_with_examples(tmp_path: Path, words: tuple[str, ...]) -> None:
    said = run(tmp_path, *words, "--help")
    assert said.code == 0
    assert "Examples" in said.out
    assert f"waypost {' '.join(words)}" in said.out


def test_the_commands_are_those_the_page_tells() -> None:
    page = (Path(__file__).parents[2] / "docs/command-line.md").read_text()
    missing = [" ".join(words) for words in ALL if f"`waypost {' '.join(words)}" not in page]
    assert missing == []


def test_versions_are_told(tmp_path: Path) -> None:
    told = run(tmp_path, "version", "--json").json
    assert told["python"] == sys.version.split()[0]
    assert {"waypost", "sqlite"} <= set(told)


def test_every_mistake_of_the_settings_is_told_at_once(tmp_path: Path) -> None:
    write_settings(tmp_path, "not a url", '[outbox]\nattempts_max = 0\ncolour = "red"\n')
    said = run(tmp_path, "config", "check")
    assert said.code == 2
    for name in ("cloud_api.base_url", "outbox.attempts_max", "outbox.colour"):
        assert f"error (settings at {name})" in said.errors
    doctor = run(tmp_path, "doctor")
    assert doctor.code == 1
    assert doctor.out.count("fail settings") == 3
    assert run(tmp_path, "numbers", "list").code == 2


def test_sound_settings_are_told_with_what_differs(tmp_path: Path) -> None:
    write_settings(tmp_path, "http://127.0.0.1:1")
    said = run(tmp_path, "config", "check", WAYPOST_HTTP_DRAIN_SECONDS="7")
    assert said.code == 0
    assert "http.drain_seconds" in said.out
    assert "7.0" in said.out
    assert run(tmp_path, "config", "docs").out.startswith("# Configuration")


def test_doctor_before_the_first_start_makes_nothing_and_says_so(tmp_path: Path) -> None:
    write_settings(tmp_path, "http://127.0.0.1:1")
    said = run(tmp_path, "doctor")
    assert said.code == 1
    assert "warn master key" in said.out
    assert "warn database" in said.out
    assert "fail Meta         http://127.0.0.1:1 does not answer" in said.out
    assert list(tmp_path.iterdir()) == [tmp_path / "waypost.toml"]


def test_doctor_finds_all_well_with_a_serving_gateway(house: House, number_id: str) -> None:
    said = house.run("doctor")
    assert said.code == 0, said.out
    for line in (
        "ok   gateway      it serves and is ready",
        f"ok   Meta         {house.emulator_url} answers",
        f"ok   clock        nothing to compare: {house.emulator_url} is on this machine",
        "ok   database     sound by its quick check",
        f"ok   token        {number_id}",
        "ok   stuck        nothing waits for a person",
    ):
        assert line in said.out
    assert house.run("doctor", "--json").json["failed"] == 0


def test_doctor_finds_an_exposed_key_a_lost_token_and_a_silent_subscriber(
    house: House, number_id: str
) -> None:
    key_file = Path(house.gateway.config.secrets.key_file)
    key_file.chmod(0o644)
    dead = house.ok("subscribers", "add", "http://127.0.0.1:9/hook")
    placed = house.emulator.fault(kind="error", code=190, edge="*")
    try:
        said = house.run("doctor")
    finally:
        key_file.chmod(0o600)
        house.emulator.faults.remove(placed.id)
        house.ok("subscribers", "remove", dead["id"], "--yes")
    assert said.code == 1
    assert "fail master key" in said.out
    assert "chmod 600" in said.out
    assert f"fail token        {number_id}" in said.out
    assert f"fail subscribers  {dead['id']}" in said.out


@pytest.mark.parametrize(
    ("off_seconds", "state", "told"),
    [
        (0, "ok", "agrees with"),
        (30, "warn", "s behind http"),
        (-30, "warn", "s ahead of http"),
        (600, "fail", "s behind http"),
        (-600, "fail", "s ahead of http"),
        (None, "ok", "nothing to compare"),
    ],
)
async def test_the_clock_is_compared_with_metas(off_seconds: int | None, state: str, told: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        there = (
            "no date"
            if off_seconds is None
            else format_datetime(datetime.now(UTC) + timedelta(seconds=off_seconds))
        )
        writer.write(
            f"HTTP/1.1 404 No\r\nDate: {there}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, aiohttp.ClientSession() as http:
        findings = [each async for each in provider(http, [base])]
    assert [each.topic for each in findings] == ["Meta", "clock"]
    assert (findings[1].state, told in findings[1].message) == (state, True), findings


@single
def _age(tx: Transaction, item: tuple[str, str]) -> None:
    message_id, status = item
    tx.execute(
        "UPDATE messages SET status = ?, unknown_since = changed_at WHERE id = ?", (status, message_id)
    )


@single
def _spoil(tx: Transaction, callback_id: str) -> None:
    sql = (
        "INSERT INTO callbacks (id, tenant_id, app_id, digest, body, state, tries, received_at)"
        " SELECT ?, tenant_id, app_id, ?, ?, 'parked', 1, 0 FROM numbers LIMIT 1"
    )
    tx.execute(sql, (callback_id, b"d", tx.codec.encode("t", None, b"{}")))
    tx.execute("UPDATE callbacks SET fault = 'unreadable: not an object' WHERE id = ?", (callback_id,))


def test_stuck_lists_each_sort_and_settles_it_with_a_reason(house: House, number_id: str) -> None:
    house.run("numbers", "pause", number_id)
    ids = {
        name: house.ok("send", "--to", PHONE, name)["id"]
        for name in ("held", "unknown", "unresolved", "retrying")
    }
    for status, message_id in ids.items():
        house.there.do(house.gateway.store.write(_age, (message_id, status)))
    house.there.do(house.gateway.store.write(_spoil, "cal_spoilt"))
    found = house.ok("stuck", "list", "--retrying-minutes", "0")
    assert {name: [each["id"] for each in found[name]] for name in ids} == {
        name: [one] for name, one in ids.items()
    }
    assert [each["id"] for each in found["callbacks"]] == ["cal_spoilt"]
    assert found["lanes"][0]["waiting"] == 2
    page = house.run("stuck").out
    assert "Messages of unknown outcome (1)" in page
    assert "unreadable: not an object" in page
    assert "stuck" in house.run("doctor").out

    def settle(item: str, action: str) -> str:
        said = house.run("stuck", "settle", item, "--action", action, "--reason", "looked into it")
        assert said.code == 0, said
        return said.out.split("now ")[1].strip()

    assert settle(ids["unknown"], "retry") == "retrying"
    assert settle(ids["unresolved"], "fail") == "failed"
    assert settle(ids["retrying"], "fail") == "failed"
    assert settle(ids["held"], "release") == "accepted"
    settle("cal_spoilt", "replay")
    timeline = house.ok("messages", "show", ids["held"])["timeline"]
    assert (timeline[-1]["reason"], timeline[-1]["actor"]) == ("looked into it", "operator")
    wrong = house.run("stuck", "settle", ids["unresolved"], "--action", "release", "--reason", "x")
    assert (wrong.code, "cannot_release" in wrong.errors) == (1, True)
    house.run("numbers", "resume", number_id)


def test_golive_adds_a_number_walks_it_and_prints_the_way_back(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        (tmp_path / "token.txt").write_text(DEMO.access_token)
        (tmp_path / "secret.txt").write_text(DEMO.app_secret)
        words = [
            "golive", "--phone-number-id", DEMO.number_id, "--waba-id", DEMO.waba_id, "--yes",
            "--token-file", str(tmp_path / "token.txt"), "--app-secret-file", str(tmp_path / "secret.txt"),
            "--verify-token", DEMO.verify_token,
        ]  # fmt: skip
        said = house.run(*words)
        assert said.code == 1, said
        assert "Not live yet" in said.out
        assert "ok    1. The token is valid" in said.out
        assert "todo  5. Meta can reach this gateway: no public address is set" in said.out
        assert "The way back, for what was done now:" in said.out
        assert "waypost numbers remove num_" in said.out
        looked = house.run("golive", "--check", "--json")
        assert looked.code == 1
        assert looked.json["done"] == []
        assert len(looked.json["steps"]) == 10


def test_without_a_gateway_a_command_opens_the_store_itself_and_only_then(tmp_path: Path) -> None:
    environment = {**os.environ, "WAYPOST_CONFIG": str(tmp_path / "waypost.toml")}
    environment.pop("WAYPOST_API_KEY", None)

    def aside(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "waypost", *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    with open_house(tmp_path) as house:
        number_id = house.add_number()
        house.run("numbers", "pause", number_id)
        socket = tmp_path / "data" / "waypost.sock"
        assert socket.stat().st_mode & 0o777 == 0o600
        socket.rename(tmp_path / "away")
        refused = aside("numbers", "list")
        (tmp_path / "away").rename(socket)
        assert (refused.returncode, "database_in_use" in refused.stderr) == (3, True), refused
    sent = aside("send", "--to", PHONE, "later")
    assert sent.returncode == 0, sent
    assert "it goes out once `waypost serve` runs" in sent.stderr
    assert not socket.exists()
    shown = aside("messages", "show", sent.stdout.split()[0])
    assert "It is on disk and waits for its turn." in shown.stdout


def test_interrupting_a_follower_is_exit_130(house: House) -> None:
    environment = {**os.environ, "WAYPOST_CONFIG": str(house.folder / "waypost.toml")}
    environment.pop("WAYPOST_API_KEY", None)
    first = f"evt_{house.gateway.store.timeline}_0"
    process = subprocess.Popen(
        [sys.executable, "-m", "waypost", "messages", "tail", "--all", "--after", first],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        process.send_signal(2)
        _, errors = process.communicate(timeout=10)
    finally:
        process.kill()
    assert "key.created" in line
    assert process.returncode == 130
    assert "Traceback" not in errors
