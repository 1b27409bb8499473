"""The installation's key: from the environment, or from a file made (0600) on the first start."""

import base64
import os
from pathlib import Path

from waypost.config import Secrets
from waypost.domain.errors import Unavailable
from waypost.domain.ports import Randomness


def master_key(settings: Secrets, randomness: Randomness) -> bytes:
    """Give the 32 bytes everything sealed depends on. Losing them loses every stored token and secret."""
    if settings.master_key_bytes is not None:
        return settings.master_key_bytes
    path = Path(settings.key_file)
    try:
        text = path.read_text()
    except FileNotFoundError:
        return _make(path, randomness)
    if path.stat().st_mode & 0o077:
        raise Unavailable(
            f"{path.name} can be read by others",
            code="key_file_exposed",
            remedy=f"chmod 600 {path.name}, and rotate what it protected if somebody may have read it",
        )
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise Unavailable(
            f"{path.name} does not hold 32 bytes in base64",
            code="key_file_broken",
            remedy="restore it from your backup",
        )
    return key


def _make(path: Path, randomness: Randomness) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    key = randomness.token_bytes(32)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(key) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return key
