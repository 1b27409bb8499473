"""Each of five planted bugs is found within 2,000 seeds, and the seed that finds it passes without the bug."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from tests.simulation import planted

from waypost.simulation import search
from waypost.simulation.plan import plan_of
from waypost.simulation.world import new_engine, run

_SEEDS_MAX = 2000
_FENCES = {"claims_are_fenced", "one_live_holder"}
_PROOF = {
    "answered_callbacks_are_applied",
    "at_rest",
    "at_rest_in_the_end",
    "unknown_is_resent_only_when_declared",
}
_BLIND = {"doubles_were_declared", "nobody_overtakes"}


@pytest.mark.parametrize(
    ("bug", "invariants"),
    [
        (planted.a_lost_wakeup, {"nobody_starves"}),
        (planted.a_claim_without_epoch_check, _FENCES),
        (planted.a_receipt_matched_by_provider_id_only, _PROOF | _BLIND),
        (planted.a_cursor_moved_before_the_answer, {"marks_rest_on_answers"}),
        (planted.a_retry_after_unknown, _BLIND),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_bug_is_found(
    bug: Callable[[], AbstractContextManager[None]], invariants: set[str]
) -> None:
    engine, began = new_engine(), time.process_time()
    with bug():
        found = next(each for each in search.outcomes(1, _SEEDS_MAX, engine) if each.violation is not None)
    assert found.violation is not None
    assert found.violation.invariant in invariants, found.violation.story
    assert run(plan_of(found.seed), engine).violation is None
    print(f"{bug.__name__}: seed {found.seed}, {time.process_time() - began:.1f} s: {found.violation.story}")
