"""The benchmarks of several processes and of long histories run and end with the published figures."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.bench.test_end_to_end_bench import BENCH, the_module

# What the issue names; a renamed figure is a broken promise to whoever reads them by machine.
RATES = {"sqlite_1_per_s", "postgres_1_per_s", "postgres_2_per_s", "postgres_3_per_s"}
TAKEOVER = {"takeover_p50_s", "takeover_p99_s", "takeover_lease_s"}
COSTS = {"accept", "claim", "receipt", "list", "journal"}


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    return the_module("history")


def figures_of(program: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(BENCH / program), "--quick", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def test_the_ids_of_the_past_ascend_and_lie_before_those_of_now(history: ModuleType) -> None:
    now_ms = 1_795_000_000_000
    past = history.Past(50_000, now_ms)
    ids = [past.id_of("msg", ordinal) for ordinal in (1, 2, 100, 101, 49_999, 50_000)]
    assert ids == sorted(ids)
    assert ids[-1] < "msg_" + history.encode((now_ms + 1) << 80)
    assert {len(each) for each in ids} == {30}


def test_sql_and_python_give_the_past_the_same_ids(history: ModuleType, tmp_path: Path) -> None:
    past = history.Past(3, 1_795_000_000_123)
    database = history.SqliteDatabase(tmp_path / "some.sqlite")
    words = history._id_words("(1795000000123 - (3 - s.n) * 10)", database.words()["tail"])
    rows = database.run(f"SELECT {words['att']} FROM (SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3) s")
    assert [row[0] for row in rows] == [past.id_of("att", ordinal) for ordinal in (1, 2, 3)]


def test_a_curve_stands_for_every_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    picture = the_module("curves").draw(
        {"accept": {10: 1.0, 100: 1.5}, "list": {10: 90.0, 100: 95.0}}, "title"
    )
    assert picture.count("<polyline") == 2
    assert ">accept<" in picture
    assert ">list<" in picture


@pytest.mark.full
def test_a_quick_run_of_several_processes_ends_with_every_published_figure() -> None:
    figures = figures_of("scale.py", "--rounds", "1")
    assert set(figures) >= RATES | TAKEOVER
    assert all(figures[name] > 0 for name in RATES)
    assert figures["takeover_lease_s"] / 2 < figures["takeover_p50_s"] < figures["takeover_lease_s"] + 2


@pytest.mark.full
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_a_quick_run_over_histories_ends_with_every_cost(engine: str) -> None:
    figures = figures_of("growth.py", "--rounds", "1", "--engine", engine, "--messages", "1000,3000")
    assert set(figures["us"]) >= COSTS
    assert all(cost > 0 for row in figures["us"].values() for cost in row.values())
    assert set(figures["ratio"]) == set(figures["us"])
