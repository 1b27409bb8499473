"""A backup is one exact moment; a restore brings it back in a new life of the journal, and sends nothing again."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests import engines
from tests.support import (
    START,
    FakeClock,
    ScriptedTransport,
    SeededRandomness,
    accept_text,
    kinds_of,
    new_sender,
    new_store,
    seed_number,
    settle,
    status_of,
)

from waypost.domain.errors import Conflict, TimelineChanged, Unavailable
from waypost.domain.outcomes import Sent
from waypost.operations.backup import take, verify
from waypost.operations.restore import restore
from waypost.store.archive import Foot, Head, frames_of, sums_of
from waypost.store.database import Store
from waypost.store.engine import Engine
from waypost.store.journal import ended_timelines, position_of
from waypost.store.tables import tables_of

pytestmark = pytest.mark.parametrize("engine", engines.NAMES, indirect=True)
KEY, SALT = b"k" * 32, b"s" * 16
LATER = START + timedelta(hours=2)


def _place(folder: Path, timeline: str = "t2") -> Engine:
    folder.mkdir()
    return engines.current.open(folder, SeededRandomness(5), timeline)


def _silent(done: int, in_all: int) -> None:
    assert done <= in_all


def _folder(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    return tmp_path / "a"


async def _lived(folder: Path) -> Store:
    """A store with one sent message, and one that waits."""
    store, clock = new_store(folder), FakeClock()
    number = await seed_number(store)
    await accept_text(store, number, clock, to="+4915550001111")
    await settle(new_sender(store, ScriptedTransport(Sent("auto")), clock))
    await accept_text(store, number, clock, to="+4915550002222")
    return store


async def test_a_restore_has_the_rows_of_the_backup_exactly(tmp_path: Path) -> None:
    store = await _lived(_folder(tmp_path))
    taken = take(store.engine, tmp_path / "b.waypost", KEY, SALT, START)
    tables = tables_of(store.engine, store.engine.reading())
    before = sums_of(store.engine, tables)
    target = _place(tmp_path / "b")
    found = restore(target, tmp_path / "b.waypost", KEY, LATER, _silent)
    assert found.position == taken.position
    assert found.rows == taken.rows == sum(each.rows for each in before.values())
    after = sums_of(target, tables)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"messages", "journal", "timelines", "lanes"}


async def test_what_waited_is_unknown_after_a_restore_and_is_not_sent(tmp_path: Path) -> None:
    store = await _lived(_folder(tmp_path))
    clock = FakeClock()
    number = await seed_number(store, suffix="2")
    waiting = await accept_text(store, number, clock, on_unknown="resend")
    spoken = await accept_text(store, number, clock, to="+4915550004444")
    engines.current.run(store.engine, f"UPDATE messages SET status = 'sending' WHERE id = '{spoken}'")
    coming = await accept_text(
        store, number, clock, to="+4915550003333", not_before=LATER + timedelta(hours=1)
    )
    take(store.engine, tmp_path / "b.waypost", KEY, SALT, START)
    target = _place(tmp_path / "b")
    found = restore(target, tmp_path / "b.waypost", KEY, LATER, _silent)
    again = Store(target)
    assert found.in_doubt == 3
    assert await status_of(again, number, waiting) == "unknown"
    assert await status_of(again, number, spoken) == "unknown"
    assert await status_of(again, number, coming) == "accepted"
    assert await kinds_of(again, number, waiting) == ["message.accepted", "message.unknown"]
    transport = ScriptedTransport(Sent("auto"))
    await settle(new_sender(again, transport, FakeClock(LATER)))
    assert transport.spoken == []


async def test_a_cursor_of_the_ended_timeline_is_told_where_to_resume(tmp_path: Path) -> None:
    store = await _lived(_folder(tmp_path))
    taken = take(store.engine, tmp_path / "b.waypost", KEY, SALT, START)
    target = _place(tmp_path / "b")
    restore(target, tmp_path / "b.waypost", KEY, LATER, _silent)
    ended = target.reading().snapshot(ended_timelines)
    assert ended == {"t1": taken.position}
    rows = (
        (f"evt_t1_{taken.position + 1}", taken.position),
        ("evt_t1_2", 2),
        ("evt_other_99", taken.position),
    )
    for cursor, resume in rows:
        with pytest.raises(TimelineChanged) as told:
            position_of(cursor, "t2", taken.position + 1, ended)
        assert f"evt_t2_{resume} " in str(told.value.remedy)


async def test_a_used_place_is_refused(tmp_path: Path) -> None:
    store = await _lived(_folder(tmp_path))
    take(store.engine, tmp_path / "b.waypost", KEY, SALT, START)
    with pytest.raises(Conflict, match="not empty"):
        restore(store.engine, tmp_path / "b.waypost", KEY, LATER, _silent)


async def test_a_store_left_half_restored_is_not_opened(tmp_path: Path) -> None:
    store = await _lived(_folder(tmp_path))
    engines.current.run(store.engine, "INSERT INTO meta (key, value) VALUES ('loading', 'yes')")
    store.engine.close()
    with pytest.raises(Unavailable) as told:
        new_store(tmp_path / "a")
    assert told.value.code == "half_restored"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda text: text[:-5], "backup_truncated"),
        (lambda text: text[:69], "backup_truncated"),
        (lambda text: text[:-1] + bytes([text[-1] ^ 1]), "backup_altered"),
        (lambda text: text + b"x", "backup_altered"),
        (lambda text: b"x" + text, "not_a_backup"),
    ],
)
async def test_a_damaged_backup_is_refused_and_nothing_is_written(tmp_path: Path, spoil, code: str) -> None:  # type: ignore[no-untyped-def]
    store, file = await _lived(_folder(tmp_path)), tmp_path / "b.waypost"
    take(store.engine, file, KEY, SALT, START)
    file.write_bytes(spoil(file.read_bytes()))
    target = _place(tmp_path / "b")
    with pytest.raises(Unavailable) as told:
        restore(target, file, KEY, LATER, _silent)
    assert told.value.code == code
    assert {each.rows for each in sums_of(target, tables_of(target, target.reading())).values()} == {0}


async def test_another_master_key_is_named_as_the_fault(tmp_path: Path) -> None:
    store, file = await _lived(_folder(tmp_path)), tmp_path / "b.waypost"
    take(store.engine, file, KEY, SALT, START)
    with pytest.raises(Unavailable) as told:
        verify(file, b"z" * 32)
    assert told.value.code == "wrong_master_key"


async def test_a_backup_holds_no_readable_content(tmp_path: Path) -> None:
    store, file = await _lived(_folder(tmp_path)), tmp_path / "b.waypost"
    take(store.engine, file, KEY, SALT, START)
    assert b"hello" not in file.read_bytes()
    assert not file.with_name("b.waypost.partial").exists()


async def test_what_is_committed_while_a_backup_is_read_is_not_in_it(tmp_path: Path) -> None:
    store = await _lived(_folder(tmp_path))
    number = await seed_number(store, suffix="3")
    reading = store.engine.reading()
    reading._connection.begin_reading()
    frames = frames_of(store.engine, reading, START)
    head = next(frames)
    await accept_text(store, number, FakeClock(), to="+4915550009999")
    foot = list(frames)[-1]
    reading._connection.end_reading()
    assert isinstance(head, Head)
    assert isinstance(foot, Foot)
    assert foot.sums["journal"].rows == head.position


async def test_a_backup_of_one_engine_is_restored_into_the_other(tmp_path: Path) -> None:
    store, file = await _lived(_folder(tmp_path)), tmp_path / "b.waypost"
    taken = take(store.engine, file, KEY, SALT, START)
    other = engines.named("sqlite" if engines.current.name == "postgres" else "postgres")
    (tmp_path / "b").mkdir()
    try:
        target = other.open(tmp_path / "b", SeededRandomness(5), "t2")
        assert restore(target, file, KEY, LATER, _silent).rows == taken.rows
        target.close()
    finally:
        other.close()
