"""What is measured, as a process of its own: a gateway put together for one figure.

`accept durable` and `accept memory` take messages and never send them, on the real store and without one; `send
memory` is the whole send path without a store. The real gateway is served by `serving.py`.
"""

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from children import obey
from seeding import MASTER_KEY
from waypost.app.execution import ThreadedExecution
from waypost.app.logs import set_up
from waypost.app.loops import Loop
from waypost.app.ports import SystemClock, SystemRandomness
from waypost.app.server import Face
from waypost.app.sockets import listen_tcp
from waypost.config import Config
from waypost.config.reading import load
from waypost.domain.ids import IdSource
from waypost.domain.keys import digest_of
from waypost.domain.retry import RetryRules
from waypost.outbox.accept import Acceptor
from waypost.outbox.holding import Holding
from waypost.outbox.sender import Sender
from waypost.store.codec import Codec
from waypost.store.database import Store
from waypost.store.sqlite import SqliteEngine
from waypost.transports.base import Access
from waypost.transports.cloud_api.api import CloudApi, new_wire
from waypost.web.api import messages
from waypost.web.asgi import application
from waypost.web.parts import Parts
from without_store import MemoryStore, SilentPreflight


class Subject:
    """One gateway, or the part of one that a figure needs."""

    def __init__(self, config: Config, key: str) -> None:
        self._config, self._key = config, key
        self._randomness, self._clock = SystemRandomness(), SystemClock()
        self._ids = IdSource(self._randomness)
        self._store: Any = None
        self._loop: asyncio.Task[None] | None = None
        self._closers: list[Callable[[], Awaitable[None]]] = []

    async def start(self, sends: bool, durable: bool) -> dict[str, Any]:
        """Start serving; gives the port."""
        config = self._config
        self._store = self._durable() if durable else self._memory()
        acceptor: Any = Acceptor(self._store, SilentPreflight(), self._ids, self._clock)  # type: ignore[arg-type]
        if sends:
            wire = new_wire(config.cloud_api, config.outbox.provider_timeout_seconds)
            self._closers.append(wire.close)
            sender = Sender(
                self._store,
                CloudApi(wire),
                self._access_of,
                self._clock,
                Holding(
                    self._store,
                    self._clock,
                    owner="bench",
                    alone=True,
                    lease_seconds=config.outbox.lease_seconds,
                    call_seconds=config.outbox.provider_timeout_seconds,
                ),
                in_flight_max=config.claims_in_flight_max,
                per_number_in_flight_max=config.outbox.per_number_in_flight_max,
                rules=RetryRules(),
            )
            self._loop = asyncio.create_task(Loop("sender", sender.step, sender.woken).run())
        parts = Parts(
            store=self._store,
            clock=self._clock,
            ids=self._ids,
            randomness=self._randomness,
            config=config,
            acceptor=acceptor,
        )
        door = listen_tcp(config.http)
        self._face = Face(application(parts, messages.ROUTES), door, 5, ())
        await self._face.start()
        return {"port": door.getsockname()[1]}

    def _durable(self) -> Store:
        config = self._config.store
        codec = Codec(MASTER_KEY, self._randomness)
        engine = SqliteEngine(Path(config.path), codec, self._ids, lambda: "bench")
        execution = ThreadedExecution(
            engine,
            batch_max=config.batch_rows_max,
            queue_max=config.queue_rows_max,
            readers=config.read_connections,
        )
        self._closers.append(execution.close)
        return Store(engine, execution)

    def _memory(self) -> MemoryStore:
        return MemoryStore(self._ids, digest_of(self._key), self._config.cloud_api.base_url)

    async def _access_of(self, number_id: str) -> Access:
        phone_number_id = f"1000000000{int(number_id[-2:]):03d}"
        cloud = self._config.cloud_api
        return Access(
            number_id,
            phone_number_id,
            cloud.base_url,
            cloud.graph_version,
            "Authorization: Bearer",
            "bench-token-of-the-length-that-tokens-have" * 4,
        )

    async def stop(self) -> None:
        """Take no more, commit what is queued."""
        await self._face.stop()
        if self._loop is not None:
            self._loop.cancel()
        for close in self._closers:
            await close()

    async def recorded(self) -> dict[str, int]:
        """Give how many messages have their outcome, and how many do not; without a store only."""
        return {"recorded": self._store.recorded, "open": self._store.open}

    async def drained(self, seconds: float) -> dict[str, Any]:
        """Return once every message has its outcome; without a store only."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds
        # Looked at, not told: being told would put a call of the benchmark's on the measured path.
        while self._store.open and loop.time() < ends_at:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        return {"at": loop.time(), **await self.recorded()}


async def main() -> None:
    """Serve and obey until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("accept", "send"))
    parser.add_argument("store", choices=("durable", "memory"))
    parser.add_argument("--key", required=True)
    asked = parser.parse_args()
    config = load(os.environ, None)
    set_up(config.log)
    subject = Subject(config, asked.key)
    ready = await subject.start(asked.what == "send", asked.store == "durable")
    await obey(ready, {"recorded": subject.recorded, "drained": subject.drained})
    await subject.stop()


if __name__ == "__main__":
    uvloop.run(main())
