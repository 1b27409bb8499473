"""Facts about the machine a figure was taken on: versions, stolen CPU time, what its disk answers to fdatasync, and
what a process has used.
"""

import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import apsw

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PACKAGES = ("uvicorn", "uvloop", "httptools", "msgspec", "aiohttp", "starlette", "apsw")


def versions() -> dict[str, str]:
    """Give what the figures depend on."""
    found = {"python": platform.python_version(), "sqlite": apsw.sqlite_lib_version()}
    found |= {name: version(name) for name in _PACKAGES}
    found["linux"] = platform.release()
    found["cpu"] = _cpu_name()
    found["cores"] = str(os.cpu_count())
    return found


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


@dataclass(frozen=True, slots=True)
class Steal:
    """The machine's CPU counters at one moment, in ticks."""

    stolen: int
    idle: int
    total: int

    @classmethod
    def now(cls) -> "Steal":
        """Read them."""
        ticks = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return cls(ticks[7], ticks[3] + ticks[4], sum(ticks))

    def percent_since(self, before: "Steal") -> float:
        """Give what the hypervisor took since `before`, in percent of all time."""
        return 100.0 * (self.stolen - before.stolen) / max(1, self.total - before.total)


def cpu_seconds(pid: int) -> float:
    """Give the CPU time a process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


def busy_seconds() -> float:
    """Give the CPU time every process of the machine has used, to see what others took meanwhile."""
    ticks = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4] - ticks[7]) / _TICKS_A_SECOND


def rss_mb(pid: int) -> float:
    """Give the memory a process holds, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def fdatasync_ms(folder: Path, seconds: float) -> list[float]:
    """Overwrite 4 KiB and fdatasync, again and again; gives how long each took, in milliseconds."""
    path = folder / "fdatasync-probe"
    block = b"w" * 4096
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    taken: list[float] = []
    try:
        os.pwrite(descriptor, block, 0)
        os.fsync(descriptor)
        ends_at = time.perf_counter() + seconds
        while (begun_at := time.perf_counter()) < ends_at:
            os.pwrite(descriptor, block, 0)
            os.fdatasync(descriptor)
            taken.append((time.perf_counter() - begun_at) * 1000)
    finally:
        os.close(descriptor)
        path.unlink()
    return taken


def percentile(values: list[float], share: float) -> float:
    """Give the value below which `share` (0 to 1) of `values` lie; NaN when there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
