"""The command line on a shared database: migrate, and what doctor finds."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import postgres
from tests.cli.house import Said, run
from tests.cli.test_cli_operator import write_settings

from waypost.store import schema

NOW = schema.wanted()
# The one the tests' databases are made with.
_KEY = base64.b64encode(b"k" * 32).decode()


class Shared:
    """A database of its own, and the command line on it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        write_settings(folder, "http://127.0.0.1:1")

    def run(self, *words: str) -> Said:
        return run(self.folder, *words, WAYPOST_STORE_URL=self.url, WAYPOST_SECRETS_MASTER_KEY=_KEY)

    def change(self, sql: str) -> None:
        postgres.session_server().run(sql, postgres.name_of(self.url))


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    url = postgres.migrated_database()
    yield Shared(tmp_path, url)
    postgres.session_server().drop(url)


def _as_of_the_release_before(shared: Shared) -> None:
    """The schema this release found: its last expansion taken back."""
    last = schema.migrations()[-1]
    tables = [line.split()[2] for line in last.expand.splitlines() if line.startswith("CREATE TABLE")]
    for table in tables:
        shared.change(f"DROP TABLE {table}")
    assert tables
    shared.change(f"UPDATE meta SET value = '{NOW - 1}' WHERE key = 'schema_version'")


def test_a_database_of_the_release_before_is_refused_migrated_and_served(shared: Shared) -> None:
    _as_of_the_release_before(shared)
    refused = shared.run("keys", "list")
    assert refused.code == 1
    assert "waypost migrate" in refused.errors
    assert f"schema {NOW - 1}, this release needs {NOW}" in shared.run("doctor").out

    dry = shared.run("migrate", "--dry-run")
    assert "CREATE TABLE" in dry.out
    assert shared.run("migrate", "--dry-run", "--json").json["to_run"] == [NOW]

    assert shared.run("migrate", "--json").json == {
        "expanded": NOW,
        "contracted": 0,
        "run": [NOW],
        "to_run": [],
    }
    assert shared.run("migrate", "--json").json["run"] == []
    # Served: the answer is now the gateway's own.
    assert "There is no tenant yet" in shared.run("keys", "list").errors


def test_doctor_tells_of_the_server_and_of_what_could_lose_a_commit(shared: Shared) -> None:
    said = shared.run("doctor")
    assert "ok   database     PostgreSQL 18" in said.out
    # The tests' server runs without fsync, for their speed: just what doctor is there to find.
    assert "fail database     PostgreSQL can lose what it said is on disk: fsync is off" in said.out


def test_doctor_tells_of_a_server_that_does_not_answer(tmp_path: Path) -> None:
    write_settings(tmp_path, "http://127.0.0.1:1")
    said = run(tmp_path, "doctor", WAYPOST_STORE_URL="postgresql://waypost:secret@127.0.0.1:1/waypost")
    assert "fail database     the database cannot be reached (database_unreachable)" in said.out
    assert "secret" not in said.out + said.errors
