"""A file encrypted and authenticated in pieces, so that a stream of any length is checked as it is read.

AES-256-GCM; each file has its own key (HKDF of the master key and the file's salt), each piece its own nonce (its
turn, and whether it is the last). A piece that is altered, missing, moved or cut off is seen.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from waypost.domain.errors import Unavailable

_MAGIC = b"WAYPOST-BACKUP-1\n"
_SALT_BYTES, _FINGERPRINT_BYTES = 16, 16
_PIECE_BYTES = 1 << 18
_LAST = 1 << 31
_REMEDY = "take another copy of this backup, or an older backup"


def _cipher(master_key: bytes, salt: bytes) -> AESGCM:
    derived = HKDF(algorithm=SHA256(), length=32, salt=salt, info=b"waypost/backup").derive(master_key)
    return AESGCM(derived)


def _fingerprint(master_key: bytes, salt: bytes) -> bytes:
    of_key = HKDF(algorithm=SHA256(), length=_FINGERPRINT_BYTES, salt=salt, info=b"waypost/backup-key")
    return of_key.derive(master_key)


def _nonce(turn: int, is_last: bool) -> bytes:
    return turn.to_bytes(11, "big") + bytes([is_last])


class SealedWriter:
    """Writes `path` by way of `path.partial`: the name appears only once everything is on disk."""

    def __init__(self, path: Path, master_key: bytes, salt: bytes) -> None:
        self._path, self._partial = path, path.with_name(path.name + ".partial")
        self._cipher = _cipher(master_key, salt)
        self._head = _MAGIC + salt + _fingerprint(master_key, salt)
        self._turn, self._waiting = 0, bytearray()
        descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._file: BinaryIO = os.fdopen(descriptor, "wb")
        self._file.write(self._head)

    def write(self, text: bytes) -> None:
        """Append bytes."""
        self._waiting += text
        while len(self._waiting) > _PIECE_BYTES:
            self._put(bytes(self._waiting[:_PIECE_BYTES]), False)
            del self._waiting[:_PIECE_BYTES]

    def _put(self, piece: bytes, is_last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._turn, is_last), piece, self._head)
        self._file.write((len(sealed) | (_LAST if is_last else 0)).to_bytes(4, "big") + sealed)
        self._turn += 1

    def finish(self) -> int:
        """Seal the end, bring it to disk, give it its name; gives its bytes."""
        self._put(bytes(self._waiting), True)
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        self._file.close()
        self._partial.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._file.close()
            self._partial.unlink(missing_ok=True)


def sealed_bytes(path: Path, master_key: bytes) -> Iterator[bytes]:
    """Give the bytes of a sealed file, piece by piece; raises `Unavailable` naming what is wrong with it."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise Unavailable(
            f"{path.name} cannot be read: {error.strerror}", code="backup_unreadable", remedy="check the path"
        ) from None
    with file:
        head = file.read(len(_MAGIC) + _SALT_BYTES + _FINGERPRINT_BYTES)
        if not head.startswith(_MAGIC) or len(head) < len(_MAGIC) + _SALT_BYTES + _FINGERPRINT_BYTES:
            raise Unavailable(
                f"{path.name} is not a backup of Waypost", code="not_a_backup", remedy="give the right file"
            )
        salt = head[len(_MAGIC) : len(_MAGIC) + _SALT_BYTES]
        if head[-_FINGERPRINT_BYTES:] != _fingerprint(master_key, salt):
            raise Unavailable(
                f"{path.name} was made with another master key, or its head is damaged",
                code="wrong_master_key",
                remedy="give the key of the gateway that made it: its key file, or WAYPOST_SECRETS_MASTER_KEY",
            )
        yield from _pieces(file, path.name, head, _cipher(master_key, salt))


def _pieces(file: BinaryIO, name: str, head: bytes, cipher: AESGCM) -> Iterator[bytes]:
    turn, is_last = 0, False
    while not is_last:
        prefix = file.read(4)
        word = int.from_bytes(prefix, "big")
        is_last, size = bool(word & _LAST), word & ~_LAST
        if len(prefix) < 4 or size > _PIECE_BYTES + 16 or len(sealed := file.read(size)) < size:
            raise Unavailable(f"{name} is cut off or damaged", code="backup_truncated", remedy=_REMEDY)
        # Before the last piece is given: who has that reads no further.
        if is_last and file.read(1):
            raise Unavailable(f"{name} goes on behind its end", code="backup_altered", remedy=_REMEDY)
        try:
            piece = cipher.decrypt(_nonce(turn, is_last), sealed, head)
        except InvalidTag:
            raise Unavailable(f"{name} was altered", code="backup_altered", remedy=_REMEDY) from None
        yield piece
        turn += 1
