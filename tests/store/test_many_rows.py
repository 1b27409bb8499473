"""A change or a query of many rows is what it is of each: whatever the values hold, on either engine."""

from pathlib import Path

from tests.support import new_store

from waypost.store.engine import single
from waypost.store.transaction import Transaction

# What a list of values written as one text could stumble over.
_TEXTS = (
    "plain", "", " ", "NULL", "null", '"', '""', "'", "\\", '\\"', "a,b", "{}", "{a}", "}", "%s", "$1", "?", ";--",
    "ünïcödé 🙂", "new\nline", "tab\t", "\x01", "\u2028", '","',
)  # fmt: skip


@single
def _written(tx: Transaction, rows: list[tuple[object, ...]]) -> None:
    tx.many(
        "INSERT INTO subscriber_secrets (id, tenant_id, subscriber_id, scheme, secret, public_key, created_at,"
        " valid_until) VALUES (?, ?, 'sub_1', 'v1', ?, ?, ?, ?)",
        rows,
    )


@single
def _changed(tx: Transaction, rows: list[tuple[object, ...]]) -> None:
    tx.many("UPDATE subscriber_secrets SET public_key = ?, secret = ?, valid_until = ? WHERE id = ?", rows)


@single
def _gone(tx: Transaction, rows: list[tuple[object, ...]]) -> None:
    tx.many("DELETE FROM subscriber_secrets WHERE id = ? AND tenant_id = ?", rows)


_ALL = "SELECT id, tenant_id, secret, public_key, created_at, valid_until FROM subscriber_secrets"


async def test_many_rows_are_written_changed_and_removed_as_one_is(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    rows = [
        (
            f"sec_{turn:02}",
            text,
            text.encode(),
            text if turn % 2 else None,
            -turn,
            turn << 40 if turn % 3 else None,
        )
        for turn, text in enumerate(_TEXTS)
    ]
    await store.write(_written, rows)
    assert sorted(await store.read(lambda reading: reading.rows(_ALL))) == rows

    # The first value of a column is none, and so are all of one.
    changes = [
        (None if turn == 0 else row[1] * 2, bytes(range(256)), None, row[0]) for turn, row in enumerate(rows)
    ]
    await store.write(_changed, changes)
    found = sorted(await store.read(lambda reading: reading.rows(_ALL)))
    assert [(row[3], row[2], row[5], row[0]) for row in found] == changes

    await store.write(_gone, [(row[0], row[1]) for row in rows[5:]])
    # A row of another tenant is not the one that was meant.
    await store.write(_gone, [(row[0], "other") for row in rows[:5]])
    assert [row[0] for row in sorted(await store.read(lambda reading: reading.rows(_ALL)))] == [
        row[0] for row in rows[:5]
    ]


async def test_many_rows_are_found_as_one_is(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    await store.write(_written, [(f"sec_{t:02}", text, b"", None, t, None) for t, text in enumerate(_TEXTS)])
    ids = [(f"sec_{turn:02}",) for turn in range(len(_TEXTS))]

    in_all = await store.read(lambda reading: reading.rows_in(f"{_ALL} WHERE tenant_id IN (%s)", _TEXTS))
    assert sorted((row[0],) for row in in_all) == ids
    beside = "SELECT t.id, s.column2 FROM %s CROSS JOIN subscriber_secrets t WHERE t.tenant_id = s.column1"
    pairs = [(text, turn) for turn, text in enumerate(_TEXTS)]
    assert sorted(await store.read(lambda reading: reading.rows_beside(beside, pairs))) == [
        (f"sec_{turn:02}", turn) for turn in range(len(_TEXTS))
    ]
    each = "SELECT id FROM subscriber_secrets WHERE tenant_id = ? AND created_at >= ? ORDER BY id LIMIT 1"
    assert sorted(await store.read(lambda reading: reading.rows_for_each(each, pairs))) == ids
    later = [(text, turn + 1) for text, turn in pairs]
    assert await store.read(lambda reading: reading.rows_for_each(each, later)) == []


async def test_none_is_many_too(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    await store.write(_written, [])
    assert await store.read(lambda reading: reading.rows_in(f"{_ALL} WHERE id IN (%s)", [])) == []
    assert await store.read(lambda reading: reading.rows_beside("SELECT 1 FROM %s", [])) == []
    assert await store.read(lambda reading: reading.rows_for_each("SELECT 1 WHERE 'a' = ?", [])) == []
