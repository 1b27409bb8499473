"""The measurements, one function each: a short load on one gateway, and what came of it."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

import machine
import seeding
from children import HERE, Child
from webhook_sink import FOUR

CONNECTIONS = 64
_DRAIN_SECONDS_MAX = 120.0
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long each part of a round is."""

    accept_seconds: float
    send_seconds: float
    even_seconds: float
    loop_seconds: float
    receipts: int
    even_per_second: int = 1_000


@dataclass(slots=True)
class Found:
    """What one measurement found: figures by name, and what must be said about it."""

    figures: dict[str, float]
    remarks: list[str] = field(default_factory=list)


class Gateway:
    """The real gateway, on a database of its own; `over` are more settings (`WAYPOST_STORE_URL`: a shared one)."""

    def __init__(self, folder: Path, base_url: str, key: str, over: Mapping[str, str] | None = None) -> None:
        self._path = folder / "waypost.sqlite"
        self.port, self._key = free_port(), key
        environment = {**os.environ, **seeding.settings(folder, base_url, self.port), **(over or {})}
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "serving.py")], env=environment, cwd=folder, stdout=subprocess.DEVNULL
        )
        self.pid = self._process.pid
        self._reading: apsw.Connection | None = None

    def wait_until_ready(self) -> None:
        """Return once it answers."""
        ends_at = time.monotonic() + 20
        while time.monotonic() < ends_at:
            if self._process.poll() is not None:
                raise RuntimeError(f"the gateway ended with {self._process.returncode}")
            try:
                if self.ask("GET", "/readyz")[0] == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("the gateway does not become ready")

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Ask the API; gives status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        read = answer.read()
        connection.close()
        return answer.status, read

    def one(self, sql: str) -> Any:
        """Give the first value of a query on its database, or None."""
        if self._reading is None:
            self._reading = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
        row = next(iter(self._reading.execute(sql).fetchall()), None)
        return None if row is None else row[0]

    def wait_until_none(self, *queries: str) -> float:
        """Return when none of the queries finds anything; gives the time on the monotonic clock."""
        ends_at = time.monotonic() + _DRAIN_SECONDS_MAX
        while any(self.one(sql) is not None for sql in queries):
            if time.monotonic() > ends_at:
                raise RuntimeError("the gateway does not come to an end with its work")
            time.sleep(_POLL_SECONDS)
        return time.monotonic()

    def kill(self) -> None:
        """End it with kill -9."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Let it drain."""
        if self._reading is not None:
            self._reading.close()
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


OPEN = (
    "SELECT 1 FROM messages WHERE status IN ('accepted', 'held', 'retrying') LIMIT 1",
    "SELECT 1 FROM attempts WHERE state = 'sending' LIMIT 1",
)
_UNREAD = "SELECT 1 FROM callbacks WHERE state = 'stored' LIMIT 1"


