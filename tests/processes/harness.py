"""A real gateway process for tests: written settings, start, stop, kill -9, and a client that speaks its /v1.

The emulator lives in the test's own process, so that it survives every kill and its ledger can be read directly.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from waypost.domain.keys import SCOPES
from waypost.emulator import DEMO, Emulator

Wire = dict[str, Any]
START_SECONDS_MAX = 30.0
# What keeps a test short; everything else is as a user has it.
SETTINGS: dict[str, Wire] = {
    "http": {"host": "127.0.0.1", "drain_seconds": 10},
    "outbox": {
        "sweep_interval_seconds": 0.5,
        "backoff_seconds_min": 0.2,
        "backoff_seconds_max": 2.0,
        "provider_timeout_seconds": 3,
        "lease_seconds": 10,
    },
    "webhooks": {
        "allow_private_addresses": True,
        "timeout_seconds": 3,
        "retry_delays_seconds": [0.2, 0.4, 0.8, 1.6, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3],
    },
}


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def as_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Settings as the file wants them: JSON's scalars and lists are TOML's, too."""
    return "\n".join(
        "\n".join([f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""])
        for name, values in sections.items()
    )


@dataclass
class Reply:
    """An answer of the gateway."""

    status: int
    body: Any
    headers: Mapping[str, str]

    def ok(self, *wanted: int) -> Any:
        """The body, if the status is the wanted one (any 2xx without)."""
        fine = self.status in wanted if wanted else 200 <= self.status < 300
        assert fine, f"HTTP {self.status}: {self.body}"
        return self.body


class Api:
    """A caller of /v1: with a key over TCP, or as the operator over the local socket."""

    def __init__(self, base: str, key: str | None = None, socket_path: Path | None = None) -> None:
        self.base = base
        connector = aiohttp.UnixConnector(str(socket_path)) if socket_path else aiohttp.TCPConnector(limit=64)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.http = aiohttp.ClientSession(
            connector=connector, headers=headers, timeout=aiohttp.ClientTimeout(total=20)
        )

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        query: Mapping[str, Any] | None = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request; a POST carries an Idempotency-Key of its own unless `key` names one."""
        sent = dict(headers or {})
        if method == "POST":
            sent.setdefault("Idempotency-Key", key or str(uuid.uuid4()))
        payload = raw
        if body is not None:
            payload = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        asked = self.http.request(
            method, self.base + path, data=payload, headers=sent, params=dict(query or {})
        )
        async with asked as answer:
            content = await answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return Reply(
                answer.status, json.loads(content) if is_json and content else content, dict(answer.headers)
            )

    async def get(self, path: str, **query: Any) -> Any:
        """A GET that must succeed."""
        return (await self.call("GET", path, query=query)).ok()

    async def post(self, path: str, body: Any = None, **options: Any) -> Any:
        """A POST that must succeed."""
        return (await self.call("POST", path, body, **options)).ok()

    async def pages(self, path: str, **query: Any) -> AsyncIterator[Any]:
        """Every item of a list."""
        cursor: str | None = None
        while True:
            asked = {**query, "limit": 200, **({"cursor": cursor} if cursor else {})}
            page = await self.get(path, **asked)
            for item in page["items"]:
                yield item
            cursor = page["next_cursor"]
            if cursor is None:
                return

    async def events(self, after: str | None = None) -> list[Any]:
        """Everything the journal tells, pulled to its end."""
        found: list[Any] = []
        cursor = after
        while True:
            page = await self.get("/v1/events", limit=200, **({"after": cursor} if cursor else {}))
            found += page["items"]
            if not page["items"]:
                return found
            cursor = page["items"][-1]["id"]

    async def message(self, message_id: str) -> Any:
        """One message with attempts and timeline."""
        return await self.get(f"/v1/messages/{message_id}")

    async def close(self) -> None:
        """Let the connections go."""
        await self.http.close()


@dataclass
class Gateway:
    """One installation in `folder`, run as a process of its own."""

    folder: Path
    emulator_url: str
    over: Mapping[str, Wire] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    # Another release of the package to run, as a folder for PYTHONPATH.
    package: Path | None = None
    process: asyncio.subprocess.Process | None = None
    starts: int = 0

    @property
    def base(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_path(self) -> Path:
        """The operator's door."""
        return self.folder / "data" / "waypost.sock"

    @property
    def log(self) -> str:
        """Everything it has said so far."""
        path = self.folder / "gateway.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def settings(self) -> dict[str, Wire]:
        """The settings of this installation."""
        whole: dict[str, Wire] = {name: dict(values) for name, values in SETTINGS.items()}
        places: dict[str, Wire] = {
            "http": {"port": self.port},
            "store": {"path": str(self.folder / "data" / "waypost.sqlite")},
            "secrets": {"key_file": str(self.folder / "data" / "master.key")},
            "inbox": {"media_dir": str(self.folder / "data" / "media")},
            "cloud_api": {"base_url": self.emulator_url},
        }
        for more in (places, self.over):
            for name, values in more.items():
                whole.setdefault(name, {}).update(values)
        return whole

    async def spawn(self) -> None:
        """Start the process and return at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "waypost.toml"
        settings = self.settings()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("WAYPOST_")}
        # An address holds a password, which the settings file refuses.
        if (url := settings["store"].pop("url", None)) is not None:
            environment["WAYPOST_STORE_URL"] = url
        if (place := settings["store"].pop("second_place", None)) is not None:
            environment["WAYPOST_STORE_SECOND_PLACE"] = place
        if self.package is not None:
            environment["PYTHONPATH"] = str(self.package)
        config.write_text(as_toml(settings))
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "waypost", "serve", "--config", str(config),
                stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL, cwd=self.folder,
                env=environment, start_new_session=True,
            )  # fmt: skip
        self.starts += 1

    async def start(self) -> None:
        """Start the process and return once it is ready."""
        await self.spawn()
        await self.ready()

    async def ready(self) -> None:
        """Wait until `/readyz` says so."""
        async with aiohttp.ClientSession() as http:

            async def is_ready() -> bool:
                process = self.process
                assert process is not None
                assert process.returncode is None, (
                    f"the gateway ended ({process.returncode}):\n{self.log[-3000:]}"
                )
                try:
                    async with http.get(self.base + "/readyz") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            await until(is_ready, START_SECONDS_MAX, "the gateway is ready")

    async def kill(self) -> None:
        """kill -9, now."""
        assert self.process is not None
        if self.process.returncode is None:
            os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()

    def signal(self, what: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(what)

    async def stop(self) -> int:
        """SIGTERM; gives the exit code once it has drained."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 30)

    def operator(self) -> Api:
        """The operator's client, over the local socket."""
        return Api("http://waypost", socket_path=self.socket_path)

    async def caller(self, scopes: list[str] | None = None) -> Api:
        """A client over TCP with a fresh live key."""
        operator = self.operator()
        try:
            wanted = {"label": "test", "environment": "live", "scopes": scopes or list(SCOPES)}
            made = await operator.post("/v1/keys", wanted)
        finally:
            await operator.close()
        return Api(self.base, made["key"])


