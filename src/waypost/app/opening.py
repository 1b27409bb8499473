"""Opens the store that the configuration names: the embedded file, or the shared database."""

import time
from pathlib import Path

from waypost.app.master_key import master_key
from waypost.app.ports import PooledRandomness, SystemRandomness
from waypost.config import Config
from waypost.domain.errors import Unavailable
from waypost.domain.ids import IdSource, encode
from waypost.store.codec import Codec
from waypost.store.engine import Engine
from waypost.store.held_file import HeldFile
from waypost.store.sqlite import SqliteEngine
from waypost.store.tables import Readable


def open_engine(config: Config, owner: str, *, may_be_loading: bool = False) -> Engine:
    """Open the store (made when there is none); `owner` names this life of the process. Raises `Unavailable`.

    `may_be_loading`: even one that a copy left half loaded, for who goes on with it.
    """
    randomness = SystemRandomness()
    codec = Codec(master_key(config.secrets, randomness), randomness)
    # The writer's own source: a source of ids belongs to one thread.
    ids = IdSource(PooledRandomness())

    def timeline() -> str:
        # Names this life of the journal: a restore begins another.
        return encode(int.from_bytes(randomness.token_bytes(5), "big"))[-8:]

    if config.store.url is None:
        path = Path(config.store.path)
        return SqliteEngine(path, codec, ids, timeline, owner=owner, may_be_loading=may_be_loading)
    try:
        from waypost.store.postgres import PostgresEngine
    except ImportError:
        raise _driver_missing() from None
    return PostgresEngine(
        config.store.url, codec, ids, timeline, owner=owner, pause=time.sleep, may_be_loading=may_be_loading
    )


def hold_source(config: Config) -> Readable:
    """Open the store for reading while nobody may serve it, until closed; raises `Unavailable` or `Conflict`."""
    randomness = SystemRandomness()
    codec = Codec(master_key(config.secrets, randomness), randomness)
    if config.store.url is None:
        return HeldFile(Path(config.store.path), codec)
    try:
        from waypost.store.held_database import HeldDatabase
    except ImportError:
        raise _driver_missing() from None
    return HeldDatabase(config.store.url, codec)


def _driver_missing() -> Unavailable:
    return Unavailable(
        "a PostgreSQL database is named, and its driver is not installed",
        code="driver_missing",
        remedy="pip install 'waypost[postgres]'",
    )
