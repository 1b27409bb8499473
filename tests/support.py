"""What tests share: a clock that is told the time, seeded chance, a store on a real file, a number to send from."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from waypost.domain.ids import IdSource
from waypost.domain.times import to_ms
from waypost.store.codec import Codec
from waypost.store.database import Store
from waypost.store.engine import Engine, single
from waypost.store.transaction import Transaction

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class FakeClock:
    """A clock that moves only when told."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> datetime:
        self.at += timedelta(seconds=seconds)
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)


class SeededRandomness:
    """The same chance for the same seed."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def token_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def random(self) -> float:
        return self._random.random()


def new_store(folder: Path, seed: int = 1) -> Store:
    """A store on a fresh file in `folder`, run inline."""
    randomness = SeededRandomness(seed)
    return Store(
        Engine(folder / "w.sqlite", Codec(b"k" * 32, randomness), IdSource(randomness), lambda: "t1")
    )


class SeededNumber(Struct, frozen=True):
    tenant_id: str
    number_id: str
    app_id: str
    waba_id: str
    portfolio_id: str
    phone_number_id: str


@single
def _seed(tx: Transaction, over: dict[str, object]) -> SeededNumber:
    suffix = str(over.get("suffix", "1"))
    tenant = str(over.get("tenant_id", "ten_1"))
    at = to_ms(START)
    named = SeededNumber(
        tenant, f"num_{suffix}", f"app_{suffix}", f"wab_{suffix}", f"pfo_{suffix}", f"10000000000{suffix}"
    )
    seal = tx.codec.seal
    tx.execute("INSERT INTO tenants VALUES (?, 'Test', ?) ON CONFLICT DO NOTHING", (tenant, at))
    tx.execute(
        "INSERT INTO portfolios VALUES (?, ?, ?, 'TIER_250', 1, ?)", (named.portfolio_id, tenant, suffix, at)
    )
    tx.execute(
        "INSERT INTO apps VALUES (?, ?, ?, ?, ?, 1, ?, NULL)",
        (
            named.app_id,
            tenant,
            f"90000{suffix}",
            seal(f"app:{named.app_id}:secret", b"app-secret"),
            seal(f"app:{named.app_id}:verify_token", b"verify-me"),
            at,
        ),
    )
    tx.execute(
        "INSERT INTO wabas VALUES (?, ?, ?, ?, ?, '{}', NULL, 1, ?)",
        (named.waba_id, tenant, named.portfolio_id, named.app_id, f"20000000000{suffix}", at),
    )
    tx.execute(
        "INSERT INTO numbers (id, tenant_id, kind, waba_id, app_id, portfolio_id, phone_number_id, phone, label,"
        " base_url, graph_version, auth_header, token, state, pace_per_second, health, version, created_at)"
        " VALUES (?, ?, 'cloud', ?, ?, ?, ?, ?, 'test', ?, 'v26.0', 'Authorization: Bearer', ?, 'active', ?, '{}', 1, ?)",
        (
            named.number_id,
            tenant,
            named.waba_id,
            named.app_id,
            named.portfolio_id,
            named.phone_number_id,
            f"+4930000000{suffix}",
            over.get("base_url", "http://127.0.0.1:1"),
            seal(f"number:{named.number_id}", b"token"),
            over.get("pace_per_second", 80),
            at,
        ),
    )
    return named


async def seed_number(store: Store, **over: object) -> SeededNumber:
    """Put a tenant, portfolio, app, WABA and an active cloud number in place. Keys: suffix, tenant_id, base_url, pace_per_second."""
    return await store.write(_seed, over)
