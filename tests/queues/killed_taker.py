"""A process that takes one message from a queue, commits it, and is killed before it can tell the broker so."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.queues.house import House
from tests.queues.outside import OUTSIDES
from tests.queues.servers import NatsServer
from tests.support import FakeClock, SeededNumber, new_store

from waypost.app.brokers import taking


async def main(name: str, url: str, queue: str, folder: str, key_id: str) -> None:
    class There(NatsServer):
        """The broker that runs already."""

        def __init__(self) -> None:
            pass

        url = ""

    There.url = url
    number = SeededNumber("ten_1", "num_1", "app_1", "wab_1", "pfo_1", "100000000001")
    house = House(new_store(Path(folder), seed=3), number, key_id, FakeClock())
    accept = taking(house.acceptor)

    async def take(draft, who, claim):
        answer = await accept(draft, who, claim)
        assert answer.status == 202
        # Time for whatever was told to the broker too early to leave this process.
        await asyncio.sleep(0.1)
        os.kill(os.getpid(), signal.SIGKILL)

    await house.ingress(OUTSIDES[name](There()).source(queue), take=take).step()


asyncio.run(main(*sys.argv[1:]))
