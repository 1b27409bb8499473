"""A gateway on PostgreSQL under load, watched while its database is ill: what it answers, and what it has lost."""

import asyncio
import itertools
import random
from collections import Counter
from typing import Any

import aiohttp
import psycopg
from tests.journeys.house import House
from tests.postgres import Postgres, name_of
from tests.processes.harness import Api, Reply, hurry_callbacks, until
from tests.processes.kill_story import Plan, Run, drain, receipts_read
from tests.processes.load import Load
from tests.processes.verdict import (
    TAKEN,
    judge_journal,
    judge_ledger,
    judge_messages,
    judge_receipts,
    open_books,
)


class Patient:
    """The gateway, its database, and callers who insist with their Idempotency-Key."""

    def __init__(self, house: House, database: Postgres, url: str) -> None:
        self.house, self.database, self.url = house, database, url
        people = [house.person() for _ in range(200)]
        chance = random.Random(7)
        self.load = Load(house.api, [house.number["id"]], people, chance, 40.0)
        self._run = Run(
            Plan(0, 7), house.emulator, [house.gateway], house.sinks, chance, house.api, self.load, {}
        )
        # Apart from the load, whose connections may all wait.
        key = house.api.http.headers["Authorization"].removeprefix("Bearer ")
        self.probe = Api(house.api.base, key)
        self._loading = asyncio.create_task(self.load.run())
        self._keys = (f"probe-{turn}" for turn in itertools.count())

    async def sql(self, text: str) -> list[Any]:
        """Do something to the database, past the product."""
        return await asyncio.to_thread(self.database.run, text, name_of(self.url))

    async def session(self) -> psycopg.AsyncConnection[Any]:
        """Give a foreign session in the product's database, within a transaction once it does something."""
        return await psycopg.AsyncConnection.connect(self.database.socket_url(name_of(self.url)))

    async def works(self, seconds_max: float = 15) -> None:
        """Wait until `/readyz` says so, and a new message is taken and sent."""
        await self.ready(200, seconds_max)
        key = self._new_key()

        async def accepted() -> bool:
            return await self.load.ask(key, self.load.bodies[key])

        await until(accepted, seconds_max, "new work is accepted again", 0.1)

        async def sent() -> bool:
            hurry_callbacks(self.house.emulator)
            reply = await self.probe.call("GET", f"/v1/messages/{self.load.accepted[key]}")
            return reply.status == 200 and reply.body["message"]["status"] in TAKEN

        await until(sent, seconds_max, "and is sent", 0.1)

    def _new_key(self) -> str:
        key = next(self._keys)
        person = self.house.person()
        self.load.bodies[key] = self.house.draft(person, f"of {key}", **{"class": "otp"})
        return key

    async def ready(self, status: int, seconds_max: float = 10) -> None:
        """Wait until `/readyz` answers so."""
        seen: Counter[int] = Counter()

        async def says() -> bool:
            try:
                seen[(await self.probe.call("GET", "/readyz")).status] += 1
            except (aiohttp.ClientError, TimeoutError):
                return False
            return bool(seen[status])

        try:
            await until(says, seconds_max, f"/readyz says {status}", 0.1)
        except AssertionError as fault:
            raise AssertionError(f"{fault}, but {dict(seen)}") from None

    async def refused(self, *codes: str, seconds_max: float = 20) -> Reply:
        """Ask until it is refused with one of these codes; gives the answer."""
        seen: Counter[str] = Counter()
        last: Reply | None = None

        async def is_refused() -> bool:
            nonlocal last
            # A key each: one that is answered 202 was a message like any other.
            key = self._new_key()
            last = await self.probe.call("POST", "/v1/messages", self.load.bodies[key], key=key)
            if last.status == 202:
                self.load.accepted[key] = last.body["id"]
            seen[str(last.body.get("code", last.status))] += 1
            return last.status == 503 and last.body["code"] in codes

        try:
            await until(is_refused, seconds_max, f"503 {codes}", 0.1)
        except AssertionError as fault:
            raise AssertionError(f"{fault}; but {dict(seen)}") from None
        assert last is not None
        assert "Retry-After" in last.headers
        return last

    async def lost_nothing(self) -> None:
        """End the load: every key has its 202, every message its end, and the books agree."""
        for key in self.load.bodies.keys() - self.load.accepted.keys():
            if key.startswith("probe"):
                await until(lambda key=key: self.load.ask(key, self.load.bodies[key]), 20, f"{key} is taken")
        await drain(self._run)
        await self._loading
        await receipts_read(self._run)
        books = await open_books(self.house.api, self.house.emulator)
        judge_messages(books, self.load)
        judge_ledger(books)
        judge_receipts(books, self.house.emulator)
        judge_journal(books)
        assert not books.faults, "\n".join(books.faults[:20])

    async def close(self) -> None:
        """End what is left of the load."""
        self._loading.cancel()
        left = [self._loading, *self.load._tasks]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.probe.close()
