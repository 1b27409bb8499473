"""`waypost demo`: the emulator, a gateway, a number, a key and a subscriber, wired together on this machine.

Its data lives in a folder of its own, begun afresh at every start: the emulator forgets, so the gateway must, too.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from waypost.app.demo_subscriber import DemoSubscriber
from waypost.app.gateway import Gateway
from waypost.app.logs import set_up
from waypost.app.serve import running, stop_signal
from waypost.app.server import Face
from waypost.app.sockets import listen_tcp
from waypost.config import Config, Http, load
from waypost.domain.errors import Unavailable
from waypost.emulator import DEMO, Emulator
from waypost.numbers.registry import NewNumber
from waypost.store import keys, subscribers

_MARK = ".made-by-waypost-demo"
_EMULATOR_PORT = 8990


async def demo(folder: Path, port: int, *, announce: Callable[[str], None]) -> None:
    """Run the demo until SIGTERM or SIGINT; the gateway listens on `port`, everything on loopback only."""
    _begin_afresh(folder)
    stop = stop_signal()
    async with contextlib.AsyncExitStack() as stack:
        emulator = Emulator(callback_url=None)
        emulator_url = await _start(emulator)
        stack.push_async_callback(emulator.stop)
        config = _config(folder, port, emulator_url)
        set_up(config.log)
        gateway = await stack.enter_async_context(running(config))
        key = await gateway.bootstrap()
        assert key is not None, "a fresh store has no key yet"
        tenant_id = (await gateway.store.read(keys.by_digest, keys_digest(key))).tenant_id
        subscriber = DemoSubscriber(announce)
        hook = await stack.enter_async_context(_serve(subscriber))
        await _wire(gateway, tenant_id, emulator_url, subscriber, hook)
        _tell(folder, key, config, emulator_url, announce)
        await stop.wait()
        announce("Stopping the demo.")
