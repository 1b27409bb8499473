"""How much one gateway does, on this machine, with the generator, the provider and the subscriber aboard.

Every figure is the median of short interleaved rounds; beside it stand its range, the CPU time the hypervisor took
and what the disk answered to fdatasync in the same round.

    python bench/end_to_end.py [--quick] [--json] [--rounds N]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import machine
from load import CONTACTS, NUMBERS
from rounds import CONNECTIONS, Bench, Found, Lengths

FULL = Lengths(accept_seconds=1.5, send_seconds=2.0, even_seconds=2.5, loop_seconds=1.5, receipts=8_000)
QUICK = Lengths(accept_seconds=0.5, send_seconds=0.6, even_seconds=0.8, loop_seconds=0.4, receipts=1_000)
ROUNDS, ROUNDS_QUICK = 9, 3
STEAL_PERCENT_MAX = 5.0

GOALS = {
    "accept_durable_ratio": "≥ 0.5",
    "end_to_end_store_ratio": "≥ 0.45",
    "end_to_end_per_s": "≥ 2,500",
    "accept_p50_ms": "≤ 2",
    "accept_p99_ms": "≤ 25",
    "receipts_per_s": "≥ 20,000",
}
NAMES = (
    "accept_durable_ratio", "end_to_end_store_ratio", "end_to_end_per_s", "accept_p50_ms", "accept_p99_ms",
    "whole_loop_per_s", "receipts_per_s", "cpu_s_per_1000", "rss_mb",
)  # fmt: skip
BESIDE = (
    "accept_durable_per_s", "accept_memory_per_s", "end_to_end_memory_per_s", "accept_durable_cpu",
    "accept_memory_cpu", "end_to_end_memory_cpu", "accept_cpu_ratio", "end_to_end_cpu_ratio",
    "fdatasync_p50_ms", "fdatasync_p99_ms", "steal_percent", "busy_cores",
)  # fmt: skip
NOT_MEASURED = (
    "TLS, on any side; a provider or subscriber that is slow or fails; media and templates; inbound messages",
    "contacts never seen before (each costs a contact, an alias and a conversation more)",
    "several processes, PostgreSQL, databases of many million rows, hours of load, a slow disk",
)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three very short rounds, under 45 s")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--rounds", type=int, help="another number of rounds")
    parser.add_argument("--folder", type=Path, help="where the databases go (default: a temporary folder)")
    asked = parser.parse_args()
    lengths = QUICK if asked.quick else FULL
    count = asked.rounds or (ROUNDS_QUICK if asked.quick else ROUNDS)
    begun_at = time.monotonic()
    _say(f"{count} rounds, {NUMBERS} numbers, {CONTACTS:,} contacts, {CONNECTIONS} connections")
    _say("  ".join(f"{name} {value}" for name, value in machine.versions().items()))
    with tempfile.TemporaryDirectory(prefix="waypost-bench-", dir=asked.folder) as folder:
        bench = Bench(Path(folder), lengths)
        try:
            bench.start()
            bench.warm_up()
            figures, flagged = run(bench, lengths, count, Path(folder))
            figures["rss_mb"] = [bench.rss_mb()]
        finally:
            bench.stop()
    report(figures, flagged, count)
    _say(f"\ntook {time.monotonic() - begun_at:.0f} s")
    if asked.json:
        print(json.dumps(summary(figures, flagged, count)))


def run(bench: Bench, lengths: Lengths, count: int, folder: Path) -> tuple[dict[str, list[float]], list[int]]:
    """Run the rounds; gives every figure's values and the rounds in which too much CPU time was stolen."""
    figures: dict[str, list[float]] = defaultdict(list)
    flagged: list[int] = []
    for turn in range(count):
        before, busy_before, begun_at = machine.Steal.now(), machine.busy_seconds(), time.monotonic()
        found = _round(bench, lengths, backwards=turn % 2 == 1)
        probed = machine.fdatasync_ms(folder, 0.2)
        found.figures["fdatasync_p50_ms"] = machine.percentile(probed, 0.5)
        found.figures["fdatasync_p99_ms"] = machine.percentile(probed, 0.99)
        found.figures["steal_percent"] = stolen = machine.Steal.now().percent_since(before)
        found.figures["busy_cores"] = (machine.busy_seconds() - busy_before) / (time.monotonic() - begun_at)
        if stolen > STEAL_PERCENT_MAX:
            flagged.append(turn + 1)
        for name, value in found.figures.items():
            figures[name].append(value)
        mark = f"  STOLEN {stolen:.1f} %" if stolen > STEAL_PERCENT_MAX else ""
        got = found.figures
        _say(
            f"round {turn + 1}: {got['end_to_end_per_s']:,.0f} end to end/s, {got['whole_loop_per_s']:,.0f} whole"
            f" loops/s, accept p50 {got['accept_p50_ms']:.2f} ms, steal {stolen:.1f} %{mark}"
        )
        for remark in found.remarks:
            _say(f"  NOTE {remark}")
    return figures, flagged


