"""The emulator itself: puts the parts on one stage, serves them over sockets, cuts connections on demand."""

import asyncio
import socket
from contextlib import nullcontext
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from waypost.emulator import (
    business_edges,
    control,
    control_account,
    control_phones,
    media_edges,
    message_edges,
    number_edges,
    page,
    template_edges,
)
from waypost.emulator.agenda import Agenda
from waypost.emulator.answers import Answer, Cut
from waypost.emulator.faults import Fault, Faults
from waypost.emulator.graph import Edge, Graph
from waypost.emulator.journeys import put
from waypost.emulator.ports import Clock, Dice, RealClock, fresh_dice
from waypost.emulator.rates import Rates
from waypost.emulator.seed import seed_demo
from waypost.emulator.stage import Pace, Stage
from waypost.emulator.webhooks import Webhooks
from waypost.emulator.world import World

CUT_EXTENSION = "emulator.cut"
_LEAVE_TURNS = 100  # of 10 ms each


class _CuttableProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol that lets the application abort the connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {CUT_EXTENSION: {"abort": self.transport.abort}}


class Emulator:
    """A loopback Cloud API with virtual phones.

    `clock` and `random` are ports; `strict` turns on Meta's limits; `rates` its paces (on with `strict`).
    """

    def __init__(
        self,
        clock: Clock | None = None,
        random: Dice | None = None,
        *,
        strict: bool = False,
        rates: bool | None = None,
        pace: Pace | None = None,
        callback_url: str | None = None,
        demo: bool = True,
    ) -> None:
        self.clock: Clock = clock or RealClock()
        dice = random or fresh_dice()
        self.world = World()
        agenda = Agenda(self.clock)
        self.webhooks = Webhooks(self.world, self.clock, agenda, dice)
        self.faults = Faults(self.clock, dice)
        self.stage = Stage(
            world=self.world,
            clock=self.clock,
            dice=dice,
            agenda=agenda,
            faults=self.faults,
            rates=Rates(on=strict if rates is None else rates),
            webhooks=self.webhooks,
            strict=strict,
            pace=pace or Pace(),
        )
        if demo:
            seed_demo(self.world, callback_url)
        self._graph = Graph(self.stage, _all_edges())
        self._server: _GuestServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self.app: ASGIApp = self._build()

    @property
    def base_url(self) -> str:
        """Where the emulator listens, without a trailing slash."""
        return self.stage.base_url

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen on real sockets; gives the base URL. Raises OSError when the address is taken."""
        listening = _listen(host, port)
        config = uvicorn.Config(
            self.app,
            http=_CuttableProtocol,
            ws="none",
            lifespan="off",
            log_level="critical",
            server_header=False,
            access_log=False,
        )
        self._server = _GuestServer(config)
        await self.open()
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        await self._server.up.wait()
        shown_host = f"[{host}]" if ":" in host else host
        self.stage.base_url = f"http://{shown_host}:{listening.getsockname()[1]}"
        return self.stage.base_url

    async def open(self) -> None:
        """Start what works behind the sockets; for those who mount `app` in a server of their own."""
        self.world.closing = False
        await self.webhooks.start()
        self.stage.agenda.start()

    async def stop(self) -> None:
        """Close the sockets and stop all work."""
        page.close_streams(self.stage)
        if self._server is not None and self._serving is not None:
            self._server.leave.set()
            await asyncio.gather(self._serving, return_exceptions=True)
            self._server, self._serving = None, None
        await self.stage.agenda.stop()
        await self.webhooks.stop()

    def fault(self, **settings: Any) -> Fault:
        """Put a fault in force, with the fields of `Fault` plus `starts_in_seconds` and `lasts_seconds`."""
        return put(self.stage, settings)

    async def settle(self) -> None:
        """Wait until no webhook is queued or on the wire."""
        while True:
            for _ in range(10):
                await asyncio.sleep(0)
            if self.webhooks.quiet:
                return
            await asyncio.sleep(0.002)

    def _build(self) -> ASGIApp:
        side = Starlette(
            routes=[
                *page.routes(self.stage),
                Mount(
                    "/_emulator",
                    routes=[
                        *control.routes(self.stage),
                        *control_phones.routes(self.stage),
                        *control_account.routes(self.stage),
                    ],
                ),
            ]
        )

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return
            path: str = scope["path"]
            if path == "/" or path.startswith("/_emulator"):
                if _foreign(scope):
                    await _respond(
                        Answer(b'{"error":"another site may not control the emulator"}', 403), send
                    )
                    return
                await side(scope, receive, send)
                return
            await self._speak_graph(scope, receive, send)

        return app

    async def _speak_graph(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._graph.answer(Request(scope, receive))
        except Cut:
            await _abort(scope)
            return
        await _respond(answer, send)


class _GuestServer(uvicorn.Server):
    """A server that leaves the process's signals alone and waits for a word instead of looking at the clock."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self.leave = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        self.up.set()

    async def main_loop(self) -> None:
        await self.leave.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is idle, give the rest a moment, cut what is left."""
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(_LEAVE_TURNS):
            if not self.server_state.connections and not self.server_state.tasks:
                return
            await asyncio.sleep(0.01)
        for connection in list(self.server_state.connections):
            if isinstance(connection, HttpToolsProtocol):
                connection.transport.abort()

    def capture_signals(self) -> Any:
        return nullcontext()


def _all_edges() -> dict[tuple[str, str, str], Edge]:
    return {
        **message_edges.EDGES,
        **media_edges.EDGES,
        **template_edges.EDGES,
        **number_edges.EDGES,
        **business_edges.EDGES,
    }


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket; asyncio turns Nagle's algorithm off only where the protocol is named."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
    except OSError:
        listening.close()
        raise
    return listening


def _foreign(scope: Scope) -> bool:
    """Whether a page of another site asks: a browser on this machine must not be its tool."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin")
    return origin is not None and origin.split(b"://", 1)[-1] != headers.get(b"host")


async def _respond(answer: Answer, send: Send) -> None:
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
    ]
    headers += [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _abort(scope: Scope) -> None:
    abort = scope.get("extensions", {}).get(CUT_EXTENSION, {}).get("abort")
    if abort is not None:
        abort()
    # the loop must see the connection go before the application returns, or the server would answer 500
    for _ in range(3):
        await asyncio.sleep(0)