async def until(
    true: Callable[[], Awaitable[bool]], seconds_max: float, what: str, pause_seconds: float = 0.05
) -> None:
    """Wait for a condition outside this process; real time, because real processes have no other."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds_max
    while not await true():
        assert loop.time() < end, f"not within {seconds_max:g} s: {what}"
        await asyncio.sleep(pause_seconds)


def hurry_callbacks(emulator: Emulator) -> None:
    """Have the emulator repeat refused callbacks now: Meta's falling frequency would take minutes to hours."""
    for receiver in emulator.webhooks.receivers.values():
        if not receiver.waiting:
            continue
        while receiver.waiting:
            packet_id = next(iter(receiver.waiting))
            packet = receiver.waiting.pop(packet_id)
            receiver.waiting_bytes -= len(packet.body)
            receiver.again.append(packet)
        receiver.idle = False
        receiver.wake.set()


def callbacks_settled(emulator: Emulator) -> bool:
    """Whether the emulator has told all it had to tell."""
    told = all(not r.waiting and not r.again and not r.pending for r in emulator.webhooks.receivers.values())
    # A repeat that was hurried stays booked and finds nothing to do.
    booked = [act for _, _, act in emulator.stage.agenda._heap if "_book_retry" not in act.__qualname__]
    return told and emulator.webhooks.quiet and not booked


async def add_number(api: Api, emulator: Emulator, gateway: Gateway, number_id: str = DEMO.number_id) -> Any:
    """Add a number of the emulator to the gateway, and point the emulator's callbacks to it."""
    added = await api.post(
        "/v1/numbers",
        {
            "phone_number_id": number_id,
            "waba_id": DEMO.waba_id,
            "token": DEMO.access_token,
            "app_id": DEMO.app_id,
            "app_secret": DEMO.app_secret,
            "verify_token": DEMO.verify_token,
        },
    )
    emulator.world.apps[DEMO.app_id].callback_url = f"{gateway.base}/callbacks/{added['app_id']}"
    return added
