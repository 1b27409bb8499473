"""A failing world is made small, and what is kept of it fails in the same way when it is read again."""

from pathlib import Path

from tests.simulation import planted

from waypost.simulation import search
from waypost.simulation.plan import plan_of
from waypost.simulation.world import new_engine, run


def test_a_failing_world_is_made_small_and_kept(tmp_path: Path) -> None:
    engine = new_engine()
    with planted.a_retry_after_unknown():
        found = next(each for each in search.outcomes(1, 2000, engine) if each.violation is not None)
        assert found.violation is not None
        plan = plan_of(found.seed)
        small, outcome = search.shrink(plan, found.violation.invariant, engine)
        assert len(small.items) < len(plan.items) / 2
        kept = search.load(search.save(small, outcome, tmp_path))
        assert kept.plan == small
        again = run(kept.plan, engine).violation
        assert again is not None
        assert again.invariant == kept.invariant
    assert run(kept.plan, engine).violation is None
