"""The portable archive: every table of a store as pages of rows, the same whichever engine it came from.

Frames of msgpack, each with its length before it: a head, pages, a foot with counts and digests. Reading a store takes
one snapshot from its first row to its last, so an archive is one moment of a store that goes on being written.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from waypost.domain.errors import Conflict, Unavailable
from waypost.domain.times import to_ms
from waypost.store import schema
from waypost.store.connection import Row
from waypost.store.engine import Engine, Operation, Write, single
from waypost.store.journal import position_now
from waypost.store.tables import Readable, Table, count, insert, pages, tables_of
from waypost.store.transaction import Reading, Transaction

_FORMAT = 1
_FRAME_BYTES_MAX = 1 << 30
_encode = msgspec.msgpack.Encoder().encode


class Head(Struct, frozen=True, tag="head"):
    """What an archive says first; `taken_at` in milliseconds, `position` the journal's last."""

    format: int
    schema: int
    timeline: str
    position: int
    taken_at: int
    tables: tuple[Table, ...]


class Page(Struct, frozen=True, tag="page"):
    """Some rows of one table."""

    table: str
    rows: list[Row]


class Sum(Struct, frozen=True):
    """How many rows a table has, and the SHA-256 of them all in order, in hex."""

    rows: int
    digest: str


class Foot(Struct, frozen=True, tag="foot"):
    """What an archive says last."""

    sums: dict[str, Sum]


Frame = Head | Page | Foot
_decode = msgspec.msgpack.Decoder(Frame).decode


class Summing:
    """Sums rows as they pass."""

    def __init__(self, tables: Iterable[Table]) -> None:
        self._rows = {table.name: 0 for table in tables}
        self._digests = {name: hashlib.sha256() for name in self._rows}

    def add(self, page: Page) -> None:
        """Take a page into account."""
        self._rows[page.table] += len(page.rows)
        for row in page.rows:
            self._digests[page.table].update(_encode(row))

    def sums(self) -> dict[str, Sum]:
        """Give the sums so far."""
        return {name: Sum(rows, self._digests[name].hexdigest()) for name, rows in self._rows.items()}


def frames_of(store: Readable, reading: Reading, now: datetime) -> Iterator[Frame]:
    """Give a store as frames; call it within a snapshot."""
    tables = tuple(tables_of(store, reading))
    yield Head(_FORMAT, schema.wanted(), reading.timeline, position_now(reading), to_ms(now), tables)
    summing = Summing(tables)
    for table in tables:
        for rows in pages(reading, table):
            page = Page(table.name, rows)
            summing.add(page)
            yield page
    yield Foot(summing.sums())


def packed(frame: Frame) -> bytes:
    """Give a frame as bytes, its length before it."""
    body = _encode(frame)
    return len(body).to_bytes(4, "big") + body


def unpacked(pieces: Iterable[bytes]) -> Iterator[Frame]:
    """Read frames from a stream of bytes; raises `Unavailable` when it does not end with a foot."""
    waiting, frame = bytearray(), None
    for piece in pieces:
        waiting += piece
        while len(waiting) >= 4 and len(waiting) >= 4 + (size := int.from_bytes(waiting[:4], "big")):
            frame = _decode(bytes(waiting[4 : 4 + size]))
            if isinstance(frame, Head) and (frame.format != _FORMAT or frame.schema > schema.wanted()):
                raise Unavailable(
                    f"the backup has schema {frame.schema}, this release knows {schema.wanted()}",
                    code="schema_too_new",
                    remedy="restore it with the release that made it, or a newer one",
                )
            del waiting[: 4 + size]
            yield frame
    if waiting or not isinstance(frame, Foot):
        raise Unavailable("the backup has no end", code="backup_truncated", remedy="take an older backup")


def check(frames: Iterable[Frame]) -> tuple[Head, Foot]:
    """Read an archive to its end and compare each table's count and digest with its foot; raises `Unavailable`."""
    head: Head | None = None
    summing = Summing(())
    for frame in frames:
        if isinstance(frame, Head):
            head, summing = frame, Summing(frame.tables)
        elif isinstance(frame, Page):
            summing.add(frame)
        elif head is not None:
            refuse_difference(frame.sums, summing.sums())
            return head, frame
    raise Unavailable("the backup has no end", code="backup_truncated", remedy="take an older backup")


def refuse_difference(
    wanted: dict[str, Sum],
    found: dict[str, Sum],
    remedy: str = "this copy is not exact: do not use it; take another backup",
) -> None:
    """Raise `Unavailable` naming the tables whose counts or digests differ."""
    differing = sorted(name for name in wanted if found.get(name) != wanted[name])
    if differing:
        raise Unavailable(
            f"counts or digests differ in {', '.join(differing)}",
            code="digests_differ",
            remedy=remedy,
        )


def sums_of(store: Readable, tables: Iterable[Table]) -> dict[str, Sum]:
    """Sum the rows of these tables as they are in a store, at one moment."""
    return store.reading().snapshot(lambda reading: summed(reading, tuple(tables), lambda rows: None))


def summed(reading: Reading, tables: Sequence[Table], told: Callable[[int], None]) -> dict[str, Sum]:
    """Sum the rows of these tables; `told` hears of each page, how many rows it has."""
    summing = Summing(tables)
    for table in tables:
        for rows in pages(reading, table):
            summing.add(Page(table.name, rows))
            told(len(rows))
    return summing.sums()


def refuse_used(engine: Engine) -> None:
    """Raise `Conflict` unless every table of the store is empty."""

    def query(reading: Reading) -> list[str]:
        return [table.name for table in tables_of(engine, reading) if count(reading, table)]

    if used := engine.reading().snapshot(query):
        raise Conflict(
            f"the place to restore into is not empty: {', '.join(used[:5])} has rows",
            code="place_not_empty",
            remedy="name an empty place: another store.path, or an empty database in store.url",
        )


def load(engine: Engine, frames: Iterable[Frame], told: Callable[[Frame], None]) -> tuple[Head, Foot]:
    """Put an archive into an empty store and compare what is there then; raises `Conflict` or `Unavailable`.

    Until `restored.finish` no gateway serves what is half there.
    """
    refuse_used(engine)
    commit(engine, begin_loading, None)
    head: Head | None = None
    tables: dict[str, Table] = {}
    for frame in frames:
        if isinstance(frame, Head):
            head, tables = frame, {table.name: table for table in frame.tables}
        elif isinstance(frame, Page):
            commit(engine, _put, (tables[frame.table], frame.rows))
        elif head is not None:
            refuse_difference(frame.sums, sums_of(engine, head.tables))
            return head, frame
        told(frame)
    raise Unavailable("the backup has no end", code="backup_truncated", remedy="take an older backup")


@single
def begin_loading(tx: Transaction, _: None) -> None:
    """Mark the store as half loaded: no gateway opens it."""
    tx.execute("INSERT INTO meta (key, value) VALUES ('loading', 'yes') ON CONFLICT (key) DO NOTHING")


@single
def _put(tx: Transaction, item: tuple[Table, list[Row]]) -> None:
    insert(tx, *item)


def commit(engine: Engine, operation: Operation, item: object) -> Any:
    """Run one operation alone and give its result; raises what it says."""
    write = Write(operation, item)
    engine.commit_batch([write])
    if isinstance(write.result, BaseException):
        raise write.result
    return write.result
