"""The second place: withdrawals kept outside of the database, so that a restore from an older backup misses none.

One interface; here it is a folder of JSON lines, in `second_database` another PostgreSQL. Both keep what they are given
more than once as one entry, and hold blind indexes in place of phone numbers and names.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from waypost.domain.errors import Unavailable
from waypost.domain.times import from_ms
from waypost.domain.withdrawals import Copied, Heartbeat

_HEARTBEAT = "heartbeat.json"
# Closes a line whose writer died in the middle of it: its caller was told nothing, and says it again.
_TORN = b"#torn\n"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Copied).decode
_decode_beat = msgspec.json.Decoder(Heartbeat).decode


class SecondPlace(Protocol):
    """Where withdrawals are kept a second time. Every method blocks, and raises `Unavailable` when it cannot do it."""

    def put(self, entries: Sequence[Copied]) -> None:
        """Keep these; on return they survive the loss of everything else."""
        ...

    def withdrawals(self) -> Iterator[Copied]:
        """Give every entry, each at least once."""
        ...

    def beat(self, heartbeat: Heartbeat) -> None:
        """Note how far the journal has come, unless something later is noted."""
        ...

    def last_beat(self) -> Heartbeat | None:
        """Give what was noted last."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def unreachable(why: str) -> Unavailable:
    """Make the error for a second place that cannot be used now."""
    return Unavailable(
        f"the second place cannot be used: {why}",
        code="second_place_unavailable",
        remedy="check what store.second_place names; a withdrawal is applied here already: repeat it",
        retry_after_seconds=5,
    )


class SecondFolder:
    """A folder on another disk or a mounted bucket: one append-only file a day, and a heartbeat.

    The folder is never made: a mount that is missing would be filled in on the disk beneath it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, entries: Sequence[Copied]) -> None:
        """Append lines to the files of their days, and wait for the disk."""
        by_day: dict[str, list[bytes]] = {}
        for entry in entries:
            by_day.setdefault(f"{from_ms(entry.at):%Y-%m-%d}", []).append(_encode(entry) + b"\n")
        try:
            for day, lines in sorted(by_day.items()):
                self._append(self._folder / f"withdrawals-{day}.jsonl", b"".join(lines))
        except OSError as error:
            raise unreachable(error.strerror or "a fault of the file system") from None

    def _append(self, path: Path, lines: bytes) -> None:
        is_new = not path.exists()
        with path.open("a+b") as file:
            # Several processes append; the lock goes with the file.
            fcntl.flock(file, fcntl.LOCK_EX)
            if size := file.seek(0, os.SEEK_END):
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    lines = _TORN + lines
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            self._sync_folder()

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def withdrawals(self) -> Iterator[Copied]:
        """Read all files, oldest day first; a line that cannot be read is a damage, and is named."""
        try:
            if not self._folder.is_dir():
                raise unreachable("its folder is not there")
            for path in sorted(self._folder.glob("withdrawals-*.jsonl")):
                with path.open("rb") as file:
                    for number, line in enumerate(file, 1):
                        # Nobody was told that a line without an end is kept.
                        if line.endswith(b"\n") and not line.endswith(_TORN):
                            yield _entry(path, number, line)
        except OSError as error:
            raise unreachable(error.strerror or "a fault of the file system") from None

    def beat(self, heartbeat: Heartbeat) -> None:
        """Replace the heartbeat by a later one."""
        try:
            with (self._folder / "heartbeat.lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                last = self.last_beat()
                if last is not None and last.at >= heartbeat.at:
                    return
                fresh = self._folder / f"{_HEARTBEAT}.partial"
                with fresh.open("wb") as file:
                    file.write(_encode(heartbeat))
                    file.flush()
                    os.fsync(file.fileno())
                fresh.rename(self._folder / _HEARTBEAT)
                self._sync_folder()
        except OSError as error:
            raise unreachable(error.strerror or "a fault of the file system") from None

    def last_beat(self) -> Heartbeat | None:
        """Read the heartbeat."""
        try:
            if not self._folder.is_dir():
                raise unreachable("its folder is not there")
            return _decode_beat((self._folder / _HEARTBEAT).read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreachable(error.strerror or "a fault of the file system") from None
        except msgspec.DecodeError:
            raise _damaged(_HEARTBEAT) from None

    def close(self) -> None:
        """Nothing is kept open."""


def _entry(path: Path, number: int, line: bytes) -> Copied:
    try:
        return _decode(line)
    except msgspec.DecodeError:
        raise _damaged(f"line {number} of {path.name}") from None


def _damaged(what: str) -> Unavailable:
    return Unavailable(
        f"the second place is damaged: {what}",
        code="second_place_damaged",
        remedy="put it back from a copy, or take it out once you know whose it was",
    )
