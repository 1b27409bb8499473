"""The key a row of the settings names: whose tenant, which environment, and is it still allowed to?"""

from datetime import datetime

from waypost.domain.errors import Unavailable
from waypost.domain.keys import Scope
from waypost.queues.base import Acting
from waypost.store import keys
from waypost.store.database import Store
from waypost.store.transaction import Reading


async def acting(store: Store, key_id: str, scope: Scope, now: datetime) -> Acting:
    """Give who acts. Raises `Unavailable` while the key is unknown, ended or lacks `scope`: messages then wait, since
    what is wrong are the settings or the key, not they."""
    key = await store.read(_latest, key_id)
    if key is None or key.state(now) in ("revoked", "expired"):
        raise Unavailable(
            f"{key_id}, which a queue's row names, is no key that works",
            code="queue_key_unusable",
            remedy="name another key in `queues`, and restart",
        )
    if scope not in key.scopes:
        raise Unavailable(
            f"{key_id}, which a queue's row names, lacks the scope {scope}",
            code="queue_key_lacks_scope",
            remedy=f"name a key with {scope} in `queues`, and restart",
        )
    return Acting(key.tenant_id, f"key:{key.id}", key.environment)


def _latest(reading: Reading, key_id: str) -> keys.Key | None:
    """Give the key, or its newest successor: a rotation changes a secret, and a row of the settings holds none."""
    key = keys.by_id(reading, key_id)
    while key is not None and key.successor_id is not None:
        key = keys.by_id(reading, key.successor_id)
    return key
