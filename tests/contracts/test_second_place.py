"""What a second place promises: kept once on return, given back whole, its heartbeat the latest; else it says so."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from tests import postgres

from waypost.domain.errors import Unavailable
from waypost.domain.withdrawals import Copied, Heartbeat
from waypost.store.second_database import SecondDatabase
from waypost.store.second_place import SecondFolder, SecondPlace

ONE_ENGINE = True  # the store is not part of it: the places are its rows
DAY = 86_400_000


class There(Struct):
    """A place: how it is opened, and how it is taken away."""

    open: Callable[[], SecondPlace]
    take_away: Callable[[], Any]


def _folder(folder: Path) -> There:
    place = folder / "second"
    place.mkdir()
    return There(lambda: SecondFolder(place), lambda: place.rename(folder / "unmounted"))


def _database(folder: Path) -> There:
    url = postgres.session_server().new_database()
    return There(lambda: SecondDatabase(url), lambda: postgres.session_server().drop(url))


@pytest.fixture(params=[_folder, _database], ids=["folder", "database"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> There:
    return request.param(tmp_path)  # type: ignore[no-any-return]


@pytest.fixture
def place(there: There) -> Iterator[SecondPlace]:
    opened = there.open()
    yield opened
    opened.close()


def entry(turn: int, at: int = 1_000) -> Copied:
    return Copied(f"wdr_{turn:04}", "ten_1", (f"{turn:032x}", "ff" * 16), "marketing", at)


def test_what_was_put_is_given_back_by_another_opening(there: There, place: SecondPlace) -> None:
    wanted = [entry(1), entry(2, DAY + 5), Copied("wdr_0003", "ten_2", (), "all", 7)]
    place.put(wanted[:1])
    place.put(wanted[1:])
    again = there.open()
    assert sorted(again.withdrawals(), key=lambda each: each.id) == wanted
    again.close()


def test_a_repeated_entry_is_one(place: SecondPlace) -> None:
    for _ in range(2):
        place.put([entry(1), entry(2)])
    assert {each.id for each in place.withdrawals()} == {"wdr_0001", "wdr_0002"}
    assert set(place.withdrawals()) == {entry(1), entry(2)}


def test_more_than_a_page_comes_back_whole(place: SecondPlace) -> None:
    wanted = [entry(turn, turn * DAY // 400) for turn in range(1_201)]
    place.put(wanted)
    assert sorted(place.withdrawals(), key=lambda each: each.id) == wanted


def test_an_empty_place_has_nothing(place: SecondPlace) -> None:
    assert list(place.withdrawals()) == []
    assert place.last_beat() is None


def test_the_latest_heartbeat_stays_whoever_comes_late(place: SecondPlace) -> None:
    for at, position in ((5, 50), (9, 90), (7, 70)):
        place.beat(Heartbeat("t1", position, at))
    assert place.last_beat() == Heartbeat("t1", 90, 9)


@pytest.mark.parametrize(
    "use",
    [
        lambda place: place.put([entry(1)]),
        lambda place: place.beat(Heartbeat("t1", 1, 1)),
        lambda place: place.last_beat(),
        lambda place: list(place.withdrawals()),
    ],
    ids=["put", "beat", "last_beat", "withdrawals"],
)
def test_a_place_that_is_gone_says_so(
    there: There, place: SecondPlace, use: Callable[[SecondPlace], Any]
) -> None:
    place.put([entry(0)])
    there.take_away()
    with pytest.raises(Unavailable) as told:
        use(place)
    assert told.value.code == "second_place_unavailable"
    assert "postgresql://" not in str(told.value)


def test_a_line_torn_by_a_crash_is_closed_and_the_next_one_stands(tmp_path: Path) -> None:
    place = SecondFolder(tmp_path)
    place.put([entry(1)])
    (file,) = tmp_path.glob("*.jsonl")
    with file.open("ab") as torn:
        torn.write(b'{"type":"withdr')
    assert list(place.withdrawals()) == [entry(1)]
    place.put([entry(2)])
    assert list(place.withdrawals()) == [entry(1), entry(2)]


def test_a_damaged_line_is_named_and_not_skipped(tmp_path: Path) -> None:
    place = SecondFolder(tmp_path)
    place.put([entry(1)])
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(b"x" + file.read_bytes())
    with pytest.raises(Unavailable, match=r"line 1 of withdrawals-1970-01-01\.jsonl") as told:
        list(place.withdrawals())
    assert told.value.code == "second_place_damaged"
