"""Closes the stores that a test of the web room opened."""

from collections.abc import Iterator

import pytest
from tests.web import client


@pytest.fixture(autouse=True)
def _stores_are_closed() -> Iterator[None]:
    yield
    while client.OPENED:
        client.OPENED.pop().close()
