"""What every test stands on: where the browser is, and whether its absence is an error."""

import os
import shutil
import sys
from collections.abc import Iterator

import pytest
import structlog
from structlog._config import BoundLoggerLazyProxy
from tests import engines

# Rooms whose tests open stores: each such test runs on both engines. A module with `ONE_ENGINE = True` says why not.
_ON_BOTH = {"store", "outbox", "inbox", "webhooks", "conversations", "numbers", "queues", "contracts"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what opens a store on each engine."""
    room = metafunc.module.__file__.rpartition("/tests/")[2].partition("/")[0]
    if (
        room in _ON_BOTH
        and "tmp_path" in metafunc.fixturenames
        and not hasattr(metafunc.module, "ONE_ENGINE")
    ):
        metafunc.parametrize("engine", engines.NAMES, indirect=True)


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine this test runs on."""
    before, engines.current = engines.current, engines.named(getattr(request, "param", "sqlite"))
    try:
        yield engines.current.name
    finally:
        engines.current.close()
        engines.current = before


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a system Chromium. In CI its absence fails; elsewhere the marked tests are skipped, saying so."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    if os.environ.get("WAYPOST_CI"):
        pytest.fail("CI requires Chromium: .ci/run installs it")
    pytest.skip("no Chromium here: install the system's package to run the browser tests")


@pytest.fixture(autouse=True)
def fresh_logs() -> Iterator[None]:
    """What a command run within a test does to the log ends with the test: loggers keep what they first saw."""
    yield
    if structlog.get_config()["cache_logger_on_first_use"]:
        structlog.reset_defaults()
        for name, module in list(sys.modules.items()):
            if name.startswith("waypost"):
                for each in vars(module).values():
                    if isinstance(each, BoundLoggerLazyProxy):
                        vars(each).pop("bind", None)
