"""What more processes bring: messages end to end with 1, 2 and 3 gateways on PostgreSQL and 1 on SQLite, and how soon
a killed gateway's lanes are sent from again.

All of it on this one machine, in one interleaved run; beside each rate stand the CPU seconds it cost, of the gateways
and of the database, because on a machine with few cores those are what scales.

    python bench/scale.py [--quick] [--json] [--rounds N] [--kills N] [--lease-seconds S]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg

import machine
import noisy_neighbour
import seeding
from children import Child
from clusters import (
    Cluster,
    Takeovers,
    WriterTurns,
    databases,
    prepared,
    run_program,
    server_cpu_seconds,
    start_server,
)
from history import SqliteDatabase, fill
from load import CONTACTS, NUMBERS
from rounds import OPEN, Gateway

PROCESSES = (1, 2, 3)
ROUNDS, ROUNDS_QUICK = 9, 2
SECONDS, SECONDS_QUICK = 3.0, 0.5
KILLS, KILLS_QUICK = 8, 1
# Short, so that a run sees many takeovers; the default lease is 30 s, and the time grows with it one to one.
LEASE_SECONDS, LEASE_SECONDS_QUICK = 4.0, 2.0
TAKEOVER_LOAD_PER_S = 200
# Finished messages in every database: a gateway is measured in the middle of its life, and PostgreSQL with statistics.
HISTORY, HISTORY_QUICK = 100_000, 5_000
# The same load for all, and enough of it: writers that take turns commit larger groups when more waits for them.
CONNECTIONS = 192
STEAL_PERCENT_MAX = 5.0
RATES = ("sqlite_1", "postgres_1", "postgres_2", "postgres_3")
NOT_MEASURED = (
    "machines of their own for each process and for the database: everything shares this machine's cores, so a rate"
    " stops growing where the cores end; the CPU seconds tell what more cores would bring",
    "a network between gateway and database, a synchronous standby (each adds its round trip to every commit)",
    "TLS, subscribers, receipts and inbound messages (bench/end_to_end.py has the whole loop, on SQLite)",
    "databases with a longer history than some 100,000 messages (bench/growth.py)",
)


class Scale:
    """Every process of the benchmark, and the measurements on them."""

    def __init__(self, folder: Path, lease_seconds: float, history: int) -> None:
        self._folder, self._lease, self._history = folder, lease_seconds, history
        self._stops: list[Callable[[], Any]] = []
        self.clusters: dict[int, Cluster] = {}
        self.takeovers: Takeovers | None = None

    def start(self) -> None:
        """Make the databases (prepared once, then copied) and start everything but the takeovers' gateways."""
        self._provider = self._child(
            "provider_sink.py", "--secret", seeding.APP_SECRET, "--waba", seeding.META_WABA_ID
        )
        self._url = f"http://127.0.0.1:{self._provider.ready['port']}"
        plain = self._folder / "sqlite"
        plain.mkdir()
        self._key = seeding.seed(plain, self._url)
        self._load = self._child("spread_load.py", "--key", self._key)
        self.server = start_server()
        self._stops.append(self.server.remove)
        fill(SqliteDatabase(plain / "waypost.sqlite"), self._history, lambda line: None)
        template = prepared(self.server, plain, self._history)
        *urls, self._takeover_database = databases(self.server, template, len(PROCESSES) + 1)
        self._sqlite = Gateway(plain, self._url, self._key)
        self._stops.append(self._sqlite.stop)
        self._urls = dict(zip(PROCESSES, urls, strict=True))
        for count, url in self._urls.items():
            self.clusters[count] = self._cluster(f"postgres-{count}", url, count)
        self._sqlite.wait_until_ready()

    def _cluster(self, name: str, url: str, count: int, **over: str) -> Cluster:
        cluster = Cluster(self._folder / name, url, self._url, self._key, over)
        self._stops.append(cluster.stop)
        cluster.add(count)
        return cluster

    def _child(self, program: str, *arguments: str) -> Child:
        child = Child(program, *arguments)
        self._stops.append(child.stop)
        return child

    def end_to_end(self, name: str, seconds: float) -> tuple[dict[str, float], list[str]]:
        """Offer all that is taken, from the first request until the last outcome is recorded; gives figures and
        what must be said about them."""
        if name == "sqlite_1":
            ports, cpu = [self._sqlite.port], lambda: machine.cpu_seconds(self._sqlite.pid)
            wait: Callable[..., float] = self._sqlite.wait_until_none
        else:
            cluster = self.clusters[int(name[-1])]
            cluster.wait_until_spread()
            ports, cpu, wait = cluster.ports, cluster.cpu_seconds, cluster.wait_until_none
        self._provider.ask("forget")
        taken_before = self._provider.ask("counts")["taken"]
        cpu_before, server_before = cpu(), server_cpu_seconds(self.server)
        begun_at = time.monotonic()
        told = self._load.ask("closed", port=ports, connections=CONNECTIONS, seconds=seconds)
        ended_at = wait(*OPEN)
        per_1000 = 1000 / len(told["taken_ms"])
        figures = {
            f"{name}_per_s": len(told["taken_ms"]) / (ended_at - begun_at),
            f"{name}_gateway_cpu_s_per_1000": (cpu() - cpu_before) * per_1000,
        }
        if name != "sqlite_1":
            spent = server_cpu_seconds(self.server) - server_before
            figures[f"{name}_database_cpu_s_per_1000"] = spent * per_1000
        taken = self._provider.ask("counts")["taken"] - taken_before
        remarks = []
        if set(told["statuses"]) != {"202"}:
            remarks.append(f"{name}: answers {told['statuses']}")
        if taken != len(told["taken_ms"]):
            remarks.append(f"{name}: {len(told['taken_ms'])} accepted, but the provider took {taken}")
        return figures, remarks

    def writer_turns(self, count: int, seconds: float) -> dict[str, float]:
        """Offer all that is taken and look how much of the time one of the processes holds the writers' lock.

        Rate over share is what one database would carry if the processes cost nothing: the ceiling of writers that take
        turns. On a machine whose cores are all busy a holder also waits for a core, so the true one is higher.
        """
        with WriterTurns(self.server, self._urls[count]) as turns:
            found, _ = self.end_to_end(f"postgres_{count}", seconds)
        return {
            f"postgres_{count}_writer_share": turns.share,
            f"postgres_{count}_writer_ceiling_per_s": found[f"postgres_{count}_per_s"]
            / max(turns.share, 0.01),
        }

    def idle_percent(self, seconds: float) -> float:
        """Give what all the waiting gateways and the server together use of one core: it burdens every rate."""
        before = self._all_cpu()
        time.sleep(seconds)
        return 100 * (self._all_cpu() - before) / seconds

    def _all_cpu(self) -> float:
        gateways = sum(each.cpu_seconds() for each in self.clusters.values())
        return gateways + machine.cpu_seconds(self._sqlite.pid) + server_cpu_seconds(self.server)

    def open_takeovers(self) -> None:
        """Stop what the rates were measured on, and start three gateways with a short lease."""
        rated = [*self.clusters.values(), self._sqlite]
        for each in rated:
            self._stops.remove(each.stop)
        with ThreadPoolExecutor(len(rated)) as pool:
            list(pool.map(lambda each: each.stop(), rated))
        self.clusters.clear()
        cluster = self._cluster(
            "takeover",
            self._takeover_database,
            1,
            WAYPOST_OUTBOX_LEASE_SECONDS=str(self._lease),
            WAYPOST_OUTBOX_PROVIDER_TIMEOUT_SECONDS=str(self._lease / 2),
        )
        # One after the other: it must be known which of them holds which lanes.
        cluster.add()
        cluster.add()
        self.takeovers = Takeovers(cluster, self._load, TAKEOVER_LOAD_PER_S, self._lease)

    def stop(self) -> None:
        """Stop every process, the last one started first."""
        for stop in reversed(self._stops):
            stop()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="two very short rounds and one kill, no neighbour"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--rounds", type=int, help="another number of rounds")
    parser.add_argument("--kills", type=int, help="another number of takeovers")
    parser.add_argument("--lease-seconds", type=float, help="another lease for the takeovers")
    asked = parser.parse_args()
    count = asked.rounds or (ROUNDS_QUICK if asked.quick else ROUNDS)
    kills = asked.kills or (KILLS_QUICK if asked.quick else KILLS)
    seconds = SECONDS_QUICK if asked.quick else SECONDS
    lease = asked.lease_seconds or (LEASE_SECONDS_QUICK if asked.quick else LEASE_SECONDS)
    begun_at = time.monotonic()
    _say(
        f"{count} rounds, {NUMBERS} numbers, {CONTACTS:,} contacts, {CONNECTIONS} connections, {kills} kills"
    )
    _say("  ".join(f"{name} {value}" for name, value in versions().items()))
    with tempfile.TemporaryDirectory(prefix="waypost-bench-") as folder:
        scale = Scale(Path(folder), lease, HISTORY_QUICK if asked.quick else HISTORY)
        try:
            scale.start()
            figures, flagged = rates(scale, count, seconds, Path(folder))
            times = takeovers(scale, kills)
        finally:
            scale.stop()
    report(figures, flagged, count)
    found = summary(figures, flagged, count)
    found |= {
        "takeover_p50_s": round(machine.percentile(times, 0.5), 3),
        "takeover_p99_s": round(machine.percentile(times, 0.99), 3),
        "takeover_lease_s": lease,
        "takeover_lanes": len(times),
    }
    _say(
        f"takeover, kill -9 to the first claim of each lane by a successor: p50 {found['takeover_p50_s']} s,"
        f" p99 {found['takeover_p99_s']} s of {len(times)} lanes; lease {lease} s, goal p99 ≤ {lease + 2} s"
    )
    if asked.quick:
        _say("noisy neighbour: left out; bench/noisy_neighbour.py --quick")
    else:
        ratio = noisy_neighbour.measure()
        found["noisy_neighbour_p99_ratio"] = round(ratio, 3)
        _say(f"noisy neighbour: p99 of the others ×{ratio:.2f}, goal ≤ 1.5")
    _say("\nnot measured:")
    for each in NOT_MEASURED:
        _say(f"  - {each}")
    _say(f"\ntook {time.monotonic() - begun_at:.0f} s")
    if asked.json:
        print(json.dumps(found))


