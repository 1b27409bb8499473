"""Serves an ASGI application on a socket with uvicorn (httptools), leaving signals and the loop to the app."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp


class _Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: one place decides when the whole process stops."""
        yield


class Face:
    """One application on one socket."""

    def __init__(
        self, application: ASGIApp, door: socket.socket, drain_seconds: float, proxies: tuple[str, ...]
    ) -> None:
        self._door = door
        self._server = _Quiet(
            uvicorn.Config(
                application,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(proxies),
                forwarded_allow_ips=list(proxies),
                timeout_graceful_shutdown=max(1, int(drain_seconds)),
                timeout_keep_alive=65,
                backlog=2048,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return once connections are answered."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._door]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError("the server ended before it started")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Take no new connection, answer what is under way, within the drain's time."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._door.close()
