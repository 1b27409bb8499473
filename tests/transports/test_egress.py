"""POSTs to addresses that users supply: what the guard refuses, what gets through, and what every answer becomes."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from waypost.domain.errors import InvalidRequest
from waypost.transports.egress import Egress, Reply, Unreachable, check_url, is_public

PUBLIC = ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
INNER = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.192",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.5",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "not an address",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_open_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://example.org/hook", None),
        ("https://example.org:8443/hook?a=b", None),
        ("https://1.1.1.1/", None),
        ("https://[2606:4700::1111]/", None),
        ("https://bücher.example/", None),
        ("https://example.org/a@b", None),
        ("", "bad_url"),
        ("example.org", "bad_url"),
        ("//example.org/", "bad_url"),
        ("ftp://example.org/", "bad_url"),
        ("file:///etc/passwd", "bad_url"),
        ("gopher://example.org/", "bad_url"),
        ("https://", "bad_url"),
        ("https://exa mple.org/", "bad_url"),
        ("https://example.org\\@127.0.0.1/", "bad_url"),
        ("https://example.org/\n", "bad_url"),
        ("https://example.org:99999/", "bad_url"),
        ("https://" + "a" * 3000 + ".org/", "bad_url"),
        ("https://user@example.org/", "url_with_user"),
        ("https://user:pass@example.org/", "url_with_user"),
        ("https://@example.org/", "url_with_user"),
        ("http://example.org/", "url_not_https"),
        ("https://example.org:22/", "url_port"),
        ("https://example.org:6379/", "url_port"),
        ("https://localhost/", "url_not_public"),
        ("https://LOCALHOST./", "url_not_public"),
        ("https://a.localhost/", "url_not_public"),
        ("https://metadata.google.internal/", "url_not_public"),
        ("https://printer.local/", "url_not_public"),
        ("https://127.0.0.1/", "url_not_public"),
        ("https://127.1/", "url_not_public"),
        ("https://2130706433/", "url_not_public"),
        ("https://017700000001/", "url_not_public"),
        ("https://169.254.169.254/latest", "url_not_public"),
        ("https://[::1]/", "url_not_public"),
        ("https://[::ffff:127.0.0.1]/", "url_not_public"),
        ("https://[::ffff:7f00:1]/", "url_not_public"),
        ("https://[64:ff9b::7f00:1]/", "url_not_public"),
        ("https://[fe80::1%25eth0]/", "url_not_public"),
        ("https://１２７.0.0.1/", "url_not_public"),
        ("https://127。0。0。1/", "url_not_public"),
    ],
)
def test_a_url_is_taken_or_refused_with_its_reason(url: str, code: str | None) -> None:
    if code is None:
        check_url(url, False)
        return
    with pytest.raises(InvalidRequest) as refusal:
        check_url(url, False)
    assert (refusal.value.code, refusal.value.field) == (code, "url")
    assert refusal.value.remedy


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x", "https://localhost/", "http://[::1]:1/", "http://10.0.0.1/"]
)
def test_configuration_may_allow_private_addresses(url: str) -> None:
    check_url(url, True)


@pytest.mark.parametrize("url", ["ftp://localhost/", "http://user@localhost/", "http://"])
def test_even_then_some_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        check_url(url, True)


class Names(AbstractResolver):
    """Answers each look-up with the next list of addresses."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in found
        ]

    async def close(self) -> None:
        return None


@pytest.mark.parametrize("address", [a for a in INNER if " " not in a and "%" not in a])
async def test_a_name_that_leads_inside_is_not_connected_to(address: str) -> None:
    egress = Egress(False, Names([address]))
    assert await egress.post("https://rebind.example/", {}, b"{}", 2) == Unreachable("refused_address")
    await egress.close()


async def test_one_inner_address_among_public_ones_is_enough_to_refuse() -> None:
    egress = Egress(False, Names(["1.1.1.1", "127.0.0.1"]))
    assert await egress.post("https://rebind.example/", {}, b"{}", 2) == Unreachable("refused_address")
    await egress.close()


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "http://example.org/", "https://2130706433/", "https://[::1]/"]
)
async def test_a_url_is_checked_again_when_it_is_used(url: str) -> None:
    names = Names(["1.1.1.1"])
    egress = Egress(False, names)
    assert await egress.post(url, {}, b"{}", 2) == Unreachable("refused_address")
    assert names.asked == 0
    await egress.close()


