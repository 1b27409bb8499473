"""The benchmark runs, and its last line holds the published figures under their names."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
# The names issue and README quote; a renamed figure is a broken promise to whoever reads them by machine.
PUBLISHED = {
    "accept_durable_ratio",
    "end_to_end_store_ratio",
    "end_to_end_per_s",
    "accept_p50_ms",
    "accept_p99_ms",
    "whole_loop_per_s",
    "receipts_per_s",
    "cpu_s_per_1000",
    "rss_mb",
}


def the_module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3.0, 1.0, 2.0], 0.5, 2.0), ([1.0], 0.99, 1.0), ([float(n) for n in range(100)], 0.99, 99.0)],
)
def test_a_percentile_is_the_value_below_which_that_share_lies(
    values: list[float], share: float, expected: float
) -> None:
    assert the_module("machine").percentile(values, share) == expected


def test_every_contact_has_its_turn_before_one_has_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    load = the_module("load")
    requests = load.Requests("wp_live_key", "run")
    recipients = {requests.next().partition(b'"to":"')[2].partition(b'"')[0] for _ in range(load.CONTACTS)}
    assert len(recipients) == load.CONTACTS


def test_a_request_is_as_long_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    head, _, body = the_module("load").Requests("wp_live_key", "run").next().partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["type"] == "text"


@pytest.mark.full
def test_a_quick_run_ends_with_every_published_figure(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "end_to_end.py"), "--quick", "--json", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], capture_output=True, text=True, timeout=120, check=True
    )
    figures = json.loads(done.stdout.splitlines()[-1])
    assert set(figures) >= PUBLISHED
    assert all(figures[name] > 0 for name in PUBLISHED)
