"""What runs until it is stopped (`serve`, `demo`, `emulator`), and `version`."""

import asyncio
import os
import platform
from pathlib import Path
from typing import Annotated

import typer

from waypost.cli.api import Unreachable
from waypost.cli.command import FAILED, Desk, command


def declare(app: typer.Typer) -> None:
    """Add the commands."""
    command(
        app,
        "serve",
        "waypost serve",
        "waypost serve --config /etc/waypost.toml",
        remote=False,
        shows_json=False,
        quick=True,
    )(serve)
    command(
        app, "demo", "waypost demo", "waypost demo --port 9000", remote=False, shows_json=False, quick=True
    )(demo)
    command(
        app,
        "emulator",
        "waypost emulator",
        "waypost emulator --port 8990 --callback-url http://127.0.0.1:8080/callbacks/app_…",
        remote=False,
        shows_json=False,
    )(emulator)
    command(app, "drain", "waypost drain", "waypost drain --wait-seconds 60", remote=False)(drain)
    command(app, "version", "waypost version", "waypost version --json", remote=False)(version)


async def serve(desk: Desk) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; then it drains."""
    from waypost.app.serve import serve as run

    await run(desk.place.config(), announce=desk.screen.line)


async def drain(
    desk: Desk,
    wait_seconds: Annotated[
        float, typer.Option("--wait-seconds", min=0, max=3600, help="How long to wait for its end.")
    ] = 60.0,
) -> int | None:
    """Stop this machine's gateway in order: it hands its numbers over, ends what is under way, and exits."""
    api = await desk.api()
    if not api.running:
        raise Unreachable(
            "the socket of this machine", "there is nothing to drain; `waypost serve` starts one"
        )
    told = await api.post("/v1/process:drain")
    has_ended = False
    try:
        async with asyncio.timeout(wait_seconds):
            while not (has_ended := not _is_alive(told["process_id"])):  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.05)
    except TimeoutError:
        desk.screen.line(f"It still drains after {wait_seconds:g} s." if wait_seconds else "It drains.")
    else:
        desk.screen.line("It has drained and ended.")
    if desk.screen.as_json:
        desk.screen.document(told)
    return 0 if has_ended or not wait_seconds else 1


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
        # One that has ended, and whose parent did not ask how, still has its number.
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        # No such folder on this system; or gone since.
        return not Path("/proc/self/stat").exists()


async def demo(
    desk: Desk,
    folder: Annotated[
        Path, typer.Option("--folder", help="Where its files go; begun afresh at every start.")
    ] = Path("waypost-demo"),
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Of the gateway.")] = 8080,
) -> None:
    """Run emulator, gateway, number, key and subscriber together, on this machine only."""
    from waypost.app.demo import demo as run

    await run(folder, port, announce=desk.screen.line)


async def emulator(
    desk: Desk,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port to listen on.")] = 8990,
    callback_url: Annotated[
        str | None, typer.Option("--callback-url", help="Where callbacks go; no handshake is made.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what Meta's documentation forbids.")
    ] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="The same chance again.")] = None,
) -> int | None:
    """Run the stand-in for Meta's servers alone, with its phone page."""
    from waypost.emulator.serve import run

    try:
        await run(host, port, callback_url, strict=strict, seed=seed, tell=desk.screen.line)
    except OSError as error:
        desk.screen.problem(
            f"cannot listen on {host} port {port}: {error.strerror or error}",
            code="port_taken",
            remedy="stop what uses it, or give --port",
        )
        return FAILED
    except asyncio.CancelledError:
        return None
    return None


async def version(desk: Desk) -> None:
    """Print the versions of Waypost, Python and SQLite."""
    from waypost.store.inspection import sqlite_version
    from waypost.web.api.operations import release

    versions = {
        "waypost": release(),
        "python": platform.python_version(),
        "sqlite": sqlite_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if desk.screen.as_json:
        desk.screen.document(versions)
    desk.screen.facts(versions)
