"""kill -9 of processes and of the database, in the size a CI run can afford; `tests/full` runs ten minutes."""

import json
from pathlib import Path

import pytest
from tests.processes.cluster_story import Storm, storm_story
from tests.processes.kill_story import Plan


async def test_three_processes_and_the_database_killed_at_random_lose_and_double_nothing_silently(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan(kills=0, seed=20261123, numbers=50, per_second=30.0, contacts=400)
    # The database dies late and soon again: the first processes die undisturbed, and their takeovers are measured.
    figures = await storm_story(tmp_path, plan, Storm(40.0, (2.0, 5.0), (0.5, 0.6)))
    with capsys.disabled():
        print("\nkill -9 of three and the database:", json.dumps(figures))
