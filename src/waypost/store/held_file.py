"""An embedded database that is read while nobody may write it: its lock is ours until closed."""

from pathlib import Path

from waypost.domain.errors import Unavailable
from waypost.store.beside import Beside
from waypost.store.codec import Codec
from waypost.store.sqlite import lock_file


class HeldFile(Beside):
    """A database file, held and opened for reading alone; raises `Unavailable` while a gateway serves it."""

    def __init__(self, path: Path, codec: Codec) -> None:
        if not path.exists():
            raise Unavailable(
                f"there is no database at {path}",
                code="database_missing",
                remedy="name the file to be copied",
            )
        self._lock = lock_file(path)
        try:
            super().__init__(path, codec)
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        """Let go of the file and of its lock."""
        super().close()
        self._lock.close()
