"""A fixed set of seeds holds every promise; every world that once did not, does now; the same seed is the same run."""

from pathlib import Path

import pytest

from waypost.simulation import search
from waypost.simulation.plan import plan_of
from waypost.simulation.world import new_engine, run

_SEEDS = 250
_REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.json"))


def test_seeds_hold_every_promise() -> None:
    failed = [
        (each.seed, each.violation) for each in search.outcomes(1, _SEEDS) if each.violation is not None
    ]
    assert failed == []


def test_seeds_are_full_of_life() -> None:
    outcomes = list(search.outcomes(1, 40))
    assert all(each.steps > 50 for each in outcomes)
    assert sum(each.messages for each in outcomes) > 100


@pytest.mark.parametrize("path", _REGRESSIONS, ids=lambda path: path.stem)
def test_what_was_once_found_does_not_come_back(path: Path) -> None:
    outcome = run(search.load(path).plan, new_engine())
    assert outcome.violation is None, outcome.violation


def test_the_same_seed_is_the_same_run() -> None:
    engine = new_engine()
    for seed in range(1, 11):
        assert run(plan_of(seed), engine) == run(plan_of(seed), new_engine())
