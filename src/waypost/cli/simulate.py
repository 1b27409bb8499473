"""`waypost simulate`: seeded runs of the real workflows on virtual time, for developers."""

import asyncio
import logging
import multiprocessing
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.progress import Progress

from waypost.cli.command import FAILED, Desk, command
from waypost.simulation import search
from waypost.simulation.plan import plan_of
from waypost.simulation.world import Outcome, new_engine

# Small enough for a progress bar that moves, large enough that handing over costs nothing.
_SEEDS_A_TURN = 25
_SHOWN_MAX = 10
# Where a checkout keeps what was once found.
_REGRESSIONS = Path("tests/simulation/regressions")

_Seed = Annotated[int, typer.Option("--seed", min=0, help="The first seed.")]
_Runs = Annotated[int, typer.Option("--runs", min=1, help="How many seeds.")]
_Processes = Annotated[
    int, typer.Option("--processes", min=0, help="Worker processes; 0: one for each core.")
]
_Save = Annotated[
    Path | None,
    typer.Option(
        "--save", help=f"Where failing worlds go; in a checkout {_REGRESSIONS} unless told otherwise."
    ),
]


def declare(app: typer.Typer) -> None:
    """Add the command."""
    examples = ("waypost simulate --runs 1000", "waypost simulate --seed 4711 --runs 1")
    command(app, "simulate", *examples, remote=False)(simulate)


async def simulate(
    desk: Desk, seed: _Seed = 1, runs: _Runs = 1000, processes: _Processes = 0, save: _Save = None
) -> int | None:
    """Run seeds of simulated worlds, with crashes, pauses and lies; exit 1 when one breaks a promise.

    For developers of Waypost. A failing seed is shown, made small, and kept as a regression file.
    """
    began = time.monotonic()
    failed: list[Outcome] = []
    done = 0
    with Progress(disable=desk.screen.as_json or not desk.screen.is_terminal) as progress:
        bar = progress.add_task("seeds", total=runs)
        async for found, count in _all(seed, runs, processes or os.cpu_count() or 1):
            failed += found
            done += count
            progress.update(bar, advance=count, description=f"seeds, {len(failed)} failed")
    seconds = time.monotonic() - began
    folder = save or (_REGRESSIONS if _REGRESSIONS.parent.is_dir() else None)
    for outcome in failed[:_SHOWN_MAX]:
        await asyncio.to_thread(_show, desk, outcome, folder)
    figures = {
        "seeds": done,
        "failures": len(failed),
        "seeds_per_s": round(done / seconds, 1),
        "seconds": round(seconds, 1),
    }
    if desk.screen.as_json:
        desk.screen.document(figures, compact=True)
    else:
        desk.screen.line(
            f"{done} seeds, {len(failed)} failed, {figures['seeds_per_s']} a second, {figures['seconds']} s"
        )
    return FAILED if failed else None


async def _all(first: int, runs: int, processes: int) -> AsyncIterator[tuple[list[Outcome], int]]:
    # Sets of texts are walked in an order that Python draws for each process, unless told not to: the same seed must
    # be the same run everywhere.
    os.environ["PYTHONHASHSEED"] = "0"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=hush) as pool:
        turns: list[Future[tuple[list[Outcome], int]]] = [
            pool.submit(_turn, start, min(_SEEDS_A_TURN, first + runs - start))
            for start in range(first, first + runs, _SEEDS_A_TURN)
        ]
        try:
            for turn in turns:
                yield await asyncio.wrap_future(turn)
        finally:
            for turn in turns:
                turn.cancel()


def hush() -> None:
    """Let no workflow write to the log: in a simulation everything that can go wrong does."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _turn(first: int, count: int) -> tuple[list[Outcome], int]:
    return [each for each in search.outcomes(first, count) if each.violation is not None], count


def _show(desk: Desk, outcome: Outcome, folder: Path | None) -> None:
    hush()
    violation = outcome.violation
    if violation is None:
        return
    say = desk.screen.note if desk.screen.as_json else desk.screen.line
    small, ended = search.shrink(plan_of(outcome.seed), violation.invariant, new_engine())
    shown = ended.violation or violation
    say(f"seed {outcome.seed}: {violation.invariant}: {violation.story}")
    say(f"  shrunk to {len(small.items)} items of {len(plan_of(outcome.seed).items)}: {shown.story}")
    for line in shown.trace[-25:]:
        say(f"  {line}")
    if folder is not None and ended.violation is not None:
        say(f"  kept in {search.save(small, ended, folder)}")
