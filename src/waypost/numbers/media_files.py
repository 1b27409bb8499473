"""Bytes of media on disk, by what they are: `ab/cdef…` under SHA-256. A row says stored only after fsync and rename."""

import errno
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Any

from waypost.domain.errors import TooLarge, Unavailable

HEAD_BYTES = 4096
# Runs slow file work; `app` hands down one that uses a thread, the plain one runs it in place.
Blocking = Callable[[Callable[[], Any]], Awaitable[Any]]


async def in_place(work: Callable[[], Any]) -> Any:
    """Run `work` here and now."""
    return work()


class Arrival:
    """A file that is coming in: written in order, hashed on the way, kept or discarded at the end."""

    def __init__(self, folder: Path, name: str, bytes_max: int) -> None:
        self._folder, self._bytes_max = folder, bytes_max
        self.path = folder / "incoming" / f"{name}.part"
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        self.head = b""
        with _told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] | None = open(self.path, "wb")  # noqa: SIM115 - closed by keep or discard

    def write(self, chunk: bytes) -> None:
        """Take the next bytes; raises `TooLarge` beyond the bound and `Unavailable` when the disk is full."""
        assert self._file is not None
        self.size_bytes += len(chunk)
        if self.size_bytes > self._bytes_max:
            raise TooLarge(f"the media exceeds {self._bytes_max} bytes", code="media_too_large", field="file")
        self._hash.update(chunk)
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]
        with _told():
            self._file.write(chunk)

    @property
    def sha256(self) -> str:
        """Give the hash of what came so far, in hex."""
        return self._hash.hexdigest()

    def flush(self) -> None:
        """Put what came on the disk's queue, so that another reader of the file sees it."""
        assert self._file is not None
        with _told():
            self._file.flush()

    def keep(self) -> Path:
        """Make the file durable under its hash and give its path; the same bytes are kept once."""
        assert self._file is not None
        target = path_of(self._folder, self.sha256)
        with _told():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.path, target)
            for folder in (target.parent, self._folder):
                _sync_folder(folder)
        return target

    def discard(self) -> None:
        """Forget the file; harmless after `keep`."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self.path.unlink(missing_ok=True)


class MediaFiles:
    """The folder of stored media."""

    def __init__(self, folder: Path, bytes_max: int, blocking: Blocking = in_place) -> None:
        self.folder, self._bytes_max, self._blocking = folder, bytes_max, blocking

    def arrive(self, name: str) -> Arrival:
        """Open a file for what is coming in under `name` (an id of ours)."""
        return Arrival(self.folder, name, self._bytes_max)

    async def keep(self, arrival: Arrival) -> Path:
        """Make an arrival durable."""
        path: Path = await self._blocking(arrival.keep)
        return path

    def path(self, sha256: str) -> Path:
        """Give where the bytes of this hash lie."""
        return path_of(self.folder, sha256)

    def clear_incoming(self) -> int:
        """Drop what a killed process left half written; at the start only. Gives how many files."""
        left = list((self.folder / "incoming").glob("*.part"))
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)


def path_of(folder: Path, sha256: str) -> Path:
    """Give the path of the bytes with this hash (hex)."""
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ValueError("not a SHA-256 in hex")
    return folder / sha256[:2] / sha256[2:]


def _sync_folder(folder: Path) -> None:
    """A rename lasts only once its folder is on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _told:
    """Turns a failing disk into `Unavailable`, so that it is refused and tried again like a failing database."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise Unavailable(
                "the disk is full" if full else "the media folder cannot be written",
                code="disk_full" if full else "media_unwritable",
                remedy="free space or mend `inbox.media_dir`; it recovers by itself",
                retry_after_seconds=5,
            ) from None
