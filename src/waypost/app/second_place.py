"""Opens the second place that the configuration names."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from waypost.config import Config
from waypost.domain.errors import Unavailable
from waypost.store.second_place import SecondFolder, SecondPlace


def open_second_place(config: Config) -> SecondPlace | None:
    """Give the second place, or None when none is configured; nothing is reached yet."""
    url = config.store.second_place
    if url is None:
        return None
    if url.startswith("file:"):
        return SecondFolder(Path(unquote(urlsplit(url).path)))
    try:
        from waypost.store.second_database import SecondDatabase
    except ImportError:
        raise Unavailable(
            "store.second_place names a PostgreSQL database, and its driver is not installed",
            code="driver_missing",
            remedy="pip install 'waypost[postgres]'",
        ) from None
    return SecondDatabase(url)
