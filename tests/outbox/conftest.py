"""One store with one number, for each test."""

import pytest
from tests.support import FakeClock, new_store, seed_number


@pytest.fixture
async def house(tmp_path):
    store, clock = new_store(tmp_path), FakeClock()
    return store, clock, await seed_number(store)
