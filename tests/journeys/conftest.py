"""One house for all stories of a run (each with people of its own); those that break theirs open one of their own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.journeys.house import House, open_house


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A gateway as a user has it."""
    async with open_house(tmp_path_factory.mktemp("house")) as opened:
        yield opened
