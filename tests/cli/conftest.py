"""One gateway for the stories of a run, with a number in it; and an empty one for those about beginnings."""

from collections.abc import Iterator

import pytest
from tests.cli.house import House, open_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A serving gateway that has nothing yet."""
    with open_house(tmp_path_factory.mktemp("cli")) as opened:
        yield opened


@pytest.fixture(scope="module")
def number_id(house: House) -> str:
    """The emulator's number, added by command."""
    return house.add_number()
