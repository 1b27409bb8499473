"""Arrows go down only, rooms of one floor never meet, and each outside library stays in the rooms that own it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tidy.tree import ROOT, imports, modules, plant

FLOORS = {
    "domain": 0,
    "config": 0,
    "store": 1,
    "policies": 1,
    "transports": 1,
    "outbox": 2,
    "inbox": 2,
    "webhooks": 2,
    "numbers": 2,
    "conversations": 2,
    "queues": 2,
    "campaigns": 2,
    "evidence": 2,
    "operations": 2,
    "web": 3,
    "app": 4,
    "drills": 5,
    "simulation": 5,
    "cli": 6,
    "__main__": 7,
}
APART = "emulator"
# The emulator is wired by `app` for the demo, broken by drills, started by the command line; no room below knows it.
KNOW_THE_EMULATOR = {"app", "drills", "cli"}
# A dialect is one of several behind `base`, so none may lean on another.
DIALECTS = {"transports.cloud_api", "transports.linked"}

# Who may import what from outside. A prefix is a room, or a folder or file in one.
OWNERS = {
    "apsw": ("store",),
    "psycopg": ("store",),
    "nats": ("queues",),
    "aio_pika": ("queues",),
    "sqlite3": ("store",),
    "aiohttp": ("transports.cloud_api", "transports.egress", "app", "cli", "drills", "emulator"),
    "starlette": ("web", "app", "emulator"),
    "uvicorn": ("app", "cli", "emulator"),
    "uvloop": ("app", "cli", "emulator"),
    "typer": ("cli", "emulator"),
    "rich": ("cli",),
    "jinja2": ("web", "emulator"),
    "python_multipart": ("web", "emulator"),
    "phonenumbers": ("domain",),
    "prometheus_client": ("web", "operations", "app"),
    "structlog": ("outbox", "inbox", "webhooks", "numbers", "queues", "operations", "web", "app", "cli"),
}
# Tools of the tests; the gateway itself must run without them.
TEST_ONLY = {
    "pytest",
    "hypothesis",
    "schemathesis",
    "standardwebhooks",
    "playwright",
    "yaml",
    "requests",
    "httpx",
}


def crossings(root: Path) -> list[str]:
    """Return every import that goes up, sideways, into the emulator or out of it, and rooms without a floor."""
    found = []
    for module in modules(root):
        if module.room and module.room != APART and module.room not in FLOORS:
            found.append(f"{module.path}:1: the room {module.room} has no floor")
            continue
        for line, name in imports(module):
            parts = name.split(".")
            if parts[0] != "waypost" or len(parts) < 2 or parts[1].startswith("__version"):
                continue
            target = parts[1]
            if target == module.room:
                if not _dialects_apart(module.name, name):
                    found.append(f"{module.path}:{line}: one dialect imports another, {name}")
            elif not _may(module.room, target):
                found.append(f"{module.path}:{line}: {module.room or 'waypost'} may not import {name}")
    return found


def _may(room: str, target: str) -> bool:
    if room == APART or not room:
        return False
    if target == APART:
        return room in KNOW_THE_EMULATOR
    return target in FLOORS and FLOORS[target] < FLOORS[room]


def _dialects_apart(importer: str, imported: str) -> bool:
    ours, theirs = (".".join(name.split(".")[1:3]) for name in (importer, imported))
    return not (ours in DIALECTS and theirs in DIALECTS and ours != theirs)


def strays(root: Path) -> list[str]:
    """Return every import of a library outside the rooms that own it, and of test tools anywhere."""
    found = []
    for module in modules(root):
        place = module.name.partition(".")[2] + "."
        for line, name in imports(module):
            library = name.split(".")[0]
            if library in TEST_ONLY:
                found.append(f"{module.path}:{line}: {library} is a tool of the tests")
            elif library in OWNERS and not place.startswith(tuple(f"{owner}." for owner in OWNERS[library])):
                found.append(f"{module.path}:{line}: {library} belongs to {', '.join(OWNERS[library])}")
    return found


def test_arrows_go_down_only() -> None:
    assert crossings(ROOT) == []


def test_each_library_stays_in_its_rooms() -> None:
    assert strays(ROOT) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("domain/a.py", "import waypost.store\n"),
        ("store/a.py", "from waypost.outbox import accept\n"),
        ("store/a.py", "from waypost import policies\n"),
        ("outbox/a.py", "from waypost.webhooks.follow import step\n"),
        ("outbox/a.py", "def late():\n    from waypost.web import api\n"),
        ("outbox/deep/a.py", "from ...inbox import reader\n"),
        ("outbox/a.py", "from .. import inbox\n"),
        (
            "policies/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import waypost.store.rows\n",
        ),
        ("web/a.py", "import importlib\nimportlib.import_module('waypost.app')\n"),
        ("web/a.py", "__import__('waypost.cli')\n"),
        ("web/a.py", "from waypost.emulator import Emulator\n"),
        ("emulator/a.py", "from waypost.domain import ids\n"),
        ("config/a.py", "from waypost.domain import ids\n"),
        ("transports/linked/a.py", "from waypost.transports.cloud_api import wire\n"),
        ("app.py", "import waypost.cli\n"),
        ("__init__.py", "from waypost.app import build\n"),
        ("attic/a.py", ""),
    ],
)
def test_a_planted_crossing_is_caught(tmp_path: Path, path: str, text: str) -> None:
    plant(tmp_path, f"src/waypost/{path}", text)
    assert len(crossings(tmp_path)) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("outbox/a.py", "from waypost.store import rows\nfrom . import b\nfrom .. import __version__\n"),
        ("app.py", "from waypost.emulator import Emulator\nfrom waypost.web import api\n"),
        ("transports/cloud_api/a.py", "from waypost.transports.base import Seam\n"),
        ("emulator/a.py", "from waypost.emulator.ports import Clock\nimport waypost_other\n"),
        ("cli/a.py", "import waypost.app, json\n"),
    ],
)
def test_an_allowed_import_is_let_through(tmp_path: Path, path: str, text: str) -> None:
    plant(tmp_path, f"src/waypost/{path}", text)
    assert crossings(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("outbox/a.py", "import apsw\n"),
        ("web/a.py", "def f():\n    import sqlite3.dbapi2\n"),
        ("outbox/a.py", "from aiohttp import ClientSession\n"),
        ("domain/a.py", "from starlette.requests import Request\n"),
        ("store/a.py", "import hypothesis\n"),
        ("storefront.py", "import apsw\n"),
    ],
)
def test_a_library_planted_in_a_strange_room_is_caught(tmp_path: Path, path: str, text: str) -> None:
    plant(tmp_path, f"src/waypost/{path}", text)
    assert len(strays(tmp_path)) == 1
    plant(tmp_path, f"src/waypost/{path}", "import json\n")
    assert strays(tmp_path) == []
