"""The command line on a shared database: migrate, and what doctor finds."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import postgres
from tests.cli.house import Said
from tests.cli.test_cli_operator import write_settings

from waypost.store import schema
from waypost.store.upgrade import upgrade_of_database

NOW = schema.wanted()
# The one the tests' databases are made with.
_KEY = base64.b64encode(b"k" * 32).decode()


class Shared:
    """A database, and the command line on it as a process of its own: it opens the store itself."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        write_settings(folder, "http://127.0.0.1:1")

    def run(self, *words: str) -> Said:
        environment = {
            **os.environ,
            "WAYPOST_CONFIG": str(self.folder / "waypost.toml"),
            "WAYPOST_STORE_URL": self.url,
            "WAYPOST_SECRETS_MASTER_KEY": _KEY,
            "TERMINAL_WIDTH": "200",
        }
        done = subprocess.run(
            [sys.executable, "-m", "waypost", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    url = postgres.migrated_database()
    yield Shared(tmp_path, url)
    postgres.session_server().drop(url)


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Shared]:
    """A database as the release before left it."""
    url = postgres.session_server().new_database()
    with upgrade_of_database(url, schema.migrations()[:-1]) as upgrade:
        list(upgrade.expand())
    name = postgres.name_of(url)
    postgres.session_server().run("INSERT INTO meta (key, value) VALUES ('timeline', 't1')", name)
    yield Shared(tmp_path, url)
    postgres.session_server().drop(url)


def test_a_database_of_the_release_before_is_refused_migrated_and_served(behind: Shared) -> None:
    refused = behind.run("keys", "list")
    assert refused.code == 1
    assert "waypost migrate" in refused.errors
    assert f"schema {NOW - 1}, this release needs {NOW}" in behind.run("doctor").out

    dry = behind.run("migrate", "--dry-run")
    assert schema.migrations()[-1].expand.strip() in dry.out
    assert behind.run("migrate", "--dry-run", "--json").json["to_run"] == [NOW]

    assert behind.run("migrate", "--json").json == {
        "expanded": NOW,
        "contracted": 0,
        "run": [NOW],
        "to_run": [],
    }
    assert behind.run("migrate", "--json").json["run"] == []
    # Served: the answer is now the gateway's own.
    assert "There is no tenant yet" in behind.run("keys", "list").errors


def test_doctor_tells_of_the_server_and_of_what_could_lose_a_commit(shared: Shared) -> None:
    said = shared.run("doctor")
    assert "ok   database     PostgreSQL 18" in said.out
    # The tests' server runs without fsync, for their speed: just what doctor is there to find.
    assert "fail database     PostgreSQL can lose what it said is on disk: fsync is off" in said.out


def test_doctor_tells_of_a_server_that_does_not_answer(tmp_path: Path) -> None:
    said = Shared(tmp_path, "postgresql://waypost:secret@127.0.0.1:1/waypost").run("doctor")
    assert "fail database     the database cannot be reached (database_unreachable)" in said.out
    assert "secret" not in said.out + said.errors
