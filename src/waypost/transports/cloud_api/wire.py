"""The wire to Meta: the one place with sockets of this room. Says what became of a request, never raises for it.

`NotReached` is a proof that the request did not leave; `Lost` means that it may have. Whoever sends messages lives
by that difference, so it is drawn here once.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct
from yarl import URL

from waypost.transports.base import Access

BODY_BYTES_MAX = 1024 * 1024
# A vendor whose paths name neither version nor number, e.g. 360dialog: `/messages`, `/media`, `/{media_id}`.
FLAT = "flat"
# Well under the idle time after which Meta's edge closes: a request on a connection that the other side is just
# closing has an unknown outcome, so the idle ones are given up early.
_KEEP_ALIVE_SECONDS = 15.0
_CONNECT_SECONDS_MAX = 10.0


class Reply(Struct, frozen=True):
    """An answer. `whole` is False when its body broke off or is beyond the bound."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True


class NotReached(Struct, frozen=True):
    """The request never left this machine: trying again doubles nothing."""

    detail: str


class Lost(Struct, frozen=True):
    """The request may have been taken; there is no answer."""

    reason: str


Heard = Reply | NotReached | Lost


class Route(Struct, frozen=True):
    """Where to write for one number, worked out once: base URL with version, the number's own node, headers."""

    access: Access
    root: URL
    number: URL
    messages: URL
    json_headers: Mapping[str, str]
    headers: Mapping[str, str]
    is_flat: bool


