"""Load as even as a clock: every number sends at fixed moments, so that a gap in a lane is the gateway's."""

import asyncio
import contextlib
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
from tests.processes.harness import Api

from waypost.emulator import Emulator


@dataclass
class Metronome:
    """Sends from each number every `every_seconds`; a refused or cut connection is tried again, elsewhere."""

    api: Api
    numbers: list[str]
    every_seconds: float
    accepted: set[str] = field(default_factory=set)
    cut: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)  # every answer other than 202
    slowest_seconds: float = 0.0
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    @contextlib.asynccontextmanager
    async def ticking(self) -> AsyncIterator[None]:
        """Tick for as long as the block lasts; at its end every message is taken."""
        task = asyncio.create_task(self._tick())
        try:
            yield
        except BaseException:
            for each in self._under_way:
                each.cancel()
            raise
        finally:
            task.cancel()
            await asyncio.gather(task, *list(self._under_way), return_exceptions=True)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        step = self.every_seconds / len(self.numbers)
        at = loop.time()
        for turn, number in enumerate(itertools.cycle(self.numbers)):
            task = asyncio.create_task(self._send(number, turn))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            at += step
            await asyncio.sleep(max(0.0, at - loop.time()))

    async def _send(self, number: str, turn: int) -> None:
        # Nobody is written to twice: no pair's pace and no conversation's order makes a message wait.
        body = {
            "from": number, "to": f"+4917{30000000 + turn}", "class": "utility", "type": "text",
            "text": {"body": f"tick {turn}"},
        }  # fmt: skip
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            try:
                reply = await self.api.call("POST", "/v1/messages", body, key=f"tick-{turn}")
            except aiohttp.ClientError as fault:
                self.cut[type(fault).__name__] += 1
                await asyncio.sleep(0.02)
                continue
            if reply.status == 202:
                self.accepted.add(reply.body["id"])
                self.slowest_seconds = max(self.slowest_seconds, loop.time() - began)
                return
            self.refused.append(f"{reply.status} {reply.body}")
            await asyncio.sleep(0.1)


def longest_gaps(emulator: Emulator, since: datetime, until: datetime) -> dict[str, float]:
    """For each number the longest time in which the provider took nothing from it, in seconds."""
    moments: dict[str, list[datetime]] = defaultdict(lambda: [since])
    for line in emulator.world.ledger:
        if since <= line.at <= until:
            moments[line.phone_number_id].append(line.at)
    return {
        number: max(
            (later - earlier).total_seconds()
            for earlier, later in zip(times, [*times[1:], until], strict=True)
        )
        for number, times in moments.items()
    }


def sent_twice(emulator: Emulator, books: list[Any]) -> list[str]:
    """The messages that the provider took more than once."""
    of = {
        event["data"]["attempt_id"]: event["aggregate_id"]
        for event in books
        if event["type"] == "message.attempted"
    }
    counted = Counter(
        of.get(line.biz_opaque_callback_data or "", "nobody's") for line in emulator.world.ledger
    )
    return [each for each, count in counted.items() if count > 1]
