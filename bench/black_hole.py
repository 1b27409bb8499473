"""A subscriber that takes every connection and all that is sent, and never says a word."""

import asyncio
from typing import Any

import uvloop

from children import obey


class Swallow(asyncio.Protocol):
    """A connection that nothing comes back on."""

    met = 0

    def connection_made(self, transport: Any) -> None:
        """Count it."""
        Swallow.met += 1


async def counts() -> dict[str, int]:
    """Give how many connections came since the start."""
    return {"connections": Swallow.met}


async def main() -> None:
    """Listen and obey until the input ends."""
    server = await asyncio.get_running_loop().create_server(Swallow, "127.0.0.1", 0)
    await obey({"port": server.sockets[0].getsockname()[1]}, {"counts": counts})


if __name__ == "__main__":
    uvloop.run(main())
