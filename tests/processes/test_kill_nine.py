"""kill -9 under load, in the size a CI run can afford; `tests/full` runs the count the issue states."""

import json
from pathlib import Path

import pytest
from tests.processes.kill_story import Plan, kill_story, starve


async def test_twelve_kills_lose_nothing_and_double_nothing_silently(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = await kill_story(tmp_path, Plan(kills=12, seed=20261122, life_seconds_max=2.0))
    with capsys.disabled():
        print("\nkill -9:", json.dumps(figures))


async def test_a_disk_that_is_full_now_and_then_loses_nothing_and_doubles_nothing_silently(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = await kill_story(tmp_path, Plan(kills=6, seed=20261123, life_seconds_max=1.0), starve)
    with capsys.disabled():
        print("\nfull disk:", json.dumps(figures))
