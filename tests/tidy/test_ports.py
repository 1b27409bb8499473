"""No wall clock, randomness, socket or environment outside the ports: that is what makes seeded runs possible."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from tests.tidy.tree import ROOT, Module, modules, plant

# `app` makes the ports and hands them down; `cli` is a process of its own; the emulator has its own clock.
WITH_PORTS = {"app", "cli", "emulator", "__main__"}

BANNED = re.compile(
    r"""(
      datetime\.(datetime|date)\.(now|utcnow|today)
    | time\.(time|monotonic|perf_counter|process_time|thread_time)(_ns)?
    | time\.(sleep|localtime|gmtime|ctime|clock_gettime)
    | asyncio\.sleep
    | asyncio\.(get_running_loop|get_event_loop|new_event_loop)\(\)\.time
    | random\.(?!Random$)\w+ | random\.Random\(\)
    | secrets\.(?!compare_digest$)\w+
    | os\.(urandom|getrandom|environ|getenv|environb|putenv)
    | uuid\.uuid[1-8]
    | socket\.(socket|socketpair|create_connection|create_server|getaddrinfo|gethostbyname)
    | asyncio\.(open_connection|start_server|open_unix_connection|start_unix_server)
    | ssl\.RAND_\w+
    )""",
    re.VERBOSE,
)
STARS = {"datetime", "time", "random", "secrets", "os", "uuid", "socket", "asyncio"}


def leaks(root: Path) -> list[str]:
    """Return every reference to a clock, to randomness, to sockets or to the environment, whatever its alias."""
    return [leak for module in modules(root) if module.room not in WITH_PORTS for leak in _leaks_of(module)]


def _leaks_of(module: Module) -> list[str]:
    names: dict[str, str] = {}
    found: dict[tuple[int, str], str] = {}
    # Two rounds, for a name may be used above the line that gives it (a function's body runs later).
    for _ in range(2):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    names[alias.asname or alias.name.split(".")[0]] = (
                        alias.name if alias.asname else alias.name.split(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom) and not node.level:
                for alias in node.names:
                    names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                    if alias.name == "*" and node.module in STARS:
                        found[node.lineno, "*"] = f"{module.path}:{node.lineno}: {node.module}.*"
            elif isinstance(node, (ast.Assign, ast.NamedExpr)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                dotted = _dotted(node.value, names)
                for target in targets:
                    if dotted and isinstance(target, ast.Name) and dotted.split(".")[0] in STARS:
                        names[target.id] = dotted
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.Attribute, ast.Name, ast.Call)):
            dotted = _dotted(node, names) or ""
            if BANNED.fullmatch(dotted):
                found[node.lineno, dotted] = f"{module.path}:{node.lineno}: {dotted}"
    return [found[key] for key in sorted(found)]


def _dotted(node: ast.AST, names: dict[str, str]) -> str | None:
    """Return what a reference stands for once aliases are resolved, such as `datetime.datetime.now`."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, names)
        return f"{base}.{node.attr}" if base else None
    if isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Name) and called.id == "getattr" and len(node.args) >= 2:
            base, name = _dotted(node.args[0], names), node.args[1]
            return f"{base}.{name.value}" if base and isinstance(name, ast.Constant) else None
        inner = _dotted(called, names)
        # A seeded generator is a value that was handed down; an unseeded one is randomness.
        return f"{inner}()" if inner and not (inner == "random.Random" and node.args) else None
    return None


def test_clock_randomness_sockets_and_environment_are_handed_down() -> None:
    assert leaks(ROOT) == []


@pytest.mark.parametrize(
    "text",
    [
        "from datetime import datetime\ndatetime.now()\n",
        "from datetime import datetime as moment, UTC\nmoment.now(UTC)\n",
        "import datetime as d\nd.datetime.utcnow()\n",
        "import datetime\nday = datetime.date\nday.today()\n",
        "import time\nt = time.time()\n",
        "from time import monotonic as tick\ntick()\n",
        "import time\ndef f(clock=time.monotonic): ...\n",
        "import time as t\ngetattr(t, 'perf_counter_ns')()\n",
        "from time import *\n",
        "def f():\n    import random\n    return random.choice([1])\n",
        "import random\nrandom.Random()\n",
        "import secrets\nsecrets.token_hex()\n",
        "import os\nos.urandom(8)\n",
        "import os\nos.environ['HOME']\n",
        "from os import getenv\ngetenv('HOME')\n",
        "from uuid import uuid4\nuuid4()\n",
        "import socket\nsocket.create_connection(('', 1))\n",
        "import asyncio\nasync def f():\n    await asyncio.open_connection('', 1)\n",
        "import asyncio\nasync def f():\n    loop = asyncio.get_running_loop()\n    loop.time()\n",
        "import asyncio\nasync def f():\n    await asyncio.sleep(1)\n",
    ],
)
def test_a_planted_leak_is_caught(tmp_path: Path, text: str) -> None:
    plant(tmp_path, "src/waypost/outbox/a.py", text)
    assert len(leaks(tmp_path)) == 1
    (tmp_path / "src/waypost/outbox/a.py").rename(tmp_path / "src/waypost/app.py")
    assert leaks(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "from datetime import datetime, timedelta\ndef f(now: datetime) -> datetime:\n    return now + timedelta(1)\n",
        "import random\ndef f(dice: random.Random):\n    return dice.random()\nf(random.Random(7))\n",
        "import secrets\nsecrets.compare_digest('a', 'b')\n",
        "import uuid\nuuid.UUID(int=1)\n",
        "def f(clock):\n    return clock.now(), clock.time()\n",
        "import socket\nsocket.AF_INET\n",
    ],
)
def test_a_port_that_was_handed_down_is_let_through(tmp_path: Path, text: str) -> None:
    plant(tmp_path, "src/waypost/outbox/a.py", text)
    assert leaks(tmp_path) == []
