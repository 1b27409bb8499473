"""A gateway in a thread of its own, reached by the real command line through its socket, as an operator has it."""

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import structlog
from tests.processes.harness import free_port
from typer.testing import CliRunner

from waypost.app.gateway import Gateway
from waypost.app.serve import running
from waypost.cli.main import app
from waypost.config import load
from waypost.emulator import DEMO, Emulator
from waypost.emulator.ports import fresh_dice
from waypost.emulator.stage import Pace

T = TypeVar("T")


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    errors: str

    @property
    def json(self) -> Any:
        """What it printed as JSON."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it printed as one JSON document a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def run(folder: Path, *words: str, typed: str | None = None, **environment: str) -> Said:
    """Run the command line in this process, with the settings file of `folder`."""
    given: dict[str, str | None] = {
        "WAYPOST_CONFIG": str(folder / "waypost.toml"),
        "WAYPOST_API_KEY": None,
        "WAYPOST_URL": None,
        "FORCE_COLOR": None,
        "TERMINAL_WIDTH": "200",
    }
    result = CliRunner().invoke(app, list(words), input=typed, env={**given, **environment})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


@dataclass
class Aside:
    """An event loop on a thread of its own, which holds one context open."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    thread: threading.Thread | None = None

    def do(self, work: Coroutine[Any, Any, T], seconds_max: float = 20) -> T:
        """Run a coroutine there and give its result."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(seconds_max)


@contextlib.contextmanager
def aside(opened: AbstractAsyncContextManager[T]) -> Iterator[tuple[Aside, T]]:
    """Hold an async context open on a thread of its own."""
    there = Aside()
    there.thread = threading.Thread(target=there.loop.run_forever, daemon=True)
    there.thread.start()
    asked, leave = threading.Event(), asyncio.Event()
    given: list[T] = []

    async def hold() -> None:
        try:
            async with opened as value:
                given.append(value)
                asked.set()
                await leave.wait()
        finally:
            asked.set()

    held = asyncio.run_coroutine_threadsafe(hold(), there.loop)
    try:
        asked.wait(20)
        if not given:
            held.result(1)
        yield there, given[0]
    finally:
        there.loop.call_soon_threadsafe(leave.set)
        held.result(20)
        there.loop.call_soon_threadsafe(there.loop.stop)
        there.thread.join(10)
        there.loop.close()


@dataclass
class House:
    """Emulator and gateway, and the command line before them."""

    folder: Path
    there: Aside
    emulator: Emulator
    emulator_url: str
    gateway: Gateway

    def run(self, *words: str, typed: str | None = None, **environment: str) -> Said:
        """Run a command."""
        return run(self.folder, *words, typed=typed, **environment)

    def ok(self, *words: str) -> Any:
        """Run a command that must succeed with `--json`; gives what it printed."""
        said = self.run(*words, "--json")
        assert said.code == 0, said
        return said.json

    def add_number(self) -> str:
        """Add the emulator's number as an operator does; gives its id."""
        (self.folder / "token.txt").write_text(f"{DEMO.access_token}\n")
        (self.folder / "secret.txt").write_text(f"{DEMO.app_secret}\n")
        words = [
            "numbers", "add", "--phone-number-id", DEMO.number_id, "--waba-id", DEMO.waba_id,
            "--token-file", str(self.folder / "token.txt"), "--app-secret-file", str(self.folder / "secret.txt"),
            "--verify-token", DEMO.verify_token, "--label", "demo",
        ]  # fmt: skip
        number = self.ok(*words)
        callback = f"{self.gateway.config.http.base_url}/callbacks/{number['app_id']}"
        self.ok("numbers", "subscribe", number["id"], "--callback-uri", callback)
        return str(number["id"])


def until(there: Callable[[], T], seconds_max: float = 10) -> T:
    """Wait until something holds; gives it."""
    end = time.monotonic() + seconds_max
    while True:
        if found := there():
            return found
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def write_settings(folder: Path, emulator_url: str, more: str = "") -> None:
    """Write a settings file for an installation in `folder`."""
    (folder / "waypost.toml").write_text(
        f"""[http]
port = {free_port()}
drain_seconds = 1
[store]
path = "{folder}/data/waypost.sqlite"
[secrets]
key_file = "{folder}/data/master.key"
[inbox]
media_dir = "{folder}/data/media"
[cloud_api]
base_url = "{emulator_url}"
[webhooks]
allow_private_addresses = true
[log]
level = "error"
{more}"""
    )


@contextlib.asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[tuple[Emulator, str, Gateway]]:
    emulator = Emulator(random=fresh_dice(1), pace=Pace(0.02, 0.04, 0.1))
    url = await emulator.start()
    try:
        write_settings(folder, url)
        async with running(load({}, folder / "waypost.toml")) as gateway:
            yield emulator, url, gateway
    finally:
        await emulator.stop()


@contextlib.contextmanager
def open_house(folder: Path) -> Iterator[House]:
    """Start emulator and gateway, and leave nothing behind."""
    with quiet(), aside(_opened(folder)) as (there, (emulator, url, gateway)):
        yield House(folder, there, emulator, url, gateway)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the gateway's log off the output of commands: both are in one process here."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.reset_defaults()
