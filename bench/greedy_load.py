"""The generator of the greedy tenant: another key, one number of its own, as fast as it is told."""

import argparse
import os
import time

import uvloop

from children import obey
from load import CONTACTS, Load, Requests, phone_of

GREEDY_NUMBER_ID = "num_greed00"  # as long as the ids of the other numbers: requests say their length once


class GreedyRequests(Requests):
    """All of them from the one number."""

    def next(self) -> bytes:
        """Give the next request."""
        self._count += 1
        body = self._body % (GREEDY_NUMBER_ID.encode(), phone_of(self._count % CONTACTS).encode())
        return b"%b%012d%b%b" % (self._head, self._count, self._middle, body)


class GreedyLoad(Load):
    """Offers load for the greedy tenant."""

    def _requests(self) -> Requests:
        self._runs += 1
        return GreedyRequests(self._key, f"{os.getpid()}-{time.time_ns()}-{self._runs}")


async def main() -> None:
    """Obey until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", required=True)
    load = GreedyLoad(parser.parse_args().key)
    await obey({"ready": True}, {"evenly": load.evenly})


if __name__ == "__main__":
    uvloop.run(main())
