"""The generator before several processes: each connection goes to the next of the ports, as a balancer would do it."""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence

import uvloop

from children import obey
from load import Connection, Load


class SpreadLoad(Load):
    """Offers load to several addresses at once, evenly; wherever `Load` takes a port, it takes a list of them."""

    async def _open(
        self,
        port: int | Sequence[int],
        count: int,
        answered: Callable[[Connection, float], None],
        counts: Counter[int],
    ) -> list[Connection]:
        ports = [port] if isinstance(port, int) else list(port)
        opened: list[Connection] = []
        for turn, each in enumerate(ports):
            opened += await super()._open(each, (count + turn) // len(ports), answered, counts)
        return opened


async def main() -> None:
    """Obey until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", required=True)
    load = SpreadLoad(parser.parse_args().key)
    await obey({"ready": True}, {"closed": load.closed, "evenly": load.evenly})


if __name__ == "__main__":
    uvloop.run(main())