def rates(scale: Scale, count: int, seconds: float, folder: Path) -> tuple[dict[str, list[float]], list[int]]:
    """Run the rounds, each time in another order; gives every figure's values and the rounds too much was stolen in."""
    for name in RATES:
        scale.end_to_end(name, min(seconds, 0.5))
    figures: dict[str, list[float]] = defaultdict(list)
    figures["idle_percent_of_a_core"] = [scale.idle_percent(2 * seconds)]
    for processes in PROCESSES:
        for name, value in scale.writer_turns(processes, seconds).items():
            figures[name] = [value]
    flagged: list[int] = []
    for turn in range(count):
        before = machine.Steal.now()
        got: dict[str, float] = {}
        for name in RATES[turn % 4 :] + RATES[: turn % 4]:
            found, remarks = scale.end_to_end(name, seconds)
            got |= found
            for remark in remarks:
                _say(f"  NOTE {remark}")
        probed = machine.fdatasync_ms(folder, 0.2)
        got["fdatasync_p50_ms"] = machine.percentile(probed, 0.5)
        got["fdatasync_p99_ms"] = machine.percentile(probed, 0.99)
        got["steal_percent"] = stolen = machine.Steal.now().percent_since(before)
        for of in ("postgres_2", "postgres_3", "sqlite_1"):
            got[f"{of}_over_postgres_1"] = got[f"{of}_per_s"] / got["postgres_1_per_s"]
        if stolen > STEAL_PERCENT_MAX:
            flagged.append(turn + 1)
        for name, value in got.items():
            figures[name].append(value)
        mark = f"  STOLEN {stolen:.1f} %" if stolen > STEAL_PERCENT_MAX else ""
        told = ", ".join(f"{name} {got[f'{name}_per_s']:,.0f}/s" for name in RATES)
        _say(f"round {turn + 1}: {told}, steal {stolen:.1f} %{mark}")
    return figures, flagged


