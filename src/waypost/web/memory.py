"""What one process remembers between requests: keys seen lately, Idempotency-Keys under way, keys used lately; and of
one request, whose it is.

All of it may be lost at any moment without harm: the store decides.
"""

from contextvars import ContextVar
from datetime import datetime, timedelta

from waypost.domain.errors import Conflict
from waypost.store.keys import Key

# A change of keys, in whichever process, empties the cache by its wake-up; where that is lost, this is how much longer
# a revoked key works here.
_KEY_TTL = timedelta(seconds=1)
_KEYS_MAX = 10_000
_TOUCH_INTERVAL = timedelta(minutes=1)

# The tenant whose request this task serves; empty for the gateway's own work and the operator's. Threads and lines are
# shared out by it, far below the routes, where no tenant is passed along.
ASKING: ContextVar[str] = ContextVar("asking", default="")


class KeyCache:
    """Keys by digest for a few seconds, and when each was last noted as used."""

    def __init__(self) -> None:
        self._keys: dict[bytes, tuple[Key, datetime]] = {}
        self._touched: dict[str, datetime] = {}
        self.tenant_ids: tuple[str, ...] = ()
        self.generation = 0

    def find(self, digest: bytes, now: datetime) -> Key | None:
        """Give the key when it was read within the last seconds."""
        found = self._keys.get(digest)
        if found is None or not timedelta(0) <= now - found[1] < _KEY_TTL:
            return None
        return found[0]

    def keep(self, digest: bytes, key: Key, now: datetime, generation: int) -> None:
        """Remember a key read while `generation` was current; a change in between wins."""
        if generation != self.generation:
            return
        if len(self._keys) >= _KEYS_MAX:
            self._keys.clear()
        self._keys[digest] = (key, now)

    def forget(self) -> None:
        """Drop every key: one was made, revoked or rotated."""
        self.generation += 1
        self._keys.clear()

    def due_for_touch(self, key_id: str, now: datetime) -> bool:
        """Say, at most once a minute per key, that its last use should be written."""
        last = self._touched.get(key_id)
        if last is not None and timedelta(0) <= now - last < _TOUCH_INTERVAL:
            return False
        if len(self._touched) >= _KEYS_MAX:
            self._touched.clear()
        self._touched[key_id] = now
        return True


class UnderWay:
    """The Idempotency-Keys whose first request is still running in this process."""

    def __init__(self) -> None:
        self._keys: set[tuple[str, str]] = set()

    def take(self, tenant_id: str, key: str) -> None:
        """Take the key for the length of a request; raises `Conflict` when another request has it."""
        held = (tenant_id, key)
        if held in self._keys:
            raise Conflict(
                "The first request with this Idempotency-Key is still under way.",
                code="idempotency_in_flight",
                field="Idempotency-Key",
                remedy="Send the same request again in a moment: it will get the first one's answer.",
                retry_after_seconds=1,
            )
        self._keys.add(held)

    def release(self, tenant_id: str, key: str) -> None:
        """Let go of a key that `take` gave."""
        self._keys.discard((tenant_id, key))