class Bench:
    """Every process of the benchmark, and the measurements on them."""

    def __init__(self, folder: Path, lengths: Lengths) -> None:
        self._folder, self._lengths = folder, lengths
        self._stops: list[Any] = []
        self._told = 0

    def start(self) -> None:
        """Make the databases and start everything."""
        arguments = ("--secret", seeding.APP_SECRET, "--waba", seeding.META_WABA_ID)
        self._provider = self._child("provider_sink.py", *arguments)
        self._telling_provider = self._child("provider_sink.py", *arguments)
        self._webhooks = self._child("webhook_sink.py")
        url = f"http://127.0.0.1:{self._provider.ready['port']}"
        telling_url = f"http://127.0.0.1:{self._telling_provider.ready['port']}"
        first = self._folder / "plain"
        first.mkdir()
        self._key = seeding.seed(first, url)
        loop, accept = (Path(shutil.copytree(first, self._folder / name)) for name in ("loop", "accept"))
        seeding.point(loop, telling_url)
        self._load = self._child("load.py", "--key", self._key)
        self._accepts = {
            "durable": self._subject("accept", "durable", accept, url),
            "memory": self._subject("accept", "memory", accept, url),
        }
        self._send_memory = self._subject("send", "memory", accept, url)
        self._plain = self._gateway(first, url)
        self._loop = self._gateway(loop, telling_url)
        for gateway in (self._plain, self._loop):
            gateway.wait_until_ready()
        self._subscribe()

    def _subscribe(self) -> None:
        body = {
            "url": f"http://127.0.0.1:{self._webhooks.ready['port']}/",
            "kinds": list(FOUR),
            "batch_events_max": 100,
        }
        status, answer = self._loop.ask("POST", "/v1/subscribers", json.dumps(body).encode())
        if status != 201:
            raise RuntimeError(f"the subscriber was refused: {status} {answer.decode()}")
        self._webhooks.ask("trust", secret=json.loads(answer)["secret"])
        path = f"/callbacks/{seeding.APP_ID}"
        self._telling_provider.ask("tell", port=self._loop.port, path=path)

    def warm_up(self) -> None:
        """Let every process pay once for what it pays once."""
        for child in (*self._accepts.values(), self._send_memory):
            self._load.ask("closed", port=child.ready["port"], connections=CONNECTIONS, seconds=0.3)
        self._send_memory.ask("drained", seconds=_DRAIN_SECONDS_MAX)
        self.end_to_end(0.3)
        self.whole_loop(0.3)

    def accept(self, store: str) -> Found:
        """Take messages as fast as they are answered, and send none."""
        child = self._accepts[store]
        before = machine.cpu_seconds(child.pid)
        told = self._closed(child.ready["port"], self._lengths.accept_seconds)
        cpu = machine.cpu_seconds(child.pid) - before
        count = len(told["taken_ms"])
        return Found(
            {f"accept_{store}_per_s": count / told["seconds"], f"accept_{store}_cpu": 1000 * cpu / count}
        )

    def end_to_end(self, seconds: float) -> Found:
        """Accept, policy, durable attempt, provider, outcome recorded, until the last one is."""
        self._provider.ask("forget")
        taken_before = self._provider.ask("counts")["taken"]
        before = machine.cpu_seconds(self._plain.pid)
        begun_at = time.monotonic()
        told = self._closed(self._plain.port, seconds)
        ended_at = self._plain.wait_until_none(*OPEN)
        cpu = machine.cpu_seconds(self._plain.pid) - before
        count = len(told["taken_ms"])
        taken = self._provider.ask("counts")["taken"] - taken_before
        remarks = [] if taken == count else [f"{count} accepted, but the provider took {taken}"]
        return Found(
            {"end_to_end_per_s": count / (ended_at - begun_at), "cpu_s_per_1000": 1000 * cpu / count}, remarks
        )

    def end_to_end_memory(self, seconds: float) -> Found:
        """The same path with the store taken out."""
        child = self._send_memory
        before = machine.cpu_seconds(child.pid)
        begun_at = time.monotonic()
        told = self._closed(child.ready["port"], seconds)
        drained = child.ask("drained", seconds=_DRAIN_SECONDS_MAX)
        cpu = machine.cpu_seconds(child.pid) - before
        count = len(told["taken_ms"])
        return Found(
            {
                "end_to_end_memory_per_s": count / (drained["at"] - begun_at),
                "end_to_end_memory_cpu": 1000 * cpu / count,
            },
            [f"{drained['open']} without an outcome"] if drained["open"] else [],
        )

    def evenly(self) -> Found:
        """Accept times at an even rate, with sending going on, from when each request was meant to leave."""
        lengths = self._lengths
        told = self._load.ask(
            "evenly", port=self._plain.port, per_second=lengths.even_per_second, seconds=lengths.even_seconds
        )
        self._plain.wait_until_none(*OPEN)
        taken = told["taken_ms"]
        return Found(
            {
                "accept_p50_ms": machine.percentile(taken, 0.5),
                "accept_p99_ms": machine.percentile(taken, 0.99),
            },
            _refusals(told),
        )

    def receipts(self) -> Found:
        """Signed callbacks of up to 1,000 statuses: answered, read and applied."""
        position = "SELECT max(position) FROM journal"
        before = self._plain.one(position)
        told = self._provider.ask(
            "post_receipts",
            port=self._plain.port,
            path=f"/callbacks/{seeding.APP_ID}",
            statuses_max=self._lengths.receipts,
        )
        ended_at = self._plain.wait_until_none(_UNREAD)
        new_lines = self._plain.one(position) - before
        remarks = []
        if new_lines < told["statuses"]:
            remarks.append(f"{told['statuses']} receipts made {new_lines} journal lines")
        return Found({"receipts_per_s": told["statuses"] / (ended_at - told["begun_at"])}, remarks)

    def whole_loop(self, seconds: float) -> Found:
        """Accept, gate, send, three receipts read, four signed webhooks answered 2xx, until the last one is."""
        begun_at = time.monotonic()
        told = self._closed(self._loop.port, seconds)
        count = len(told["taken_ms"])
        self._told += count
        reached = self._webhooks.ask("until", each=self._told, seconds=_DRAIN_SECONDS_MAX)
        if reached["reached_at"] is None:
            raise RuntimeError(f"webhooks stay out: {self._told} expected of each kind, {reached['kinds']}")
        remarks = [f"{reached['refused']} webhooks with a wrong signature"] if reached["refused"] else []
        return Found({"whole_loop_per_s": count / (reached["reached_at"] - begun_at)}, remarks)

    def rss_mb(self) -> float:
        """Give the memory of the gateway the end-to-end figures are from."""
        return machine.rss_mb(self._plain.pid)

    def stop(self) -> None:
        """Stop every process, the last one started first."""
        for stop in reversed(self._stops):
            stop()

    def _closed(self, port: int, seconds: float) -> dict[str, Any]:
        told: dict[str, Any] = self._load.ask("closed", port=port, connections=CONNECTIONS, seconds=seconds)
        if set(told["statuses"]) != {"202"}:
            raise RuntimeError(f"not every message was accepted: {told['statuses']}")
        return told

    def _child(self, program: str, *arguments: str, **environment: str) -> Child:
        child = Child(program, *arguments, environment=environment)
        self._stops.append(child.stop)
        return child

    def _subject(self, what: str, store: str, folder: Path, url: str) -> Child:
        return self._child(
            "subject.py", what, store, "--key", self._key, **seeding.settings(folder, url, port=0)
        )

    def _gateway(self, folder: Path, url: str) -> Gateway:
        gateway = Gateway(folder, url, self._key)
        self._stops.append(gateway.stop)
        return gateway


def _refusals(told: dict[str, Any]) -> list[str]:
    return [] if set(told["statuses"]) == {"202"} else [f"answers at the even rate: {told['statuses']}"]


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])
