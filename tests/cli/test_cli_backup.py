"""`waypost backup`, `backup-test` and `restore`, as an operator has them."""

import shutil
from pathlib import Path

import pytest
from tests.cli.house import House, run, write_settings


@pytest.fixture(scope="module")
def original(house: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a running gateway with a number."""
    house.add_number()
    file = tmp_path_factory.mktemp("backup") / "one.waypost"
    told = house.ok("backup", "--to", str(file))
    assert told["verified"]
    assert told["rows"] > 5
    return file


@pytest.fixture
def backed_up(original: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return Path(shutil.copy(original, tmp_path))


def _elsewhere(house: House, folder: Path) -> Path:
    """An installation with the same key and an empty place."""
    (folder / "data").mkdir(parents=True)
    write_settings(folder, "http://127.0.0.1:1")
    key = folder / "data" / "master.key"
    key.write_bytes((house.folder / "data" / "master.key").read_bytes())
    key.chmod(0o600)
    return folder


def test_a_backup_beside_the_gateway_is_restored_elsewhere(
    house: House, backed_up: Path, tmp_path: Path
) -> None:
    there = _elsewhere(house, tmp_path / "there")
    said = run(there, "restore", "--from", str(backed_up), "--json")
    assert said.code == 0, said
    assert said.json["timeline"] != said.json["ended_timeline"]
    again = run(there, "restore", "--from", str(backed_up))
    assert (again.code, "place_not_empty" in again.errors) == (1, True)


def test_a_backup_is_tested_without_touching_anything(house: House, backed_up: Path) -> None:
    assert house.ok("backup-test", "--from", str(backed_up))["exact"]
    with backed_up.open("r+b") as file:
        file.seek(500)
        file.write(b"spoilt")
    said = house.run("backup-test", "--from", str(backed_up))
    assert (said.code, "backup_altered" in said.errors) == (1, True)


def test_a_restore_without_the_key_says_so_and_makes_none(
    house: House, backed_up: Path, tmp_path: Path
) -> None:
    there = _elsewhere(house, tmp_path / "there")
    key = there / "data" / "master.key"
    key.unlink()
    said = run(there, "restore", "--from", str(backed_up))
    assert (said.code, "master_key_missing" in said.errors) == (1, True)
    assert not key.exists()