def takeovers(scale: Scale, kills: int) -> list[float]:
    """Kill one of three, again and again; gives the seconds to the first claim of every lane of the dead."""
    scale.open_takeovers()
    assert scale.takeovers is not None
    times: list[float] = []
    for turn in range(kills):
        found, remarks = scale.takeovers.one(turn)
        times += found
        _say(f"kill {turn + 1}: {len(found)} lanes, {min(found):.2f} s to {max(found):.2f} s")
        for remark in remarks:
            _say(f"  NOTE {remark}")
    return times


def report(figures: dict[str, list[float]], flagged: list[int], count: int) -> None:
    """Print medians and ranges."""
    _say(f"\n{'figure':<36}{'median':>12}{'least':>12}{'most':>12}")
    for name in sorted(figures, key=_place):
        values = figures[name]
        line = f"{name:<36}{_round_off(statistics.median(values)):>12}"
        _say(f"{line}{_round_off(min(values)):>12}{_round_off(max(values)):>12}")
    if flagged:
        _say(
            f"more than {STEAL_PERCENT_MAX} % of CPU time was stolen in {len(flagged)} of {count}: {flagged}"
        )
    _say("")


def _place(name: str) -> tuple[int, str]:
    kinds = ("_per_s", "_over_postgres_1", "_gateway_cpu_s_per_1000", "_database_cpu_s_per_1000")
    return next((turn for turn, kind in enumerate(kinds) if name.endswith(kind)), len(kinds)), name


def summary(figures: dict[str, list[float]], flagged: list[int], count: int) -> dict[str, Any]:
    """Give the medians under their published names, and what to judge them by."""
    medians: dict[str, Any] = {name: round(statistics.median(figures[name]), 3) for name in figures}
    return medians | {"rounds": count, "rounds_stolen": flagged, "versions": versions()}


def versions() -> dict[str, str]:
    """Give what the figures depend on."""
    return machine.versions() | {
        "psycopg": psycopg.__version__,
        "postgresql": run_program("postgres", "--version").split()[2],
    }


def _round_off(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3
    return f"{value:,.{digits}f}"


def _say(text: str) -> None:
    print(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
