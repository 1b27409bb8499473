"""Speaks to the real ASGI application in this process: what a test sends is what a server would hand on."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from starlette.types import ASGIApp
from tests.support import FakeClock, SeededRandomness, new_store

from waypost.config import Config
from waypost.domain.ids import IdSource
from waypost.inbox.accept import CallbackInbox
from waypost.numbers.templates import NumberPreflight, TemplateBook
from waypost.outbox.accept import Acceptor
from waypost.store.engine import Engine
from waypost.web import auth
from waypost.web.asgi import application
from waypost.web.parts import Parts
from waypost.web.routes import all_routes
from waypost.web.routing import Route

OPENED: list[Engine] = []


class Reply(Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        """The problem's code; checks in passing that it is a whole problem."""
        assert self.headers["content-type"] == "application/problem+json"
        problem = self.json
        assert problem["status"] == self.status
        assert problem["type"] == f"urn:waypost:problem:{problem['code']}"
        assert problem["title"]
        assert problem["detail"]
        assert problem["request_id"] == self.headers["x-request-id"]
        return str(problem["code"])


class Client:
    """Calls an application; `key` goes as a bearer token unless a header says otherwise."""

    def __init__(self, app: ASGIApp, key: str | None = None) -> None:
        self.app = app
        self.key = key

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        chunks: list[bytes] | None = None,
        headers: dict[str, str] | None = None,
        key: str | None = None,
    ) -> Reply:
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        key = key or self.key
        if key and "authorization" not in sent and "x-api-key" not in sent:
            sent["authorization"] = f"Bearer {key}"
        if body is not None:
            raw = msgspec.json.encode(body)
        if raw is not None:
            sent.setdefault("content-type", "application/json")
            if chunks is None:
                sent.setdefault("content-length", str(len(raw)))
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8080),
        }
        left = list(chunks) if chunks is not None else [raw or b""]

        async def receive() -> dict[str, Any]:
            if not left:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        told: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            told.append(message)

        await self.app(scope, receive, send)
        start = told[0]
        names = [name for name, _ in start["headers"]]
        assert len(names) == len(set(names)), f"a header is sent twice: {names}"
        return Reply(
            start["status"],
            {name.decode(): value.decode() for name, value in start["headers"]},
            b"".join(message.get("body", b"") for message in told[1:]),
        )


def new_parts(folder: Path, config: Config | None = None, **over: Any) -> Parts:
    """Parts on a fresh store, with a clock that is told the time."""
    randomness = SeededRandomness(7)
    store, clock, ids = new_store(folder), FakeClock(), IdSource(randomness)
    preflight = NumberPreflight(store, TemplateBook(store, clock), clock)
    given: dict[str, Any] = {
        "store": store,
        "clock": clock,
        "ids": ids,
        "acceptor": Acceptor(store, preflight, ids, clock),
        "inbox": CallbackInbox(store, clock),
        "randomness": randomness,
        "config": config or Config(),
    }
    OPENED.append(given["store"].engine)
    return Parts(**(given | over))


async def new_client(parts: Parts, extra: tuple[Route, ...] = (), local: bool = False) -> Client:
    """A client of the whole application (and `extra` routes) with the bootstrap key."""
    key = await auth.bootstrap(parts)
    return Client(application(parts, (*all_routes(parts.config), *extra), local), key)
