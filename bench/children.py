"""The processes of a benchmark: each is told by one JSON line on its standard input and answers with one on its
standard output. Nothing of the measured path goes through these pipes.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Answer = Callable[..., Awaitable[Any]]
HERE = Path(__file__).resolve().parent


class Child:
    """A child process that obeys; it ends when its standard input does, so none outlives the benchmark."""

    def __init__(self, program: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.name = program
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.pid = self._process.pid
        self.ready = self._answer()

    def start(self, what: str, **arguments: Any) -> None:
        """Tell it to do something, without waiting for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
        self._process.stdin.flush()

    def wait(self) -> Any:
        """Give the answer to what was started."""
        return self._answer()

    def ask(self, what: str, **arguments: Any) -> Any:
        """Tell it to do something and give its answer."""
        self.start(what, **arguments)
        return self._answer()

    def stop(self, seconds: float = 10.0) -> None:
        """End it: first by closing its input, then by force."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self._process.wait()}")
        return json.loads(line)


async def obey(ready: Any, answers: dict[str, Answer]) -> None:
    """Say `ready`, then carry out what is told until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb", 0))
    _say(ready)
    while line := await reader.readline():
        told = json.loads(line)
        _say(await answers[told.pop("do")](**told))


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
