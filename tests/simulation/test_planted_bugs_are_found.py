"""Each of the planted bugs is found within 2,000 seeds, and the seed that finds it passes without the bug."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from msgspec.structs import replace
from tests.simulation import planted

from waypost.simulation import search
from waypost.simulation.plan import Fault, Plan, plan_of
from waypost.simulation.world import Outcome, new_engine, run
from waypost.store.rehearsal import MemoryEngine

_SEEDS_MAX = 2000
_FENCES = {"claims_are_fenced", "one_live_holder"}
_PROOF = {
    "answered_callbacks_are_applied",
    "at_rest",
    "at_rest_in_the_end",
    "unknown_is_resent_only_when_declared",
}
_BLIND = {"doubles_were_declared", "nobody_overtakes"}


def _where_every_word_arrives(seed: int) -> Plan:
    """A plan in which no wake-up is lost on its way, so that only a bug can lose one."""
    plan = plan_of(seed)
    items = tuple(each for each in plan.items if not (isinstance(each, Fault) and each.trouble == "deaf"))
    return replace(plan, lossy=0.0, items=items)


def _first_found(
    bug: Callable[[], AbstractContextManager[None]],
    first: int,
    draw: Callable[[int], Plan],
    engine: MemoryEngine,
) -> Outcome:
    with bug():
        outcomes = search.outcomes(first, _SEEDS_MAX + 1 - first, engine, draw)
        return next(each for each in outcomes if each.violation is not None)


def _bears_a_far_poll(plan: Plan, engine: MemoryEngine) -> bool:
    """Say whether the amplifier alone breaks nothing: a lane lost while suspended may rest on the poll."""
    with planted.a_far_poll():
        return run(plan, engine).violation is None


@pytest.mark.parametrize(
    ("bug", "invariants"),
    [
        (planted.a_lost_wakeup, {"nobody_starves"}),
        (planted.a_claim_without_epoch_check, _FENCES),
        (planted.a_receipt_matched_by_provider_id_only, _PROOF | _BLIND),
        (planted.a_cursor_moved_before_the_answer, {"marks_rest_on_answers"}),
        (planted.a_retry_after_unknown, _BLIND),
        (planted.a_lane_that_is_always_first, {"nobody_is_passed_over"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_bug_is_found(
    bug: Callable[[], AbstractContextManager[None]], invariants: set[str]
) -> None:
    engine, began = new_engine(), time.process_time()
    draw = _where_every_word_arrives if bug is planted.a_lost_wakeup else plan_of
    found = _first_found(bug, 1, draw, engine)
    while bug is planted.a_lost_wakeup and not _bears_a_far_poll(draw(found.seed), engine):
        found = _first_found(bug, found.seed + 1, draw, engine)
    assert found.violation is not None
    assert found.violation.invariant in invariants, found.violation.story
    assert run(draw(found.seed), engine).violation is None
    print(f"{bug.__name__}: seed {found.seed}, {time.process_time() - began:.1f} s: {found.violation.story}")
