"""What each way a network can fail says about a send: proof that nothing left, or a doubt that must be kept."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from msgspec import structs

from waypost.config import CloudApi as Settings
from waypost.domain.outcomes import Failed, Sent, Unknown
from waypost.emulator import DEMO, Emulator
from waypost.transports.base import Access, Done, Recipient
from waypost.transports.cloud_api.api import CloudApi, new_wire
from waypost.transports.cloud_api.wire import BODY_BYTES_MAX, Reply, Wire, is_private_host

CONTENT = b'{"type":"text","text":{"body":"hello"}}'
ADA = Recipient("phone", "+" + DEMO.phone_digits)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def access_to(base_url: str, **over: str) -> Access:
    access = Access(
        number_id="num_1",
        phone_number_id=DEMO.number_id,
        base_url=base_url,
        graph_version="v26.0",
        auth_header="Authorization: Bearer",
        token=DEMO.access_token,
    )
    return structs.replace(access, **over)


@asynccontextmanager
async def cloud(base_url: str, timeout_seconds: float = 5.0) -> AsyncIterator[CloudApi]:
    wire = new_wire(Settings(base_url=base_url), timeout_seconds)
    yield CloudApi(wire)
    await wire.close()


@asynccontextmanager
async def peer(serve: Serve) -> AsyncIterator[str]:
    """A server that does with a connection what the case says."""
    serving: set[asyncio.Task[None] | None] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        with suppress(ConnectionError):
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.close()
    await server.wait_closed()
    await asyncio.gather(*(task for task in serving if task is not None))


async def read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
    return head[0], headers, await reader.readexactly(int(headers.get("content-length", "0")))


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    emulator = Emulator(strict=True, rates=False)
    await emulator.start()
    yield emulator
    await emulator.stop()


async def test_a_text_reaches_the_emulator_with_our_echo(emulator: Emulator) -> None:
    async with cloud(emulator.base_url) as api:
        outcome = await api.send(access_to(emulator.base_url), ADA, CONTENT, "att_1")
    (line,) = emulator.world.ledger
    assert isinstance(outcome, Sent)
    assert outcome.provider_message_id == line.wamid
    assert (line.biz_opaque_callback_data, line.recipient) == ("att_1", DEMO.phone_digits)


async def test_a_refused_connection_is_proof_that_nothing_left() -> None:
    async with cloud("http://127.0.0.1:1") as api:
        outcome = await api.send(access_to("http://127.0.0.1:1"), ADA, CONTENT, "att_1")
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.reaction, outcome.title) == (None, "retry", "not reached")


async def test_an_unknown_host_is_proof_that_nothing_left() -> None:
    async with cloud("http://nowhere.invalid") as api:
        outcome = await api.send(access_to("http://nowhere.invalid"), ADA, CONTENT, "att_1")
    assert isinstance(outcome, Failed)
    assert outcome.reaction == "retry"


async def test_a_failed_tls_handshake_is_proof_that_nothing_left() -> None:
    async def not_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with peer(not_tls) as url, cloud(url) as api:
        outcome = await api.send(access_to(url.replace("http:", "https:")), ADA, CONTENT, "att_1")
    assert isinstance(outcome, Failed)
    assert outcome.title == "not reached"


async def test_a_full_pool_is_proof_that_nothing_left() -> None:
    taken = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        taken.set()
        await reader.read()

    async with peer(silent) as url:
        wire = Wire(connections_max=1, timeout_seconds=0.2, private_addresses=True)
        api = CloudApi(wire)
        first = asyncio.create_task(api.send(access_to(url), ADA, CONTENT, "att_1"))
        await taken.wait()
        second = await api.send(access_to(url), ADA, CONTENT, "att_2")
        assert isinstance(second, Failed)
        assert isinstance(await first, Unknown)
        await wire.close()


async def _cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def _silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await reader.read()


async def _half_an_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"messages":')


async def _no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (BODY_BYTES_MAX + 100_000))
    try:
        await writer.drain()
    except ConnectionError:
        return


@pytest.mark.parametrize(
    "serve", [_cut, _silence, _half_an_answer, _no_http, _endless], ids=lambda f: f.__name__
)
async def test_what_happens_after_the_request_left_is_unknown(serve: Serve) -> None:
    async with peer(serve) as url, cloud(url, timeout_seconds=0.5) as api:
        outcome = await api.send(access_to(url), ADA, CONTENT, "att_1")
    assert isinstance(outcome, Unknown)
    assert DEMO.access_token not in outcome.reason


async def test_a_kept_alive_connection_closed_under_a_request_is_unknown_and_not_sent_twice() -> None:
    requests: list[str] = []

    async def answers_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, _, _ = await read_request(reader)
        requests.append(line)
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\n{"messages":[{"id":"wamid"}]}')
        line, _, _ = await read_request(reader)
        requests.append(line)

    async with peer(answers_once) as url, cloud(url) as api:
        await api.send(access_to(url), ADA, CONTENT, "att_1")
        outcome = await api.send(access_to(url), ADA, CONTENT, "att_2")
    assert isinstance(outcome, Unknown)
    assert len(requests) == 2


async def test_a_refusal_whose_body_breaks_off_is_still_a_refusal() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 500\r\n\r\n{")

    async with peer(refuse) as url, cloud(url) as api:
        outcome = await api.send(access_to(url), ADA, CONTENT, "att_1")
    assert isinstance(outcome, Failed)
    assert outcome.reaction == "stop_lane"


@pytest.mark.parametrize(
    ("over", "path", "header"),
    [
        ({}, f"/v26.0/{DEMO.number_id}/messages", ("authorization", "Bearer secret")),
        ({"graph_version": ""}, f"/{DEMO.number_id}/messages", ("authorization", "Bearer secret")),
        ({"graph_version": "flat", "auth_header": "D360-API-KEY"}, "/messages", ("d360-api-key", "secret")),
    ],
)
async def test_a_vendor_is_another_base_url(over: dict[str, str], path: str, header: tuple[str, str]) -> None:
    heard: list[tuple[str, dict[str, str], bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await read_request(reader))
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\n{"messages":[{"id":"wamid"}]}')

    async with peer(serve) as url, cloud(url) as api:
        outcome = await api.send(access_to(url, token="secret", **over), ADA, CONTENT, "att_1")
    line, headers, _ = heard[0]
    assert isinstance(outcome, Sent)
    assert line == f"POST {path} HTTP/1.1"
    assert headers[header[0]] == header[1]
    assert headers["content-type"] == "application/json"


async def test_a_redirect_is_not_followed_and_stops_the_lane() -> None:
    requests: list[str] = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, _, _ = await read_request(reader)
        requests.append(line)
        writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n")

    async with peer(redirect) as url, cloud(url) as api:
        outcome = await api.send(access_to(url), ADA, CONTENT, "att_1")
    assert isinstance(outcome, Failed)
    assert outcome.reaction == "stop_lane"
    assert len(requests) == 1


async def test_a_rotated_token_is_used_at_once(emulator: Emulator) -> None:
    async with cloud(emulator.base_url) as api:
        good = access_to(emulator.base_url)
        refused = await api.send(structs.replace(good, token="wrong"), ADA, CONTENT, "att_1")
        taken = await api.send(good, ADA, CONTENT, "att_2")
    assert isinstance(refused, Failed)
    assert (refused.code, refused.reaction) == (190, "stop_lane")
    assert isinstance(taken, Sent)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "drop_after"}, Unknown),
        ({"kind": "drop_before"}, Unknown),  # from our side it looks the same, so it must be treated the same
        ({"kind": "html"}, Unknown),
        ({"kind": "truncated"}, Unknown),
        ({"kind": "empty"}, Unknown),
        ({"kind": "error", "code": 131056}, Failed),
    ],
)
async def test_a_faulty_provider_gives_an_outcome_and_the_next_send_is_fine(
    emulator: Emulator, fault: dict[str, object], kind: type
) -> None:
    emulator.faults.add({**fault, "count": 1})
    async with cloud(emulator.base_url) as api:
        access = access_to(emulator.base_url)
        assert isinstance(await api.send(access, ADA, CONTENT, "att_1"), kind)
        assert isinstance(await api.send(access, ADA, CONTENT, "att_2"), Sent)


async def test_a_read_mark_that_meta_refuses_says_why(emulator: Emulator) -> None:
    async with cloud(emulator.base_url) as api:
        refused = await api.mark_read(access_to(emulator.base_url, token="wrong"), "wamid.X", typing=True)
        unreached = await api.mark_read(access_to("http://127.0.0.1:1"), "wamid.X", typing=False)
    assert isinstance(refused, Failed)
    assert refused.code == 190
    assert isinstance(unreached, Failed)
    assert unreached.title == "not reached"


async def test_a_read_mark_is_done() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{"success":true}')

    async with peer(serve) as url, cloud(url) as api:
        assert await api.mark_read(access_to(url), "wamid.X", typing=True) == Done()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "http://10.1.2.3"]
)
async def test_a_private_base_url_is_refused_beside_meta(url: str) -> None:
    async with cloud("https://graph.facebook.com") as api:
        outcome = await api.send(access_to(url), ADA, CONTENT, "att_1")
    assert isinstance(outcome, Failed)
    assert outcome.title == "not reached"
    assert "refused" not in outcome.detail.lower()


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("169.254.169.254", True),
        ("::ffff:10.0.0.1", True),
        ("100.64.0.1", True),
        ("224.0.0.1", True),
        ("8.8.8.8", False),
        ("graph.facebook.com", False),
    ],
)
def test_private_hosts_are_known(host: str, private: bool) -> None:
    assert is_private_host(host) is private


async def test_a_body_beyond_its_bound_breaks_off_and_what_came_is_told() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000)

    async with peer(serve) as url:
        wire = Wire(4, 5.0, private_addresses=True)
        route = wire.route(access_to(url))
        for bytes_max, whole in ((4999, False), (5000, True)):
            heard = await wire.fetch(route.root, route.headers, lambda chunk: None, bytes_max, 5.0)
            assert isinstance(heard, Reply)
            assert heard.whole is whole
        await wire.close()
