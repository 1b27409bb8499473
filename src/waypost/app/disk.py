"""Watches the free space of the store's disk: new work is refused while a reserve is left for what is under way."""

import os
import time
from pathlib import Path

from waypost.domain.errors import Unavailable

_LOOK_SECONDS = 1.0


class DiskWatch:
    """Refuses when less than `free_bytes_min` is left; looks at most once a second."""

    def __init__(self, folder: Path, free_bytes_min: int) -> None:
        self._folder, self._free_bytes_min = folder, free_bytes_min
        self._looked_at = float("-inf")
        self.free_bytes = 0

    def check(self) -> None:
        """Raise `Unavailable` while the disk is nearly full; recovers by itself."""
        if self.low():
            raise Unavailable(
                "the disk is nearly full: new work is refused so that what is under way can end",
                code="disk_full",
                remedy="free space; it recovers by itself",
                retry_after_seconds=5,
            )

    def low(self) -> bool:
        """Tell whether the reserve is reached."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            space = os.statvfs(self._folder)
            self.free_bytes = space.f_bavail * space.f_frsize
        return self.free_bytes < self._free_bytes_min
