"""`waypost serve`: opens both doors, runs until it is told to stop, then drains."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable

import structlog

from waypost.app.gateway import Gateway, build
from waypost.app.logs import set_up
from waypost.app.server import Face
from waypost.app.sockets import listen_local, listen_tcp, local_path
from waypost.config import Config
from waypost.domain.errors import Unavailable

log = structlog.get_logger("waypost.app")
_DATABASE_PAUSE_SECONDS = 0.5


async def serve(config: Config, *, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM, SIGINT or `waypost drain`, then drain. What was accepted is on disk, whatever ends it."""
    set_up(config.log)
    stop = stop_signal()
    async with running(config, stop) as gateway:
        key = gateway.first_key
        if key is not None:
            announce("First start. This key has every scope and is shown only now:")
            announce(f"  {key}")
        announce(f"Waypost listens on {config.http.base_url} (try {config.http.base_url}/docs)")
        waits = [asyncio.create_task(each.wait()) for each in (stop, gateway.told_to_stop)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()
        announce("Draining: no new work is taken, what is under way ends.")


def stop_signal() -> asyncio.Event:
    """Give an event that SIGTERM and SIGINT set; a second signal ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told(name: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(name)

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told, name)
    return stop


@contextlib.asynccontextmanager
async def running(config: Config, stop: asyncio.Event | None = None) -> AsyncIterator[Gateway]:
    """Give a gateway that serves on both doors; on the way out it drains. `stop` ends the wait for its database."""
    door = listen_tcp(config.http)
    try:
        gateway = await _started(config, stop or asyncio.Event())
    except BaseException:
        door.close()
        raise
    path = local_path(config)
    # On a shared database nothing else has made this process's own folder.
    path.parent.mkdir(parents=True, exist_ok=True)
    faces = (
        Face(gateway.application, door, config.http.drain_seconds, config.http.trusted_proxies),
        Face(gateway.local_application, listen_local(path), config.http.drain_seconds, ()),
    )
    for face in faces:
        await face.start()
    log.info("serving", host=config.http.host, port=config.http.port)
    try:
        yield gateway
    finally:
        # Not ready first, so that a balancer turns away; then the doors, then the loops behind them.
        gateway.drain()
        path.unlink(missing_ok=True)
        await asyncio.gather(*(face.stop() for face in faces))
        await gateway.stop()
        log.info("stopped")


async def _started(config: Config, stop: asyncio.Event) -> Gateway:
    """Build and start once the database answers: one that is being restarted, or failed over, is no reason to end."""
    is_told = False
    while True:
        try:
            gateway = await build(config)
            try:
                await gateway.start()
            except BaseException:
                await gateway.close()
                raise
            return gateway
        except Unavailable as fault:
            if fault.code not in ("database_unreachable", "database_read_only") or stop.is_set():
                raise
            if not is_told:
                log.warning("waiting_for_database", code=fault.code)
            is_told = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _DATABASE_PAUSE_SECONDS)
