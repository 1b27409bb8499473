"""Databases with a long past: finished messages with their contents, attempts and journal lines, written by the
database itself in large statements, because ten million would take the gateway hours.

Every message is delivered, to one of the known contacts, in an order no index likes; ids ascend like real ones and
lie before them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import apsw
import psycopg

from load import CONTACTS
from seeding import TENANT_ID
from waypost.domain.ids import encode

# Accepted, attempted, delivered: the fewest a message has. (With sent and read told apart it has five.)
LINES_A_MESSAGE = 3
ROWS_A_STATEMENT = 200_000
_STRIDE = 27_449
_STEP_MS = 10
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TABLES = ("messages", "contents", "attempts", "journal")

# `s.n` counts messages; `p` is whom and from which number. {msg}, {cnt}, {att} are ids, {hash} is in no order.
_MESSAGES = """
INSERT INTO messages (id, tenant_id, number_id, contact_id, content_id, type, rank, recipient_kind, recipient,
                      status, on_unknown, attempts, attempt_id, not_before, due_at, expires_at, version, accepted_at,
                      changed_at)
SELECT {msg}, '{tenant}', p.number_id, p.contact_id, {cnt}, 'text', 1, 'phone', {recipient}, 'delivered', 'wait', 1,
       {att}, {at}, {at}, {at} + 86400000, {lines}, {at}, {at} + 1000
FROM {series} JOIN bench_people p ON p.n = s.n * {stride} % {contacts}
"""
_CONTENTS = """
INSERT INTO contents (id, tenant_id, contact_id, body)
SELECT {cnt}, '{tenant}', p.contact_id, {body} FROM {series} JOIN bench_people p ON p.n = s.n * {stride} % {contacts}
"""
_ATTEMPTS = """
INSERT INTO attempts (id, tenant_id, message_id, number_id, ordinal, epoch, state, started_at, lease_until, answered_at,
                      provider_message_id, sent_at, delivered_at)
SELECT {att}, '{tenant}', {msg}, p.number_id, 1, 1, 'sent', {at}, {at}, {at}, {hash}, {at}, {at} + 1000
FROM {series} JOIN bench_people p ON p.n = s.n * {stride} % {contacts}
"""
_JOURNAL = """
INSERT INTO journal (position, timeline, tenant_id, kind, aggregate_id, version, number_id, contact_id, content_id,
                     actor, facts, at)
SELECT {base} + {lines} * (s.n - 1) + v.version, 'bench', '{tenant}', v.kind, {msg}, v.version, p.number_id,
       p.contact_id, {cnt}, 'gateway', {facts}, {at}
FROM {series} JOIN bench_people p ON p.n = s.n * {stride} % {contacts}
CROSS JOIN (SELECT 1 AS version, 'message.accepted' AS kind UNION ALL SELECT 2, 'message.attempted'
            UNION ALL SELECT 3, 'message.delivered') v
