"""The emulator as a program of its own: runs until it is cancelled. The command line calls `run`."""

import asyncio
from collections.abc import Callable

from waypost.emulator.ports import fresh_dice
from waypost.emulator.seed import DEMO
from waypost.emulator.server import Emulator


async def run(
    host: str = "127.0.0.1",
    port: int = 8990,
    callback_url: str | None = None,
    *,
    strict: bool = False,
    rates: bool | None = None,
    seed: int | None = None,
    tell: Callable[[str], None] = print,
) -> None:
    """Serve the demo world until cancelled, telling its constants once.

    `callback_url` is taken as it is, without the handshake: the receiver may start later than the emulator.
    """
    emulator = Emulator(random=fresh_dice(seed), strict=strict, rates=rates, callback_url=callback_url)
    base_url = await emulator.start(host, port)
    try:
        tell(f"Emulator          {base_url}  (the page with the phones)")
        tell(f"Phone number id   {DEMO.number_id}  (+{DEMO.number_digits})")
        tell(f"WABA id           {DEMO.waba_id}")
        tell(f"Access token      {DEMO.access_token}")
        tell(f"App id / secret   {DEMO.app_id} / {DEMO.app_secret}")
        tell(f"Verify token      {DEMO.verify_token}")
        tell(f"Customer's phone  +{DEMO.phone_digits}  ({DEMO.phone_name})")
        await asyncio.Event().wait()
    finally:
        await emulator.stop()