@pytest.fixture
async def sink() -> AsyncIterator[tuple[str, list[Any]]]:
    """A server on loopback with an ill-behaved path for each case; gives its URL and what it was asked."""
    asked: list[Any] = []
    until_end = asyncio.Event()

    async def take(request: web.Request) -> web.StreamResponse:
        asked.append((request.path, dict(request.headers), await request.read()))
        path = request.path
        if path == "/never":
            await until_end.wait()
        if path == "/redirect":
            raise web.HTTPFound("/inner")
        if path == "/drop" and request.transport is not None:
            request.transport.close()
        if path in ("/endless", "/slow-body"):
            response = web.StreamResponse(status=200)
            await response.prepare(request)
            while path == "/endless" and not until_end.is_set():
                await response.write(b"x" * 65536)
            await response.write(b"begins")
            await until_end.wait()
            return response
        if path == "/cookie":
            answer = web.Response(text="ok")
            answer.set_cookie("a", "b")
            return answer
        return web.Response(status=int(path[1:]) if path[1:].isdigit() else 200, text="thank you")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}", asked
    until_end.set()
    await runner.cleanup()


@pytest.mark.parametrize("status", [200, 204, 400, 410, 429, 500, 503])
async def test_every_status_is_an_answer(sink: tuple[str, list[Any]], status: int) -> None:
    url, asked = sink
    egress = Egress(True)
    answer = await egress.post(f"{url}/{status}", {"webhook-id": "evt_1"}, b'{"a":1}', 5)
    assert isinstance(answer, Reply)
    assert answer.status == status
    (path, headers, body) = asked[0]
    assert (path, headers["webhook-id"], body) == (f"/{status}", "evt_1", b'{"a":1}')
    await egress.close()


async def test_a_redirect_is_not_followed(sink: tuple[str, list[Any]]) -> None:
    url, asked = sink
    egress = Egress(True)
    answer = await egress.post(f"{url}/redirect", {}, b"{}", 5)
    assert isinstance(answer, Reply)
    assert answer.status == 302
    assert [path for path, _, _ in asked] == ["/redirect"]
    await egress.close()


async def test_a_cookie_is_not_kept(sink: tuple[str, list[Any]]) -> None:
    url, asked = sink
    egress = Egress(True)
    for _ in range(2):
        await egress.post(f"{url}/cookie", {}, b"{}", 5)
    assert "Cookie" not in asked[1][1]
    await egress.close()


async def test_an_endless_body_is_cut_and_the_status_counts(sink: tuple[str, list[Any]]) -> None:
    url, _ = sink
    egress = Egress(True)
    answer = await egress.post(f"{url}/endless", {}, b"{}", 5)
    assert isinstance(answer, Reply)
    assert (answer.status, len(answer.body)) == (200, 16 * 1024)
    await egress.close()


@pytest.mark.parametrize(("path", "fault"), [("/never", "timeout"), ("/drop", "broken_off")])
async def test_no_answer_is_a_value_with_a_word(sink: tuple[str, list[Any]], path: str, fault: str) -> None:
    url, _ = sink
    egress = Egress(True)
    assert await egress.post(f"{url}{path}", {}, b"{}", 0.3) == Unreachable(fault)
    await egress.close()


async def test_a_body_that_never_ends_does_not_take_the_yes_back(sink: tuple[str, list[Any]]) -> None:
    url, _ = sink
    egress = Egress(True)
    answer = await egress.post(f"{url}/slow-body", {}, b"{}", 0.3)
    assert isinstance(answer, Reply)
    assert (answer.status, answer.body) == (200, b"begins")
    await egress.close()


async def test_nobody_listening_is_a_failed_connection() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    egress = Egress(True)
    assert await egress.post(f"http://127.0.0.1:{port}/", {}, b"{}", 2) == Unreachable("connect_failed")
    await egress.close()


async def test_a_server_without_tls_is_a_tls_failure(sink: tuple[str, list[Any]]) -> None:
    url, asked = sink
    egress = Egress(True)
    answer = await egress.post(url.replace("http:", "https:"), {}, b"{}", 2)
    assert answer == Unreachable("tls_failed")
    assert asked == []
    await egress.close()


async def test_the_connection_goes_to_the_address_that_was_checked(
    sink: tuple[str, list[Any]],
) -> None:
    """The name is asked once for a connection: a second answer, the rebinding one, is never used."""
    url, _ = sink
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    egress = Egress(True, names)
    port = url.rsplit(":", 1)[1]
    answer = await egress.post(f"http://name.example:{port}/200", {}, b"{}", 2)
    assert isinstance(answer, Reply)
    assert names.asked == 1
    await egress.close()
