"""POSTs to addresses that users supply, guarded: only where the world may reach, never into the gateway's own network.

The name is resolved once for a connection, every address it has must be public, and the connection goes to exactly
the addresses checked, so a name that changes its mind afterwards (DNS rebinding) changes nothing. No redirects, no
proxies from the environment, no cookies, a bounded answer, a bounded time.
"""

import ipaddress
import socket
from collections.abc import Mapping

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct
from yarl import URL

from waypost.domain.errors import InvalidRequest

URL_LENGTH_MAX = 2048
# Where HTTPS is found in practice; the others are other protocols' doors.
_PORTS = frozenset({80, 443, 8080, 8443})
_ANSWER_BYTES_MAX = 16 * 1024
_CONNECTIONS_MAX = 1000
_KEEP_ALIVE_SECONDS = 30.0
# Names that only mean something inside a network (RFC 6761, RFC 6762, RFC 8375 and ICANN's .internal of 2024).
_INNER_NAMES = ("localhost", "local", "internal", "home.arpa", "localdomain")
# Globally routable by its range, yet answered by the host of an Azure machine itself.
_HOST_LOCAL = frozenset({ipaddress.ip_address("168.63.129.16")})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# What `is_global` lets pass in Python 3.11 and leads inside all the same: tunnels that carry another address (6to4 and
# its relay, Teredo, IPv4-compatible, local NAT64), IETF's own block (a cloud's metadata at 192.0.0.192), site-local.
_INNER_RANGES = tuple(
    ipaddress.ip_network(each)
    for each in (
        "2002::/16",
        "192.88.99.0/24",
        "2001::/32",
        "::/96",
        "64:ff9b:1::/48",
        "192.0.0.0/24",
        "fec0::/10",
    )
)


class Reply(Struct, frozen=True):
    """An answer of any status; `body` is its first 16 KiB, header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Unreachable(Struct, frozen=True):
    """No answer. `fault`: `timeout`, `connect_failed`, `tls_failed`, `broken_off` or `refused_address`."""

    fault: str


class _Refused(OSError):
    """The name leads where nothing may be sent."""


def is_public(address: str) -> bool:
    """Say whether an IP address, as written, is one of the open internet's hosts."""
    try:
        found = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if found in _NAT64:
            # A network without IPv4 reaches the IPv4 internet so: what counts is the address inside.
            return is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
    if any(found.version == inner.version and found in inner for inner in _INNER_RANGES):
        return False
    return found.is_global and not found.is_multicast and not found.is_reserved and found not in _HOST_LOCAL


def check_url(url: str, allow_private: bool) -> None:
    """Raise `InvalidRequest` for a URL that could never be POSTed to: scheme, user, port or address.

    Where a name leads is checked at every connection, not here.
    """
    fault = _fault_of(url, allow_private)
    if fault is not None:
        code, message, remedy = fault
        raise InvalidRequest(message, code=code, field="url", remedy=remedy)


def _fault_of(url: str, allow_private: bool) -> tuple[str, str, str] | None:
    private_remedy = "Use a public https address, or set webhooks.allow_private_addresses."
    try:
        # The same parser that connects: two readings of one URL are how guards are passed.
        parsed = URL(url)
        host, port = parsed.raw_host, parsed.port
    except ValueError:
        host, port, parsed = None, None, URL()
    if (
        len(url) > URL_LENGTH_MAX
        or not host
        or parsed.scheme not in ("http", "https")
        or any(character.isspace() or character == "\\" or not character.isprintable() for character in url)
    ):
        return "bad_url", "This is not an http or https URL.", "Give one such as https://example.org/hook."
    if "@" in url.split("://", 1)[-1].split("/", 1)[0] or parsed.user is not None:
        return "url_with_user", "A URL with a user or password is refused.", "Use the webhook's signature."
    if allow_private:
        return None
    if parsed.scheme != "https":
        return "url_not_https", "Only https is allowed.", private_remedy
    if port not in _PORTS:
        ports = ", ".join(map(str, sorted(_PORTS)))
        return "url_port", f"This port is not allowed; allowed are {ports}.", private_remedy
    if _is_inner(host):
        return "url_not_public", "This address is not a public one.", private_remedy
    return None


def _is_inner(host: str) -> bool:
    """Refuse what is written as an address and isn't public; other names are judged when resolved."""
    name = host.strip("[]").lower().rstrip(".")
    # The client takes any host of digits and dots, or with a colon, for an address and asks no resolver.
    if ":" in name or name.replace(".", "").isdigit():
        return not is_public(name)
    return any(name == inner or name.endswith(f".{inner}") for inner in _INNER_NAMES)


class _PublicResolver(AbstractResolver):
    """Resolves names whose addresses are all public; the connection goes to what was checked."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        # One inner address among public ones is how a rebinding name looks: all of them have to be public.
        if not found or not all(is_public(each["host"]) for each in found):
            raise _Refused(None, "the name leads into a private network")
        return found

    async def close(self) -> None:
        await self._inner.close()


class Egress:
    """Posts to subscribers. One per process; `resolver` is the system's unless a test gives another."""

    def __init__(self, allow_private: bool, resolver: AbstractResolver | None = None) -> None:
        self._allow_private = allow_private
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    def check(self, url: str) -> None:
        """As `check_url`, with this installation's rule."""
        check_url(url, self._allow_private)

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> Reply | Unreachable:
        """POST `body` once and give the answer, or why there is none. Never raises for what the other side does."""
        if _fault_of(url, self._allow_private) is not None:
            return Unreachable("refused_address")
        session = self._session or self._connect()
        try:
            async with session.post(
                URL(url),
                headers=headers,
                data=body,
                timeout=aiohttp.ClientTimeout(total=timeout_seconds),
                allow_redirects=False,
            ) as response:
                found = await _bounded(response)
                names = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status, names, found)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Unreachable(_fault_word(error))

    def _connect(self) -> aiohttp.ClientSession:
        resolver = self._resolver or aiohttp.ThreadedResolver()
        connector = aiohttp.TCPConnector(
            limit=_CONNECTIONS_MAX,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            use_dns_cache=False,
            resolver=resolver if self._allow_private else _PublicResolver(resolver),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "waypost-webhooks"},
        )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    try:
        while len(found) < _ANSWER_BYTES_MAX:
            chunk = await response.content.read(_ANSWER_BYTES_MAX - len(found))
            if not chunk:
                return bytes(found)
            found += chunk
    except (aiohttp.ClientError, TimeoutError, OSError):
        # The status is the answer: a body that breaks off or never ends does not take it back.
        response.close()
        return bytes(found)
    # More than anybody needs: the rest is not read, so the connection can't be used again.
    response.close()
    return bytes(found)


def _fault_word(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientSSLError):
        return "tls_failed"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        return "refused_address" if isinstance(cause, _Refused) else "connect_failed"
    return "broken_off"
