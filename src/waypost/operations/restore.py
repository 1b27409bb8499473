"""Puts a backup into an empty store: exact to its moment, in a new life of the journal, with nothing sent again."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from waypost.operations.backup import frames_in
from waypost.store import restored
from waypost.store.archive import Frame, Page, check, commit, load
from waypost.store.engine import Engine
from waypost.store.restored import Doubt, InDoubt


class Restored(Struct, frozen=True):
    """What a restore brought back. Times in milliseconds; `in_doubt`: messages that are `unknown` now."""

    ended_timeline: str
    timeline: str
    position: int
    taken_at: int
    rows: int
    in_doubt: int


def restore(
    engine: Engine, path: Path, master_key: bytes, now: datetime, told: Callable[[int, int], None]
) -> Restored:
    """Load the backup at `path` into the empty store of `engine`; `told(rows so far, rows in all)` shows progress.

    Raises `Conflict` when the store has rows, `Unavailable` when the file is not exactly what was written.
    """
    # Read once to its end before anything is written: a damaged file leaves the place empty.
    _, foot = check(frames_in(path, master_key))
    in_all, so_far = sum(each.rows for each in foot.sums.values()), 0

    def count(frame: Frame) -> None:
        nonlocal so_far
        if isinstance(frame, Page):
            so_far += len(frame.rows)
            told(so_far, in_all)

    head, _ = load(engine, frames_in(path, master_key), count)
    ending = Doubt(head.timeline, head.position, now)
    in_doubt = 0
    while True:
        step: InDoubt = commit(engine, restored.doubt, ending)
        in_doubt += step.messages
        if not step.more:
            break
    commit(engine, restored.finish, ending)
    return Restored(head.timeline, engine.timeline, head.position, head.taken_at, so_far, in_doubt)
