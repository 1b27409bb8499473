"""A server for each story, to be ill-treated, and a gateway on it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.journeys.house import House, open_house
from tests.postgres import Postgres
from tests.postgres_failures.patient import Patient


@pytest.fixture
def database() -> Iterator[Postgres]:
    """A PostgreSQL of this test's own."""
    made = Postgres(settings={"deadlock_timeout": "200ms"}).start()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
async def house(tmp_path: Path, database: Postgres) -> AsyncIterator[House]:
    """A gateway on that database, with everything around it."""
    url = await asyncio.to_thread(database.new_database)
    async with open_house(tmp_path, {"store": {"url": url}}) as opened:
        yield opened


@pytest.fixture
async def patient(house: House, database: Postgres) -> AsyncIterator[Patient]:
    """Both, under a steady load."""
    observed = Patient(house, database, house.gateway.settings()["store"]["url"])
    try:
        yield observed
    finally:
        await observed.close()
