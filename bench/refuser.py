"""Refuses everything: answers each request 429, as cheaply as can be. What a flood meets that disturbs nobody."""

import asyncio
from typing import Any

import httptools
import uvloop

from children import obey

_NO = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


class Refuser(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Be ready to refuse."""
        self._transport = transport

    def data_received(self, chunk: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(chunk)

    def on_message_complete(self) -> None:
        """Refuse it."""
        self._transport.write(_NO)


async def main() -> None:
    """Listen and obey until the input ends."""
    server = await asyncio.get_running_loop().create_server(Refuser, "127.0.0.1", 0)
    await obey({"port": server.sockets[0].getsockname()[1]}, {})


if __name__ == "__main__":
    uvloop.run(main())