class Wire:
    """One pool of connections, kept alive. `private_addresses` allows loopback and private networks.

    Base URLs come from callers of the API, so a host that resolves to this machine's own network is refused at the
    moment of connecting (a name may resolve to another address the next time it is asked for).
    """

    def __init__(self, connections_max: int, timeout_seconds: float, private_addresses: bool = False) -> None:
        self._connections_max = connections_max
        self._private_addresses = private_addresses
        # Waiting for a free connection and connecting end before the whole: their timeout proves that nothing left,
        # which the timeout of the whole can't.
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_seconds, connect=min(timeout_seconds / 2, _CONNECT_SECONDS_MAX)
        )
        self._session: aiohttp.ClientSession | None = None
        self._routes: dict[str, Route] = {}

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def route(self, access: Access) -> Route:
        """Give where to write for `access`, from the cache unless something about it changed."""
        route = self._routes.get(access.number_id)
        if route is None or (route.access is not access and route.access != access):
            route = self._routes[access.number_id] = _route_of(access)
        return route

    async def ask(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: Any = None,
        seconds: float | None = None,
    ) -> Heard:
        """Send one request and hear its answer, bounded. `seconds` replaces the usual timeout of the whole."""
        response: aiohttp.ClientResponse | None = None
        try:
            async with self._open(method, url, headers, body, seconds) as response:
                return await _reply(response)
        except Exception as error:
            return self._fault(error, response)

    async def fetch(
        self,
        url: URL,
        headers: Mapping[str, str],
        sink: Callable[[bytes], None],
        bytes_max: int,
        seconds: float,
    ) -> Heard:
        """Stream the body of a 200 into `sink`; beyond `bytes_max` it breaks off with `whole` False.

        Other answers come back as from `ask`. What `sink` raises (a full disk) is the caller's and passes through.
        """
        response: aiohttp.ClientResponse | None = None
        try:
            async with self._open("GET", url, headers, None, seconds) as response:
                if response.status != 200:
                    return await _reply(response)
                count = 0
                if (response.content_length or 0) > bytes_max:
                    return Reply(200, response.headers, b"", whole=False)
                while chunk := await _next_chunk(response):
                    count += len(chunk)
                    if count > bytes_max:
                        return Reply(200, response.headers, b"", whole=False)
                    sink(chunk)
                return Reply(200, response.headers, b"")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return self._fault(error, response)

    def _open(
        self, method: str, url: URL, headers: Mapping[str, str], body: Any, seconds: float | None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        timeout = self._timeout
        if seconds is not None:
            timeout = aiohttp.ClientTimeout(total=seconds, connect=self._timeout.connect)
        session = self._session or self._connect()
        self._refuse_private(url)
        # No redirects: the token would go to an address nobody chose. POST is never repeated by the library.
        return session.request(
            method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False
        )

    def _connect(self) -> aiohttp.ClientSession:
        resolver = aiohttp.ThreadedResolver()
        connector = aiohttp.TCPConnector(
            limit=self._connections_max,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            resolver=resolver if self._private_addresses else _PublicResolver(resolver),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            # Answers are small; without compression there is no bomb to bound and less work.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "waypost"},
        )
        return self._session

    def _refuse_private(self, url: URL) -> None:
        """Refuse addresses written as numbers, which no resolver sees."""
        if not self._private_addresses and url.host is not None and _is_private_literal(url.host):
            raise aiohttp.InvalidURL(url.host, "an address of a private network")

    def _fault(self, error: Exception, response: aiohttp.ClientResponse | None) -> NotReached | Lost:
        """Tell whether `error` proves that the request did not leave.

        Only what is raised before a connection exists proves it: refused, unknown host, TLS failed, timeout of
        connecting, an address that is none. `ServerDisconnectedError` on a kept-alive connection usually means that
        the other side closed an idle one, but it is the same exception as a server that took the request and died:
        ambiguous, so `Lost`. The same goes for resets, broken pipes and the timeout of the whole.
        """
        if response is not None:
            return Lost(f"HTTP {response.status} broke off: {type(error).__name__}")
        if isinstance(error, aiohttp.InvalidURL):
            return NotReached("the address is not one that may be called")
        if isinstance(error, aiohttp.ClientConnectorError):
            return NotReached(f"{type(error).__name__}: {error.os_error.strerror or 'no connection'}")
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return NotReached("no connection in time")
        if isinstance(error, TimeoutError):
            return Lost("timeout")
        return Lost(type(error).__name__)


class _PublicResolver(AbstractResolver):
    """Resolves names to public addresses only; the connection goes to exactly what was checked."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        public = [each for each in found if not _is_private_literal(each["host"])]
        if not public:
            raise OSError(None, "the name leads into a private network")
        return public

    async def close(self) -> None:
        await self._inner.close()


def is_private_host(host: str) -> bool:
    """Say whether a host, as written, is this machine or an address of a private network."""
    return host.lower().rstrip(".") in ("localhost", "localhost.localdomain") or _is_private_literal(host)


def _is_private_literal(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.strip("[]").split("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_global or address.is_multicast


async def _reply(response: aiohttp.ClientResponse) -> Reply:
    """Read a bounded body. A refusal whose body breaks off is still a refusal; a 2xx or 5xx that does is `Lost`."""
    found = bytearray()
    try:
        while len(found) <= BODY_BYTES_MAX:
            chunk = await _next_chunk(response)
            if not chunk:
                return Reply(response.status, response.headers, bytes(found))
            found += chunk
    except (aiohttp.ClientError, asyncio.IncompleteReadError, TimeoutError, OSError):
        if not 400 <= response.status < 500:
            raise
    return Reply(response.status, response.headers, bytes(found[:BODY_BYTES_MAX]), whole=False)


async def _next_chunk(response: aiohttp.ClientResponse) -> bytes:
    return await response.content.readany()


def _route_of(access: Access) -> Route:
    is_flat = access.graph_version == FLAT
    base = access.base_url.rstrip("/")
    root = URL(base if is_flat or not access.graph_version else f"{base}/{access.graph_version}")
    number = root if is_flat else root / access.phone_number_id
    name, _, scheme = access.auth_header.partition(":")
    scheme = scheme.strip()
    headers = {name.strip(): f"{scheme} {access.token}" if scheme else access.token}
    return Route(
        access=access,
        root=root,
        number=number,
        messages=number / "messages",
        json_headers={**headers, "Content-Type": "application/json"},
        headers=headers,
        is_flat=is_flat,
    )