def _round(bench: Bench, lengths: Lengths, backwards: bool) -> Found:
    """Measure everything once; what is compared goes side by side, its order turned round every other time."""
    accepts: list[Callable[[], Found]] = [lambda: bench.accept("durable"), lambda: bench.accept("memory")]
    sends: list[Callable[[], Found]] = [
        lambda: bench.end_to_end(lengths.send_seconds),
        lambda: bench.end_to_end_memory(lengths.send_seconds),
    ]
    whole = Found({})
    if backwards:
        accepts.reverse()
        sends.reverse()
    for step in (
        *accepts,
        *sends,
        bench.evenly,
        bench.receipts,
        lambda: bench.whole_loop(lengths.loop_seconds),
    ):
        found = step()
        whole.figures |= found.figures
        whole.remarks += found.remarks
    got = whole.figures
    got["accept_durable_ratio"] = got["accept_durable_per_s"] / got["accept_memory_per_s"]
    got["accept_cpu_ratio"] = got["accept_memory_cpu"] / got["accept_durable_cpu"]
    got["end_to_end_store_ratio"] = got["end_to_end_per_s"] / got["end_to_end_memory_per_s"]
    got["end_to_end_cpu_ratio"] = got["end_to_end_memory_cpu"] / got["cpu_s_per_1000"]
    return whole


def report(figures: dict[str, list[float]], flagged: list[int], count: int) -> None:
    """Print medians, ranges and goals, and what the figures do not say."""
    _say(f"\n{'figure':<26}{'median':>12}{'least':>12}{'most':>12}   goal")
    for names in (NAMES, BESIDE):
        for name in names:
            values = figures[name]
            line = f"{name:<26}{_round_off(statistics.median(values)):>12}"
            line += f"{_round_off(min(values)):>12}{_round_off(max(values)):>12}"
            _say(f"{line}   {GOALS.get(name, '')}".rstrip())
        _say("")
    if flagged:
        _say(
            f"more than {STEAL_PERCENT_MAX} % of CPU time was stolen in {len(flagged)} of {count} rounds: {flagged}"
        )
    _say("not measured:")
    for each in NOT_MEASURED:
        _say(f"  - {each}")


def summary(figures: dict[str, list[float]], flagged: list[int], count: int) -> dict[str, object]:
    """Give the medians under their published names, and what to judge them by."""
    medians: dict[str, object] = {name: _median(figures[name]) for name in NAMES}
    beside = {name: _median(figures[name]) for name in BESIDE}
    return medians | {
        "beside": beside,
        "rounds": count,
        "rounds_stolen": flagged,
        "versions": machine.versions(),
    }


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 3)


def _round_off(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3
    return f"{value:,.{digits}f}"


def _say(text: str) -> None:
    print(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