"""
_PEOPLE = """
CREATE TABLE bench_people AS
SELECT row_number() OVER (ORDER BY contact_id) - 1 AS n, contact_id, number_id FROM conversations
"""
_BODY = '{"type":"text","text":{"body":"Your order has left our warehouse."}}'


class Database(Protocol):
    """What is filled."""

    def run(self, sql: str) -> list[Any]:
        """Run one statement, committed with it."""
        ...

    def indexes(self) -> list[tuple[str, str]]:
        """Give the names and definitions of what can be built afterwards."""
        ...

    def words(self) -> dict[str, str]:
        """Give how this engine writes what the two write differently."""
        ...

    def settle(self) -> None:
        """Let the planner know what is there now."""
        ...


class SqliteDatabase:
    """A SQLite file nobody else has open."""

    def __init__(self, path: Path) -> None:
        self._raw = apsw.Connection(str(path))
        # A benchmark's past need not survive the machine.
        self._raw.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -500000")

    def run(self, sql: str) -> list[Any]:
        """Run one statement, committed with it."""
        return self._raw.execute(sql).fetchall()

    def indexes(self) -> list[tuple[str, str]]:
        """Give the names and definitions of what can be built afterwards."""
        marks = ", ".join(f"'{each}'" for each in _TABLES)
        return self.run(
            f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ({marks})"
        )

    def words(self) -> dict[str, str]:
        """Give how SQLite writes it."""
        return {
            "series": "(WITH RECURSIVE c(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM c WHERE n < {last})"
            " SELECT n FROM c) s",
            "hash": "'wamid.' || hex(randomblob(16))",
            "tail": "printf('%016d', s.n)",
            **{name: f"CAST({text} AS BLOB)" for name, text in _blobs("char(0)").items()},
        }

    def settle(self) -> None:
        """Write everything into the file; the gateway makes no statistics, so none are made here."""
        self._raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._raw.close()


class PostgresDatabase:
    """A PostgreSQL database."""

    def __init__(self, url: str) -> None:
        self._raw = psycopg.connect(url, autocommit=True)
        self._raw.execute("SET synchronous_commit = off")
        self._raw.execute("SET maintenance_work_mem = '512MB'")

    def run(self, sql: str) -> list[Any]:
        """Run one statement, committed with it."""
        cursor = self._raw.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []

    def indexes(self) -> list[tuple[str, str]]:
        """Give the names and definitions of what can be built afterwards."""
        marks = ", ".join(f"'{each}'" for each in _TABLES)
        return self.run(
            f"SELECT indexname, indexdef FROM pg_indexes WHERE indexdef NOT LIKE '%UNIQUE%' AND tablename IN ({marks})"
        )

    def words(self) -> dict[str, str]:
        """Give how PostgreSQL writes it."""
        return {
            "series": "generate_series({first}::bigint, {last}::bigint) AS s(n)",
            "hash": "'wamid.' || md5(s.n::text)",
            "tail": "lpad(s.n::text, 16, '0')",
            **{name: f"'\\x00'::bytea || convert_to({text}, 'UTF8')" for name, text in _blobs("").items()},
            "facts": "'{{}}'::bytea",
        }

    def settle(self) -> None:
        """Do what autovacuum would have done by then."""
        self._raw.execute("VACUUM ANALYZE")
        self._raw.execute("CHECKPOINT")
        self._raw.close()


def _blobs(mark: str) -> dict[str, str]:
    """Give the expressions of the columns that hold bytes; `mark` writes the codec's format byte."""
    lead = f"{mark} || " if mark else ""
    body = _BODY.replace("{", "{{").replace("}", "}}")
    return {"recipient": f"{lead}'+4915500000000'", "body": f"{lead}'{body}'", "facts": "'{{}}'"}


@dataclass(frozen=True, slots=True)
class Past:
    """What was written: `count` messages, one every 10 ms, the last one at `ended_ms`."""

    count: int
    ended_ms: int

    def at(self, ordinal: int) -> int:
        """Give when a message (1 to `count`) was accepted, in milliseconds."""
        return self.ended_ms - (self.count - ordinal) * _STEP_MS

    def id_of(self, noun: str, ordinal: int) -> str:
        """Give the id of a message, attempt or content: its time and then its ordinal, so it ascends as ours do."""
        return f"{noun}_{encode(self.at(ordinal) << 80)[:10]}{ordinal:016d}"


def _id_words(at: str, tail: str) -> dict[str, str]:
    """Give the expressions of ids: ten characters of base 32 hold the milliseconds."""
    time_part = " || ".join(
        f"substr('{_ALPHABET}', CAST(({at} >> {shift}) & 31 AS INTEGER) + 1, 1)"
        for shift in range(45, -1, -5)
    )
    return {noun: f"'{noun}_' || {time_part} || {tail}" for noun in ("msg", "cnt", "att")}


def fill(database: Database, count: int, told: Callable[[str], None]) -> Past:
    """Write `count` finished messages; indexes that are not the primary keys' are built afterwards."""
    begun_at = time.monotonic()
    database.run(_PEOPLE)
    database.run("CREATE UNIQUE INDEX bench_people_n ON bench_people (n)")
    ((base,),) = database.run("SELECT coalesce(max(position), 0) FROM journal")
    indexes = database.indexes() if count > ROWS_A_STATEMENT else []
    for name, _ in indexes:
        database.run(f"DROP INDEX {name}")
    past = Past(count, int(time.time() * 1000) - 3_600_000)
    at = f"({past.ended_ms} - ({count} - s.n) * {_STEP_MS})"
    for first in range(1, count + 1, ROWS_A_STATEMENT):
        last = min(count, first + ROWS_A_STATEMENT - 1)
        words = {
            "tenant": TENANT_ID,
            "stride": _STRIDE,
            "contacts": CONTACTS,
            "lines": LINES_A_MESSAGE,
            "base": base,
            "at": at,
        }
        expressions = {name: each.format(first=first, last=last) for name, each in database.words().items()}
        expressions |= _id_words(at, expressions["tail"])
        for sql in (_MESSAGES, _CONTENTS, _ATTEMPTS, _JOURNAL):
            database.run(sql.format(**words, **expressions))
        if last % 1_000_000 == 0:
            told(f"  {last:,} written, {time.monotonic() - begun_at:.0f} s")
    for _, definition in indexes:
        database.run(definition)
    database.run("DROP TABLE bench_people")
    database.settle()
    told(f"  {count:,} messages of the past in {time.monotonic() - begun_at:.0f} s")
    return past
