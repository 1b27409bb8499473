"""Takes a backup beside a running gateway, reads it back, and says what it holds."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from waypost.domain.errors import Conflict
from waypost.store.archive import Foot, Frame, Head, check, frames_of, packed, unpacked
from waypost.store.sealed_file import SealedWriter, sealed_bytes
from waypost.store.tables import Readable
from waypost.store.transaction import Reading


class Backup(Struct, frozen=True):
    """A backup that was read back: where the journal stood, when (milliseconds), and how much there is."""

    timeline: str
    position: int
    taken_at: int
    tables: int
    rows: int
    size_bytes: int


def take(store: Readable, path: Path, master_key: bytes, salt: bytes, now: datetime) -> Backup:
    """Write the store as it is at one moment to `path`, encrypted, and verify what was written.

    `salt`: 16 random bytes. Raises `Conflict` when the file is there already, `Unavailable` when it cannot be verified.
    """
    if path.exists():
        raise Conflict(f"{path.name} is there already", code="file_exists", remedy="name a new file")

    def query(reading: Reading) -> int:
        with SealedWriter(path, master_key, salt) as file:
            for frame in frames_of(store, reading, now):
                file.write(packed(frame))
            return file.finish()

    # However slow the disk is that it goes to.
    size = store.reading().snapshot(query, slow=True)
    return _of(*check(frames_in(path, master_key)), size)


def frames_in(path: Path, master_key: bytes) -> Iterator[Frame]:
    """Give the frames of a backup file; raises `Unavailable` naming what is wrong with it."""
    return unpacked(sealed_bytes(path, master_key))


def verify(path: Path, master_key: bytes) -> Backup:
    """Read a backup to its end and compare counts and digests; raises `Unavailable` naming what is wrong."""
    return _of(*check(frames_in(path, master_key)), path.stat().st_size)


def _of(head: Head, foot: Foot, size_bytes: int) -> Backup:
    rows = sum(each.rows for each in foot.sums.values())
    return Backup(head.timeline, head.position, head.taken_at, len(foot.sums), rows, size_bytes)
