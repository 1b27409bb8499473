"""What every test stands on: where the browser is, and whether its absence is an error."""

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a system Chromium. In CI its absence fails; elsewhere the marked tests are skipped, saying so."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    if os.environ.get("WAYPOST_CI"):
        pytest.fail("CI requires Chromium: .ci/run installs it")
    pytest.skip("no Chromium here: install the system's package to run the browser tests")
