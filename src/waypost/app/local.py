"""The command line's way in: `/v1` over the operator's socket of the running gateway, or, when none runs, of one
built for this call without its loops. Never a second writer."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from msgspec import Struct

from waypost.app.gateway import build
from waypost.app.server import Face
from waypost.app.sockets import listen_local, local_path, short_name
from waypost.config import Config


class Reply(Struct, frozen=True):
    """An answer; `body` is decoded JSON, or text where it is none."""

    status: int
    body: Any
    headers: Mapping[str, str]


class LocalApi:
    """Calls `/v1` as the operator. `running` tells whether a serving gateway answered."""

    def __init__(self, http: aiohttp.ClientSession, running: bool) -> None:
        self._http, self.running = http, running

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask and give the answer, whatever its status."""
        sent = raw if body is None else json.dumps(body).encode()
        kinds = {} if body is None else {"Content-Type": "application/json"}
        wanted = {key: str(value) for key, value in (query or {}).items() if value is not None}
        async with self._http.request(
            method, f"http://waypost{path}", data=sent, params=wanted, headers={**kinds, **(headers or {})}
        ) as answer:
            content = await answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return Reply(
                answer.status,
                json.loads(content) if is_json and content else content.decode(errors="replace"),
                dict(answer.headers),
            )

    async def stream(
        self, path: str, query: Mapping[str, Any] | None = None
    ) -> AsyncIterator[tuple[str, Any]]:
        """Follow server-sent events: (id, decoded payload)."""
        wanted = {key: str(value) for key, value in (query or {}).items() if value is not None}
        limit = aiohttp.ClientTimeout(total=None, sock_read=None)
        async with self._http.get(f"http://waypost{path}", params=wanted, timeout=limit) as answer:
            answer.raise_for_status()
            event_id, payload = "", ""
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\r\n").partition(":")
                if name == "id":
                    event_id = value.strip()
                elif name == "data":
                    payload += value.removeprefix(" ")
                elif not name and payload:
                    yield event_id, json.loads(payload)
                    payload = ""


@contextlib.asynccontextmanager
async def local_api(config: Config) -> AsyncIterator[LocalApi]:
    """Give a way to call the gateway of this configuration."""
    path = local_path(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        name = stack.enter_context(short_name(path))
        running = await _answers(name)
        if not running:
            gateway = await build(config)
            stack.push_async_callback(gateway.close)
            face = Face(gateway.local_application, listen_local(path), 5, ())
            await face.start()
            stack.callback(path.unlink, missing_ok=True)
            stack.push_async_callback(face.stop)
        http = await stack.enter_async_context(_session(name))
        yield LocalApi(http, running)


def _session(path: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.UnixConnector(path), timeout=aiohttp.ClientTimeout(total=120), auto_decompress=True
    )


async def _answers(path: str) -> bool:
    try:
        async with _session(path) as http, http.get("http://waypost/healthz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
