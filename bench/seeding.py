"""The database a benchmark starts from: a tenant, a key, an app, a WABA, the sending numbers, and every contact with
its conversation, so that the figures are those of a gateway in the middle of its life and not of its first hour.
"""

import asyncio
import base64
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import psycopg
from msgspec import Struct

from load import CONTACTS, NUMBERS, number_id_of, phone_of
from waypost.app.ports import SystemRandomness
from waypost.domain.ids import IdSource
from waypost.domain.keys import SCOPES, digest_of, new_key
from waypost.domain.times import to_ms
from waypost.store import contacts, conversations, keys
from waypost.store.codec import Codec
from waypost.store.database import Store
from waypost.store.engine import single
from waypost.store.postgres import PostgresEngine
from waypost.store.sqlite import SqliteEngine
from waypost.store.transaction import Transaction

MASTER_KEY = bytes(range(32))
APP_ID, APP_SECRET, META_WABA_ID = "app_bench", "bench-app-secret", "2000000000001"
TENANT_ID, WABA_ID, PORTFOLIO_ID = "ten_bench", "wab_bench", "pfo_bench"
# Above what the whole machine does, so that no number's pace is what is measured.
PACE_PER_SECOND = 1_000
_CONTACTS_A_COMMIT = 5_000
# Everything `seed` writes.
_SEEDED = (
    "tenants", "portfolios", "apps", "wabas", "numbers", "api_keys", "contacts", "aliases", "conversations", "journal",
)  # fmt: skip


class Numbers(Struct, frozen=True):
    """The rows every message hangs on; `base_url` is the provider's."""

    base_url: str
    now: datetime


class People(Struct, frozen=True):
    """Contacts by their ordinals, each with its one conversation."""

    first: int
    last: int
    now: datetime


def settings(folder: Path, base_url: str, port: int) -> dict[str, str]:
    """Give the environment of a gateway on this database: everything else is a default."""
    return {
        "WAYPOST_STORE_PATH": str(folder / "waypost.sqlite"),
        "WAYPOST_SECRETS_MASTER_KEY": base64.b64encode(MASTER_KEY).decode(),
        "WAYPOST_CLOUD_API_BASE_URL": base_url,
        "WAYPOST_INBOX_MEDIA_DIR": str(folder / "media"),
        "WAYPOST_HTTP_PORT": str(port),
        "WAYPOST_WEBHOOKS_ALLOW_PRIVATE_ADDRESSES": "true",
        "WAYPOST_LOG_LEVEL": "warning",
    }


def seed(folder: Path, base_url: str) -> str:
    """Make the database in `folder`; gives the API key."""
    return asyncio.run(_seed(folder, base_url))


def point(folder: Path, base_url: str) -> None:
    """Let every number of the database in `folder` speak to another provider."""
    connection = apsw.Connection(str(folder / "waypost.sqlite"))
    connection.execute("UPDATE numbers SET base_url = ?", (base_url,))
    connection.close()


def copy_to_postgres(folder: Path, url: str) -> None:
    """Put the rows of the database in `folder` into an empty PostgreSQL database, with this release's schema."""
    randomness = SystemRandomness()
    codec, ids = Codec(MASTER_KEY, randomness), IdSource(randomness)
    PostgresEngine(url, codec, ids, lambda: "bench", owner="seeding", pause=time.sleep).close()
    source = apsw.Connection(str(folder / "waypost.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
    with psycopg.connect(url) as target, target.cursor() as cursor:
        for table in _SEEDED:
            columns = ", ".join(row[1] for row in source.execute(f"PRAGMA table_info({table})"))
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for row in source.execute(f"SELECT {columns} FROM {table}"):
                    copy.write_row(row)
    source.close()
    with psycopg.connect(url, autocommit=True) as target:
        target.execute("VACUUM ANALYZE")


async def _seed(folder: Path, base_url: str) -> str:
    randomness = SystemRandomness()
    engine = SqliteEngine(
        folder / "waypost.sqlite", Codec(MASTER_KEY, randomness), IdSource(randomness), lambda: "bench"
    )
    store = Store(engine)
    now = datetime.now(UTC)
    key = new_key("live", randomness)
    try:
        await store.write(_add_numbers, Numbers(base_url, now))
        new = keys.NewKey(
            TENANT_ID, "bench", "live", frozenset(SCOPES), digest_of(key), None, "operator", now
        )
        await store.write(keys.create, new)
        for first in range(0, CONTACTS, _CONTACTS_A_COMMIT):
            await store.write(_add_people, People(first, first + _CONTACTS_A_COMMIT, now))
    finally:
        engine.close()
    return key


@single
def _add_numbers(tx: Transaction, item: Numbers) -> None:
    at, seal = to_ms(item.now), tx.codec.seal
    tx.execute("INSERT INTO tenants VALUES (?, 'Bench', ?)", (TENANT_ID, at))
    _insert(
        tx,
        "portfolios",
        id=PORTFOLIO_ID,
        tenant_id=TENANT_ID,
        meta_business_id="1",
        messaging_limit="TIER_UNLIMITED",
        version=1,
        created_at=at,
    )
    _insert(
        tx,
        "apps",
        id=APP_ID,
        tenant_id=TENANT_ID,
        meta_app_id="900001",
        secret=seal(f"app:{APP_ID}:secret", APP_SECRET.encode()),
        verify_token=seal(f"app:{APP_ID}:verify_token", b"verify-me"),
        version=1,
        created_at=at,
    )
    _insert(
        tx,
        "wabas",
        id=WABA_ID,
        tenant_id=TENANT_ID,
        portfolio_id=PORTFOLIO_ID,
        app_id=APP_ID,
        meta_waba_id=META_WABA_ID,
        facts=b"{}",
        version=1,
        created_at=at,
    )
    for ordinal in range(NUMBERS):
        number_id = number_id_of(ordinal)
        _insert(
            tx,
            "numbers",
            id=number_id,
            tenant_id=TENANT_ID,
            kind="cloud",
            waba_id=WABA_ID,
            app_id=APP_ID,
            portfolio_id=PORTFOLIO_ID,
            phone_number_id=f"1000000000{ordinal:03d}",
            phone=f"+4930000{ordinal:04d}",
            label=f"bench {ordinal}",
            base_url=item.base_url,
            graph_version="v26.0",
            auth_header="Authorization: Bearer",
            token=seal(f"number:{number_id}", b"bench-token-of-the-length-that-tokens-have" * 4),
            state="active",
            pace_per_second=PACE_PER_SECOND,
            health=b"{}",
            health_at=at,
            version=1,
            created_at=at,
        )


def _insert(tx: Transaction, table: str, **row: Any) -> None:
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    tx.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(row.values()))


@single
def _add_people(tx: Transaction, item: People) -> None:
    for ordinal in range(item.first, item.last):
        alias = contacts.AliasSeen("phone", phone_of(ordinal))
        contact_id = contacts.resolve(tx, contacts.ContactSeen(TENANT_ID, (alias,), "gateway", item.now))
        number_id = number_id_of(ordinal % NUMBERS)
        conversations.ensure(tx, TENANT_ID, number_id, contact_id, item.now, "gateway")
