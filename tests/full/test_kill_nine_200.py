"""kill -9 at 200 random instants under load, with every class and policy: the count the issue states."""

import json
import os
from pathlib import Path

import pytest
from tests.processes.kill_story import Plan, kill_story


@pytest.mark.full
async def test_two_hundred_kills_lose_nothing_and_double_nothing_silently(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("KILL_SEED", "200"))
    plan = Plan(
        kills=200, seed=seed, per_second=40.0, contacts=2_000, life_seconds_max=3.0,
        drain_seconds_max=240.0, slow_policies=True,
    )  # fmt: skip
    figures = await kill_story(tmp_path, plan)
    with capsys.disabled():
        print("\nkill -9:", json.dumps(figures))
