"""Running many seeds, and making a failing one small: a regression is the plan itself, with what it does not need
left out, so that it stays the same world when plans are drawn differently one day."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from waypost.simulation.plan import Plan, plan_of
from waypost.simulation.world import Outcome, new_engine, run
from waypost.store.rehearsal import MemoryEngine

# A world is full of cycles; collecting them now and then costs a tenth of letting the collector look by itself.
_COLLECT_EVERY = 20


class Regression(Struct, frozen=True):
    """A world in which an invariant was once broken."""

    invariant: str
    story: str
    plan: Plan


def outcomes(
    first: int, count: int, engine: MemoryEngine | None = None, draw: Callable[[int], Plan] = plan_of
) -> Iterator[Outcome]:
    """Run seeds one after the other; `draw` makes their plans."""
    engine = engine or new_engine()
    was_collecting = gc.isenabled()
    gc.disable()
    # What is there before the first world stays: collecting looks at the worlds alone.
    gc.collect()
    gc.freeze()
    try:
        for seed in range(first, first + count):
            yield run(draw(seed), engine)
            if seed % _COLLECT_EVERY == 0:
                gc.collect()
    finally:
        gc.unfreeze()
        if was_collecting:
            gc.enable()


def shrink(plan: Plan, invariant: str, engine: MemoryEngine) -> tuple[Plan, Outcome]:
    """Leave out of a failing plan what the same failure does not need: halves first, then single items."""
    outcome = run(plan, engine)
    size = max(1, len(plan.items) // 2)
    while True:
        start, found = 0, False
        while start < len(plan.items):
            smaller = plan.without(range(start, min(start + size, len(plan.items))))
            tried = run(smaller, engine)
            if tried.violation is not None and tried.violation.invariant == invariant:
                plan, outcome, found = smaller, tried, True
            else:
                start += size
        if size == 1 and not found:
            return plan, outcome
        size = max(1, size // 2)


def save(plan: Plan, outcome: Outcome, folder: Path) -> Path:
    """Write a regression file; gives where."""
    if outcome.violation is None:
        raise ValueError("a run without a violation is no regression")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{outcome.violation.invariant}_{plan.seed}.json"
    regression = Regression(outcome.violation.invariant, outcome.violation.story, plan)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(regression), indent=1) + b"\n")
    return path


def load(path: Path) -> Regression:
    """Read a regression file."""
    return msgspec.json.decode(path.read_bytes(), type=Regression)
