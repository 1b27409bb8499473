"""The tables of a store as they are, read from the database itself: names, columns, keys; their rows in pages.

Rows have one canonical form whatever the engine (integers, text, bytes, nothing), in the order of their primary key,
so that counts and digests of two stores can be compared.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from msgspec import Struct

from waypost.store.connection import Row
from waypost.store.transaction import Reading, Transaction

# A process's own marks mean nothing in another place.
_OF_A_PLACE = ("commits", "processes")
PAGE_ROWS = 500


class Readable(Protocol):
    """A store that can be read; `shared` says which engine's catalogue describes it."""

    @property
    def shared(self) -> bool:
        """Say whether it is PostgreSQL."""
        ...

    def reading(self) -> Reading:
        """Open a connection for queries."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Table(Struct, frozen=True):
    """One table: its columns in order, those that hold bytes, and its primary key."""

    name: str
    columns: tuple[str, ...]
    byte_columns: tuple[str, ...]
    key: tuple[str, ...]


def tables_of(store: Readable, reading: Reading) -> list[Table]:
    """Give the tables whose rows belong to the store, by name; `meta` is the place's own."""
    rows = reading.rows(_SHARED_COLUMNS if store.shared else _EMBEDDED_COLUMNS)
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return [_table(name, found[name]) for name in sorted(found) if name not in (*_OF_A_PLACE, "meta")]


def _table(name: str, rows: Sequence[Row]) -> Table:
    """Make a table of rows of (table, column, type, turn in the key or 0)."""
    keyed = sorted((int(turn), column) for _, column, _, turn in rows if turn)
    if not keyed:
        raise AssertionError(f"table {name} has no primary key: its rows have no order to be read in")
    return Table(
        name,
        tuple(sorted(row[1] for row in rows)),
        tuple(sorted(row[1] for row in rows if row[2].lower() in ("blob", "bytea"))),
        tuple(column for _, column in keyed),
    )


def pages(
    reading: Reading, table: Table, after: Sequence[Any] = (), page_rows: int = PAGE_ROWS
) -> Iterator[list[Row]]:
    """Give a table's rows behind the key `after`, in pages, in the order of their key."""
    columns, key = ", ".join(table.columns), ", ".join(table.key)
    turns = [table.columns.index(column) for column in table.key]
    blobs = [table.columns.index(column) for column in table.byte_columns]
    marks = ", ".join("?" * len(turns))
    head, tail = f"SELECT {columns} FROM {table.name}", f"ORDER BY {key} LIMIT {page_rows}"
    behind = tuple(after)
    while True:
        where = f"WHERE ({key}) > ({marks}) " if behind else ""
        rows = reading.rows(f"{head} {where}{tail}", behind)
        if rows:
            yield [_canonical(row, blobs) for row in rows]
        if len(rows) < page_rows:
            return
        behind = tuple(rows[-1][turn] for turn in turns)


def _canonical(row: Row, blobs: Sequence[int]) -> Row:
    # SQLite gives a column of bytes back as text when text was put in; PostgreSQL always gives bytes.
    if not any(isinstance(row[turn], str) for turn in blobs):
        return tuple(row)
    return tuple(
        value.encode() if turn in blobs and isinstance(value, str) else value
        for turn, value in enumerate(row)
    )


def insert(tx: Transaction, table: Table, rows: Sequence[Row]) -> None:
    """Put rows of the canonical form into a table."""
    marks = ", ".join("?" * len(table.columns))
    tx.many(f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})", list(rows))


def last_key(reading: Reading, table: Table) -> Row:
    """Give the highest key a table has, as `pages` takes it; empty when it has no rows."""
    downwards = ", ".join(f"{column} DESC" for column in table.key)
    sql = f"SELECT {', '.join(table.key)} FROM {table.name} ORDER BY {downwards} LIMIT 1"
    return tuple(reading.one(sql) or ())


def count(reading: Reading, table: Table) -> int:
    """Count a table's rows."""
    row = reading.one(f"SELECT count(*) FROM {table.name}")
    return int(row[0]) if row else 0


_EMBEDDED_COLUMNS = (
    "SELECT m.name, c.name, c.type, c.pk FROM sqlite_master m JOIN pragma_table_info(m.name) c"
    " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY 1, c.cid"
)
_SHARED_COLUMNS = (
    "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL),"
    " coalesce(array_position(i.indkey::int2[], a.attnum), -1) + 1"
    " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary"
    " WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace ORDER BY 1, a.attnum"
)
