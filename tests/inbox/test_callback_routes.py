"""Callbacks over HTTP: 200 once on disk, 403 forged, 413 too large, 503 to come again; the handshake."""

from pathlib import Path

import pytest
from tests import engines
from tests.inbox.callback_support import Bench, new_bench, said, sign
from tests.web.client import Client, new_parts

from waypost.config import Config
from waypost.domain.errors import Unavailable
from waypost.inbox.accept import CallbackInbox
from waypost.web.asgi import application
from waypost.web.routes import all_routes

MIB = 1024 * 1024


async def _client(tmp_path: Path, inbox: CallbackInbox | None = None) -> tuple[Bench, Client]:
    bench = await new_bench(tmp_path)
    parts = new_parts(tmp_path / "web", store=bench.store, clock=bench.clock, inbox=inbox or bench.inbox)
    return bench, Client(application(parts, all_routes(Config())))


def _signed(raw: bytes) -> dict[str, str]:
    return {"X-Hub-Signature-256": sign(raw), "Content-Type": "application/json"}


async def test_a_signed_callback_is_answered_once_it_is_on_disk(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    raw = bench.messages(said("wamid.1", "Grüße"))
    for _ in range(2):
        reply = await client("POST", "/callbacks/app_1", raw=raw, headers=_signed(raw))
        assert (reply.status, reply.body) == (200, b"{}")
    assert await bench.rows("SELECT state FROM callbacks") == [("stored",)]
    await bench.read()
    assert len(await bench.events("inbound.received")) == 1


@pytest.mark.parametrize(
    ("app_id", "headers"),
    [
        ("app_1", {}),
        ("app_1", {"X-Hub-Signature-256": "sha256=" + "0" * 64}),
        ("app_1", {"X-Hub-Signature": "sha1=" + "0" * 40}),
        ("app_2", {"X-Hub-Signature-256": sign(b"{}")}),
    ],
)
async def test_a_forged_callback_is_forbidden(tmp_path: Path, app_id: str, headers: dict[str, str]) -> None:
    bench, client = await _client(tmp_path)
    reply = await client("POST", f"/callbacks/{app_id}", raw=b"{}", headers=headers)
    assert (reply.status, reply.code) == (403, "callback_forged")
    assert await bench.row("SELECT count(*) FROM callbacks") == (0,)


async def test_a_body_in_chunks_is_verified_as_a_whole(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    raw = bench.sample("text")
    chunks = [raw[:100], raw[100:101], raw[101:]]
    reply = await client("POST", "/callbacks/app_1", chunks=chunks, headers=_signed(raw))
    assert reply.status == 200


@pytest.mark.parametrize(("size", "status"), [(3 * MIB, 200), (4 * MIB, 200), (4 * MIB + 1, 413)])
async def test_a_callback_of_three_megabytes_is_taken_and_one_beyond_the_limit_is_not(
    tmp_path: Path, size: int, status: int
) -> None:
    _, client = await _client(tmp_path)
    raw = b" " * size
    reply = await client("POST", "/callbacks/app_1", raw=raw, headers=_signed(raw))
    assert reply.status == status


async def test_a_store_that_cannot_write_answers_503_and_the_retry_is_taken(tmp_path: Path) -> None:
    bench, client = await _client(tmp_path)
    raw = bench.messages(said("wamid.1", "x" * 100_000))
    with engines.current.unwritable(bench.store.engine):
        refused = await client("POST", "/callbacks/app_1", raw=raw, headers=_signed(raw))
    assert (refused.status, refused.code) == (503, engines.current.unwritable_code)
    assert int(refused.headers["retry-after"]) >= 1
    assert (await client("POST", "/callbacks/app_1", raw=raw, headers=_signed(raw))).status == 200
    await bench.read()
    assert len(await bench.events("inbound.received")) == 1


async def test_a_nearly_full_disk_answers_503_before_anything_is_written(tmp_path: Path) -> None:
    def nearly_full() -> None:
        raise Unavailable("nearly full", code="disk_full", retry_after_seconds=5)

    bench, client = await _client(tmp_path)
    inbox = CallbackInbox(bench.store, bench.clock, nearly_full)
    parts = new_parts(tmp_path / "full", store=bench.store, clock=bench.clock, inbox=inbox)
    client = Client(application(parts, all_routes(Config())))
    raw = bench.sample("text")
    reply = await client("POST", "/callbacks/app_1", raw=raw, headers=_signed(raw))
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    assert await bench.row("SELECT count(*) FROM callbacks") == (0,)


async def test_the_handshake_echoes_the_challenge_as_the_whole_body(tmp_path: Path) -> None:
    _, client = await _client(tmp_path)
    query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=verify-me"
    reply = await client("GET", f"/callbacks/app_1?{query}")
    assert (reply.status, reply.body) == (200, b"1158201444")
    assert reply.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 403),
        ("hub.mode=subscribe&hub.challenge=1", 403),
        ("hub.mode=subscribe&hub.challenge=1&hub.verify_token=wrong", 403),
        ("hub.mode=other&hub.challenge=1&hub.verify_token=verify-me", 403),
        ("hub.mode=subscribe&hub.challenge=" + "1" * 600 + "&hub.verify_token=verify-me", 422),
    ],
)
async def test_a_handshake_without_the_apps_token_is_refused(tmp_path: Path, query: str, status: int) -> None:
    _, client = await _client(tmp_path)
    assert (await client("GET", f"/callbacks/app_1?{query}")).status == status
