"""`waypost store copy`, as an operator has it: from a file to PostgreSQL and back, and what it refuses."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import postgres
from tests.cli.house import Said, run, write_settings

_KEY = base64.b64encode(b"k" * 32).decode()


class Place:
    """An installation with a tenant in its file, and an empty database beside it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.file = f"sqlite://{folder}/data/waypost.sqlite"
        (folder / "data").mkdir()
        write_settings(folder, "http://127.0.0.1:1")

    def run(self, *words: str, **environment: str) -> Said:
        return run(self.folder, *words, **{"WAYPOST_SECRETS_MASTER_KEY": _KEY, **environment})


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    url = postgres.session_server().new_database()
    made = Place(tmp_path, url)
    made.run("keys", "list")  # makes the file
    yield made
    postgres.session_server().drop(url)


def test_a_file_is_copied_to_postgres_and_back(place: Place) -> None:
    there = place.run("store", "copy", "--json", WAYPOST_COPY_FROM=place.file, WAYPOST_COPY_TO=place.url)
    assert there.code == 0, there
    assert there.json["verified"]
    back = f"sqlite://{place.folder}/back/waypost.sqlite"
    said = place.run("store", "copy", "--from", place.url, "--to", back)
    assert said.code == 0, said
    assert "verified: counts and digests of every table" in said.out
    again = place.run(
        "store", "copy", "--from", back, "--to", f"sqlite://{place.folder}/third.sqlite", "--json"
    )
    assert (again.json["sums"], again.json["timeline"]) == (there.json["sums"], there.json["timeline"])
    for name, each in there.json["sums"].items():
        assert f"{name}\t{each['rows']}\t{each['digest']}" in said.out


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        ("{file}", "{file}", "same_place"),
        ("{file}", "mysql://root:secret@db/x", "bad_url"),
        ("postgresql://u:secret@[/x", "{url}", "bad_url"),
        ("sqlite:///nowhere/w.sqlite", "{url}", "database_missing"),
        ("{url}", "sqlite:///{folder}/new.sqlite", "database_missing"),
        ("postgresql://u:secret@127.0.0.1:1/x", "{url}", "database_unreachable"),
    ],
)
def test_a_senseless_copy_is_refused_without_telling_the_url(
    place: Place, source: str, target: str, code: str
) -> None:
    words = {"file": place.file, "url": place.url, "folder": str(place.folder)}
    said = place.run("store", "copy", "--from", source.format(**words), "--to", target.format(**words))
    assert (said.code, code in said.errors) == (1, True), said
    assert "secret" not in said.out + said.errors


def test_a_copy_without_the_key_makes_none(place: Place) -> None:
    said = run(place.folder, "store", "copy", "--from", place.file, "--to", place.url)
    assert (said.code, "master_key_missing" in said.errors) == (1, True)
    assert not (place.folder / "data" / "master.key").exists()
