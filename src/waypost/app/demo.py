"""`waypost demo`: the emulator, a gateway, a number, a key and a subscriber, wired together on this machine.

It is set up as its user would: through `/v1` on the operator's socket. Its data lives in a folder of its own, begun
afresh at every start: the emulator forgets, so the gateway must, too.
"""

import contextlib
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from waypost.app.demo_subscriber import DemoSubscriber
from waypost.app.local import LocalApi, local_api
from waypost.app.logs import set_up
from waypost.app.serve import running, stop_signal
from waypost.app.server import Face
from waypost.app.sockets import listen_tcp
from waypost.config import Config, Http, load
from waypost.domain.errors import Unavailable
from waypost.emulator import DEMO, Emulator

_MARK = ".made-by-waypost-demo"
_EMULATOR_PORT = 8990


async def demo(folder: Path, port: int, *, announce: Callable[[str], None]) -> None:
    """Run the demo until SIGTERM or SIGINT; the gateway listens on `port`, everything on loopback only."""
    _begin_afresh(folder)
    stop = stop_signal()
    async with contextlib.AsyncExitStack() as stack:
        emulator = Emulator()
        emulator_url = await emulator.start(port=_EMULATOR_PORT if _is_free(_EMULATOR_PORT) else 0)
        stack.push_async_callback(emulator.stop)
        config = _config(folder, port, emulator_url)
        set_up(config.log)
        gateway = await stack.enter_async_context(running(config))
        key = gateway.first_key
        subscriber = DemoSubscriber(announce)
        hook = await stack.enter_async_context(_served(subscriber))
        api = await stack.enter_async_context(local_api(config))
        number = await _wire(api, config, emulator_url, subscriber, hook)
        (folder / "api-key").write_text(f"{key}\n")
        (folder / "api-key").chmod(0o600)
        _tell(folder, config, emulator_url, number, announce)
        await stop.wait()
        announce("Stopping the demo.")


def _begin_afresh(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARK).exists():
            raise Unavailable(
                f"{folder} holds something that is not a demo's",
                code="folder_in_use",
                remedy="name another folder with --folder",
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()


def _config(folder: Path, port: int, emulator_url: str) -> Config:
    text = f"""# Made by `waypost demo`: everything on this machine, begun afresh at every start.
[http]
port = {port}
[store]
path = "{folder.absolute()}/waypost.sqlite"
[secrets]
key_file = "{folder.absolute()}/master.key"
[inbox]
media_dir = "{folder.absolute()}/media"
[cloud_api]
base_url = "{emulator_url}"
[webhooks]
allow_private_addresses = true
[log]
level = "warning"
"""
    file = folder / "waypost.toml"
    file.write_text(text)
    return load({}, file)


def _is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@contextlib.asynccontextmanager
async def _served(subscriber: DemoSubscriber) -> AsyncIterator[str]:
    door = listen_tcp(Http(port=0))
    host, port = door.getsockname()[:2]
    face = Face(subscriber.application, door, 1, ())
    await face.start()
    try:
        yield f"http://{host}:{port}/events"
    finally:
        await face.stop()


async def _wire(
    api: LocalApi, config: Config, emulator_url: str, subscriber: DemoSubscriber, hook: str
) -> dict[str, Any]:
    made = await _ask(api, "/v1/subscribers", {"url": hook, "label": "the demo's own subscriber"})
    subscriber.secret = made["secret"]
    number = await _ask(
        api,
        "/v1/numbers",
        {
            "phone_number_id": DEMO.number_id,
            "waba_id": DEMO.waba_id,
            "token": DEMO.access_token,
            "app_id": DEMO.app_id,
            "app_secret": DEMO.app_secret,
            "verify_token": DEMO.verify_token,
            "business_id": DEMO.portfolio_id,
            "base_url": emulator_url,
            "label": "demo",
        },
    )
    callback = f"{config.http.base_url}/callbacks/{number['app_id']}"
    await _ask(api, f"/v1/numbers/{number['id']}:subscribe", {"callback_uri": callback})
    await _ask(api, "/v1/templates:sync", {"number_id": number["id"]})
    return number


async def _ask(api: LocalApi, path: str, body: dict[str, Any]) -> dict[str, Any]:
    reply = await api.call("POST", path, body=body)
    if reply.status >= 300:
        told = reply.body if isinstance(reply.body, dict) else {}
        raise Unavailable(
            f"{path}: {told.get('detail', reply.status)}", code="demo_failed", remedy=told.get("remedy")
        )
    answer: dict[str, Any] = reply.body
    return answer


def _tell(
    folder: Path, config: Config, emulator_url: str, number: dict[str, Any], announce: Callable[[str], None]
) -> None:
    near = os.path.relpath(folder)
    shown = str(folder.absolute()) if near.startswith("..") else near
    announce(f"""
Waypost demo: everything runs on this machine, nothing leaves it.

  Phone page   {emulator_url}/          be the customer: read, answer, tap
  API          {config.http.base_url}/docs
  Number       {number["id"]}   ({number["phone"]})
  API key      in {shown}/api-key, with every scope

Send a message, in another terminal:

  curl -s {config.http.base_url}/v1/messages \\
    -H "Authorization: Bearer $(cat {shown}/api-key)" -H "Content-Type: application/json" \\
    -d '{{"from": "{number["phone"]}", "to": "+{DEMO.phone_digits}", "type": "text", "text": {{"body": "Hello"}}}}'

Then:  WAYPOST_CONFIG={shown}/waypost.toml {_program()} messages list

Ctrl-C ends it. What the demo's subscriber hears:
""")


def _program() -> str:
    """Give the command as it was called here, to be copied."""
    near = os.path.relpath(sys.argv[0])
    return "waypost" if near.startswith("..") or not near.endswith("waypost") else near
