"""How commands ask the gateway: `/v1` over its local socket, or over HTTP with a key when one is given.

When no gateway runs, one is built in this process without its loops and asked over the same socket, so there is one
way to change anything and never a second writer.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from waypost.app.sockets import local_path, short_name
from waypost.config import Config, find_file, load

_PAGE = 200
_RECONNECT_SECONDS_MAX = 15.0
# The gateway's stream says that it is alive every 15 s: three missed beats are a dead line.
_SILENCE_SECONDS_MAX = 46.0
Wire = dict[str, Any]


class Refused(Exception):
    """The gateway said no; the problem it told is in the fields."""

    def __init__(self, status: int, told: Any) -> None:
        problem = told if isinstance(told, dict) else {}
        self.status = status
        self.detail = str(problem.get("detail") or f"the gateway answered {status}")
        self.code = str(problem.get("code") or f"http_{status}")
        self.field: str | None = problem.get("field")
        self.remedy: str | None = problem.get("remedy")
        self.request_id: str | None = problem.get("request_id")
        super().__init__(self.detail)


class Unreachable(Exception):
    """Nothing answers where the gateway should be."""

    def __init__(self, place: str, remedy: str) -> None:
        self.remedy = remedy
        super().__init__(f"no gateway answers at {place}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the gateway is, as the options say: a settings file, or a URL and a key."""

    config_path: Path | None = None
    url: str | None = None
    key: str | None = None

    def config(self) -> Config:
        """Read the settings; raises `ConfigError` with every mistake."""
        return load(os.environ, self.config_path or find_file(os.environ, Path.cwd()))

    @property
    def is_remote(self) -> bool:
        """Say whether a key was given: then the gateway is asked over HTTP, as any caller does."""
        return bool(self.key)


@dataclass(frozen=True, slots=True)
class Told:
    """One server-sent event: its id and its decoded payload, empty for a sign of life."""

    id: str
    event: Wire


class Api:
    """Asks `/v1`. `running`: whether a serving gateway answers, rather than one built for this command."""

    def __init__(self, http: aiohttp.ClientSession, base: str, running: bool) -> None:
        self._http, self._base, self.running = http, base, running

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Ask and give the decoded answer; raises `Refused` for a problem, `Unreachable` when nobody answers."""
        sent: bytes | None = body if isinstance(body, bytes) else None
        if body is not None and sent is None:
            sent = json.dumps(body).encode()
        kinds = {} if sent is None else {"Content-Type": "application/json"}
        wanted = {name: str(value) for name, value in (query or {}).items() if value is not None}
        try:
            asked = self._http.request(
                method, self._base + path, data=sent, params=wanted, headers={**kinds, **(headers or {})},
                allow_redirects=False,
            )  # fmt: skip
            async with asked as answer:
                content = await answer.read()
                told = _decoded(answer.headers.get("Content-Type", ""), content)
                if answer.status >= 300:
                    raise Refused(answer.status, told)
                return told
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable() from error

    async def get(self, path: str, **query: object) -> Any:
        """Ask for what is there."""
        return await self.call("GET", path, query=query)

    async def post(self, path: str, body: Any = None) -> Any:
        """Ask for a change."""
        return await self.call("POST", path, body)

    async def listed(self, path: str, items_max: int, **query: object) -> list[Wire]:
        """Give up to `items_max` items of a list, page by page."""
        found: list[Wire] = []
        cursor: str | None = None
        while len(found) < items_max:
            limit = min(_PAGE, items_max - len(found))
            page = await self.call("GET", path, query={**query, "limit": limit, "cursor": cursor})
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return found

    async def follow(self, path: str, after: str | None, kinds: Sequence[str] = ()) -> AsyncIterator[Told]:
        """Follow server-sent events, coming back after every break right behind the last one seen."""
        last = after
        connected, failures = False, 0
        while True:
            query = [("kinds", each) for each in kinds] + ([("after", last)] if last else [])
            try:
                async for told in self._stream(path, query):
                    connected, failures = True, 0
                    last = told.id or last
                    if told.event:
                        yield told
            except (aiohttp.ClientError, TimeoutError) as error:
                if not connected:
                    raise self._unreachable() from error
            except Refused as error:
                # A gateway that restarts is not ready for a moment.
                if not connected or error.status not in (429, 502, 503):
                    raise
            failures += 1
            await asyncio.sleep(min(_RECONNECT_SECONDS_MAX, 0.25 * 2 ** min(failures, 8)))

    async def _stream(self, path: str, query: Sequence[tuple[str, str]]) -> AsyncIterator[Told]:
        """Give each event of one connection, and an empty one for an id that comes alone."""
        limit = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_SILENCE_SECONDS_MAX)
        asked = self._http.get(
            self._base + path, params=query, timeout=limit, headers={"Accept": "text/event-stream"}
        )
        async with asked as answer:
            if answer.status >= 300:
                raise Refused(
                    answer.status, _decoded(answer.headers.get("Content-Type", ""), await answer.read())
                )
            event_id, payload = "", ""
            async for line in _lines(answer.content):
                name, _, value = line.partition(":")
                if name == "id":
                    event_id = value.strip()
                elif name == "data":
                    payload += value.removeprefix(" ")
                elif not line and (payload or event_id):
                    yield Told(event_id, json.loads(payload) if payload else {})
                    payload = ""

    def _unreachable(self) -> Unreachable:
        return Unreachable(self._base, "start it with `waypost serve`, or check --url")


def _decoded(content_type: str, content: bytes) -> Any:
    if "json" in content_type and content:
        try:
            return json.loads(content)
        except ValueError:
            return None
    return content.decode(errors="replace") or None


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[str]:
    """Split a stream into lines of any length: one event may be as large as a message."""
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode().rstrip("\r")


@contextlib.asynccontextmanager
async def reach(place: Place) -> AsyncIterator[Api]:
    """Give a way to ask the gateway of this place."""
    if place.is_remote:
        base = place.url or _own_address(place.config())
        async with _session(None, {"Authorization": f"Bearer {place.key}"}) as http:
            yield Api(http, base.rstrip("/"), True)
        return
    config = place.config()
    path = local_path(config)
    async with contextlib.AsyncExitStack() as stack:
        running = path.exists() and await _answers(path)
        if not running:
            # Imported late: a whole gateway is only needed when none runs. Its log would only stand in the way.
            from waypost.app.local import local_api
            from waypost.app.logs import set_up

            set_up(replace(config.log, level="error"))
            await stack.enter_async_context(local_api(config))
        name = stack.enter_context(short_name(path))
        http = await stack.enter_async_context(_session(name, {}))
        yield Api(http, "http://waypost", running)


def _own_address(config: Config) -> str:
    """Give where this machine reaches the gateway; its public address may not lead back here."""
    host = config.http.host.strip("[]")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{config.http.port}" if ":" in host else f"http://{host}:{config.http.port}"


def _session(socket_name: str | None, headers: Mapping[str, str]) -> aiohttp.ClientSession:
    connector = None if socket_name is None else aiohttp.UnixConnector(socket_name)
    return aiohttp.ClientSession(
        connector=connector, headers=headers, timeout=aiohttp.ClientTimeout(total=120, sock_connect=10)
    )


async def _answers(path: Path) -> bool:
    with short_name(path) as name:
        try:
            async with _session(name, {}) as http, http.get("http://waypost/healthz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False
