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
from waypost.store.sqlite import SqliteEngine


def open_engine(config: Config, owner: str) -> Engine:
    """Open the store (made when there is none); `owner` names this life of the process. Raises `Unavailable`."""
    randomness = SystemRandomness()
    codec = Codec(master_key(config.secrets, randomness), randomness)
    # The writer's own source: a source of ids belongs to one thread.
    ids = IdSource(PooledRandomness())

    def timeline() -> str:
        # Names this life of the journal: a restore begins another.
        return encode(int.from_bytes(randomness.token_bytes(5), "big"))[-8:]

    if config.store.url is None:
        return SqliteEngine(Path(config.store.path), codec, ids, timeline, owner=owner)
    try:
        from waypost.store.postgres import PostgresEngine
    except ImportError:
        raise Unavailable(
            "store.url names a PostgreSQL database, and its driver is not installed",
            code="driver_missing",
            remedy="pip install 'waypost[postgres]'",
        ) from None
    return PostgresEngine(config.store.url, codec, ids, timeline, owner=owner, pause=time.sleep)
