"""How costs grow with history: accept, claim, outcome, receipts, lists and journal reads, on databases that hold 10⁴ to
10⁷ finished messages, side by side in interleaved rounds.

The store's own operations are called, without the HTTP around them: whatever grows is seen undiluted. Each figure is
the median of the rounds, in microseconds per message (or per page read), with its ratio to the smallest database.

    python bench/growth.py [--quick] [--json] [--engine sqlite|postgres] [--messages 10000,100000] [--svg FILE]
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import machine
import seeding
from clusters import prepared, start_server
from curves import draw
from history import LINES_A_MESSAGE, Past, PostgresDatabase, SqliteDatabase, fill
from operations import NAMES, Subject
from waypost.app.ports import PooledRandomness, SystemRandomness
from waypost.domain.ids import IdSource
from waypost.store.codec import Codec
from waypost.store.engine import Engine
from waypost.store.postgres import PostgresEngine
from waypost.store.sqlite import SqliteEngine

SIZES, SIZES_QUICK = (10_000, 100_000, 1_000_000, 10_000_000), (10_000, 100_000)
ROUNDS, ROUNDS_QUICK = 15, 5
# With indexes, three journal lines and small contents; the rest is left to whoever else uses the disk.
BYTES_A_MESSAGE = 3_500
RATIO_MAX = 2.0
NOT_MEASURED = (
    "HTTP, JSON and the provider: they do not know how much is stored",
    "databases much larger than memory, on a slow disk; receipts for messages of any age come closest",
    f"{LINES_A_MESSAGE} journal lines a message, not the five of one that is told as sent, delivered and read",
    "tables of keys, callbacks and idempotency: the last two are swept by age, so they follow the rate",
)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small databases and few rounds, under 45 s")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--engine", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--messages", help="other sizes, separated by commas")
    parser.add_argument("--rounds", type=int, help="another number of rounds")
    parser.add_argument("--folder", type=Path, help="where SQLite's files go (default: a temporary folder)")
    parser.add_argument("--svg", type=Path, help="draw the curves into this file")
    asked = parser.parse_args()
    sizes = tuple(int(each) for each in asked.messages.split(",")) if asked.messages else None
    sizes = sizes or (SIZES_QUICK if asked.quick else SIZES)
    rounds = asked.rounds or (ROUNDS_QUICK if asked.quick else ROUNDS)
    begun_at = time.monotonic()
    _say("  ".join(f"{name} {value}" for name, value in machine.versions().items()))
    with tempfile.TemporaryDirectory(prefix="waypost-growth-", dir=asked.folder) as folder:
        sizes = _that_fit(sizes, Path(folder))
        engines, close = _engines(asked.engine, sizes, Path(folder))
        try:
            costs = measure(engines, rounds, Path(folder))
        finally:
            close()
    medians = {name: {size: statistics.median(costs[name, size]) for size in sizes} for name in NAMES}
    report(medians, asked.engine)
    if asked.svg:
        asked.svg.write_text(draw(medians, f"{asked.engine}: µs, by messages stored"))
    _say(f"\ntook {time.monotonic() - begun_at:.0f} s")
    if asked.json:
        rounded = {
            name: {str(size): round(us, 1) for size, us in row.items()} for name, row in medians.items()
        }
        print(
            json.dumps({"engine": asked.engine, "rounds": rounds, "us": rounded, "ratio": _ratios(medians)})
        )


def _that_fit(sizes: tuple[int, ...], folder: Path) -> tuple[int, ...]:
    """Leave out what the disk has no room for, and say so."""
    free = shutil.disk_usage(folder).free * 0.8
    fitting: list[int] = []
    for size in sorted(sizes):
        if (sum(fitting) + size) * BYTES_A_MESSAGE > free:
            _say(f"NOTE {size:,} messages are left out: the disk has no room")
            continue
        fitting.append(size)
    return tuple(fitting)


def _engines(
    kind: str, sizes: tuple[int, ...], folder: Path
) -> tuple[list[tuple[Engine, Past]], Callable[[], None]]:
    """Make and fill a database for each size; gives their engines and how to close it all."""
    plain = folder / "plain"
    plain.mkdir()
    seeding.seed(plain, "http://127.0.0.1:1")
    randomness = SystemRandomness()
    codec = Codec(seeding.MASTER_KEY, randomness)
    engines: list[tuple[Engine, Past]] = []
    if kind == "sqlite":
        for size in sizes:
            path = Path(shutil.copytree(plain, folder / str(size))) / "waypost.sqlite"
            past = fill(SqliteDatabase(path), size, _say)
            _say(f"  {path.stat().st_size / size:,.0f} bytes a message")
            ids = IdSource(PooledRandomness())
            engines.append((SqliteEngine(path, codec, ids, lambda: "bench", owner="bench"), past))

        def close() -> None:
            for engine, _ in engines:
                engine.close()

        return engines, close
    server = start_server()
    template = prepared(server, plain).rpartition("/")[2]
    for size in sizes:
        url = server.new_database(template)
        past = fill(PostgresDatabase(url), size, _say)
        ((used,),) = server.run("SELECT pg_database_size(current_database())", url.rpartition("/")[2])
        _say(f"  {used / size:,.0f} bytes a message")
        ids = IdSource(PooledRandomness())
        engine = PostgresEngine(url, codec, ids, lambda: "bench", owner="bench", pause=time.sleep)
        engines.append((engine, past))
    return engines, server.remove


def measure(
    engines: Sequence[tuple[Engine, Past]], rounds: int, folder: Path
) -> dict[tuple[str, int], list[float]]:
    """Run everything on each database once a round, in turning order; gives every cost by name and size."""
    subjects = [(past.count, Subject(engine, past)) for engine, past in engines]
    for _, subject in subjects:
        # Plans are made, caches are warm, prepared statements have their generic plan.
        for _ in range(3):
            subject.round()
    costs: dict[tuple[str, int], list[float]] = defaultdict(list)
    for turn in range(rounds):
        before = machine.Steal.now()
        first = turn % len(subjects)
        for size, subject in subjects[first:] + subjects[:first]:
            for name, microseconds in subject.round().items():
                costs[name, size].append(microseconds)
        probed = machine.percentile(machine.fdatasync_ms(folder, 0.1), 0.5)
        _say(
            f"round {turn + 1}: steal {machine.Steal.now().percent_since(before):.1f} %, fdatasync p50 {probed:.2f} ms"
        )
    return costs


def report(medians: dict[str, dict[int, float]], engine: str) -> None:
    """Print the table that `docs/performance.md` holds."""
    sizes = list(next(iter(medians.values())))
    _say(f"\n{engine}, microseconds\n")
    _say("| | " + " | ".join(f"{size:,}" for size in sizes) + " | ratio |")
    _say("|---|" + "---|" * (len(sizes) + 1))
    ratios = _ratios(medians)
    for name, row in medians.items():
        figures = " | ".join(f"{us:,.0f}" if us >= 10 else f"{us:.1f}" for us in row.values())
        mark = "  ← grows" if ratios[name] > RATIO_MAX else ""
        _say(f"| {name}: {NAMES[name]} | {figures} | {ratios[name]:.2f}{mark} |")
    _say("\nnot measured:")
    for each in NOT_MEASURED:
        _say(f"  - {each}")


def _ratios(medians: dict[str, dict[int, float]]) -> dict[str, float]:
    """Give the cost at the largest size over the cost at the smallest."""
    return {name: round(row[max(row)] / row[min(row)], 2) for name, row in medians.items()}


def _say(text: str) -> None:
    print(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
