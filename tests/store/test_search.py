"""Messages are listed by whatever is asked for, newest first, and every way there is one by an index."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests import engines
from tests.support import START, FakeClock, SeededNumber, accept_text, new_store, seed_number

from waypost.store import inbound, journal, messages
from waypost.store.database import Store
from waypost.store.engine import single
from waypost.store.messages import Search
from waypost.store.transaction import Reading, Transaction


@single
def _now_is(tx: Transaction, row: tuple[str, str]) -> None:
    tx.execute("UPDATE messages SET status = ? WHERE id = ?", row)


async def _filled(store: Store) -> tuple[SeededNumber, SeededNumber, list[str]]:
    """Eight messages, a minute apart, from two numbers in turn."""
    clock = FakeClock()
    one, two = await seed_number(store), await seed_number(store, suffix="2")
    ids = []
    statuses = ("delivered", "failed", "sending", "accepted", "read", "failed", "held", "delivered")
    for turn, status in enumerate(statuses):
        message_id = await accept_text(store, (one, two)[turn % 2], clock, to=f"+49155500011{turn:02}")
        await store.write(_now_is, (status, message_id))
        ids.append(message_id)
        clock.advance(60)
    return one, two, ids


@pytest.mark.parametrize(
    ("wish", "turns"),
    [
        ({}, [7, 6, 5, 4, 3, 2, 1, 0]),
        ({"limit": 3}, [7, 6, 5]),
        ({"statuses": ("failed",)}, [5, 1]),
        ({"statuses": ("failed",), "limit": 1}, [5]),
        ({"statuses": ("failed", "accepted", "sending")}, [5, 3, 2, 1]),
        ({"statuses": ("expired",)}, []),
        ({"statuses": ("delivered",), "number_id": "num_1"}, [0]),
        ({"statuses": ("delivered",), "number_id": "num_9"}, []),
        ({"number_id": "num_2"}, [7, 5, 3, 1]),
        ({"number_id": "num_1", "type": "image"}, []),
        ({"since": START + timedelta(minutes=2), "until": START + timedelta(minutes=5)}, [4, 3, 2]),
        ({"since": START + timedelta(minutes=5), "statuses": ("failed",)}, [5]),
        ({"until": START + timedelta(minutes=5), "statuses": ("failed",)}, [1]),
        ({"tenant_id": "ten_2"}, []),
        ({"tenant_id": "ten_2", "number_id": "num_1"}, []),
    ],
)
async def test_a_list_has_what_was_asked_for(tmp_path: Path, wish: dict[str, Any], turns: list[int]) -> None:
    store = new_store(tmp_path)
    *_, ids = await _filled(store)
    found = await store.read(messages.search, Search(**{"tenant_id": "ten_1", **wish}))
    assert [each.id for each in found] == [ids[turn] for turn in turns]


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"number_id": "num_1"},
        {"statuses": ("failed", "delivered")},
        {"until": START + timedelta(hours=1)},
    ],
)
async def test_pages_follow_each_other_without_a_gap(tmp_path: Path, wish: dict[str, Any]) -> None:
    store = new_store(tmp_path)
    await _filled(store)
    whole = await store.read(messages.search, Search("ten_1", **wish))
    paged: list[str] = []
    while found := await store.read(
        messages.search, Search("ten_1", 1, cursor=paged[-1] if paged else None, **wish)
    ):
        paged += [each.id for each in found]
    assert paged == [each.id for each in whole]


async def test_a_contact_and_a_provider_id_lead_to_their_messages(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    *_, ids = await _filled(store)
    whole = await store.read(messages.get, "ten_1", ids[4])
    of_contact = await store.read(messages.search, Search("ten_1", contact_id=whole.contact_id))
    assert [each.id for each in of_contact] == [ids[4]]
    gone = await store.read(
        messages.search, Search("ten_1", contact_id=whole.contact_id, statuses=("failed",))
    )
    assert gone == []
    assert await store.read(messages.search, Search("ten_1", provider_message_id="wamid.none")) == []
    engines.current.run(
        store.engine,
        "INSERT INTO attempts (id, tenant_id, message_id, number_id, ordinal, epoch, state, started_at, lease_until,"
        f" provider_message_id) VALUES ('att_1', 'ten_1', '{ids[4]}', 'num_1', 1, 1, 'sent', 0, 0, 'wamid.1')",
    )
    found = await store.read(messages.search, Search("ten_1", provider_message_id="wamid.1"))
    assert [each.id for each in found] == [ids[4]]
    assert await store.read(messages.search, Search("ten_2", provider_message_id="wamid.1")) == []


class _Explaining(Reading):
    """Notes the plan of every query it runs."""

    def __init__(self, reading: Reading, shared: bool) -> None:
        super().__init__(_Explained(reading._connection, self, shared), reading.codec, reading.timeline)
        self.plans: list[str] = []


class _Explained:
    def __init__(self, connection: Any, to: _Explaining, shared: bool) -> None:
        self._connection, self._to, self._shared = connection, to, shared
        # What the connection makes of a query of many goes through here, too.
        for name in ("rows_in", "rows_for_each", "rows_beside"):
            setattr(self, name, getattr(type(connection), name).__get__(self))

    def rows(self, sql: str, parameters: Any = ()) -> list[Any]:
        explain = "EXPLAIN " if self._shared else "EXPLAIN QUERY PLAN "
        found = self._connection.rows(explain + sql, parameters)
        self._to.plans.append("\n".join(str(row[-1]) for row in found))
        return self._connection.rows(sql, parameters)

    def one(self, sql: str, parameters: Any = ()) -> Any:
        return next(iter(self.rows(sql, parameters)), None)


# Made by the database itself: with a few rows any plan is as good as another. Most of what ever was is delivered.
_PAST = """
INSERT INTO messages (id, tenant_id, number_id, contact_id, content_id, type, rank, recipient_kind, recipient, status,
                      on_unknown, attempts, not_before, due_at, expires_at, version, accepted_at, changed_at)
SELECT 'msg_0' || s.n, 'ten_' || (1 + s.n % 3), 'num_' || (s.n & 1), 'con_' || (s.n & 63), 'cnt_0' || s.n, 'text', 1,
       'phone', '', 'delivered', 'wait', 1, s.n, s.n, s.n, 3, s.n, s.n FROM SERIES
""", """
INSERT INTO attempts (id, tenant_id, message_id, number_id, ordinal, epoch, state, started_at, lease_until,
                      provider_message_id)
SELECT 'att_0' || s.n, 'ten_' || (1 + s.n % 3), 'msg_0' || s.n, 'num_1', 1, 1, 'sent', 0, 0, 'wamid.' || s.n FROM SERIES
""", """
INSERT INTO journal (position, timeline, tenant_id, kind, aggregate_id, version, actor, facts, at)
SELECT 100 + s.n, 't1', 'ten_' || (1 + s.n % 3), 'message.delivered', 'msg_0' || s.n, 1, 'meta', '{}', s.n FROM SERIES
"""  # fmt: skip
_SERIES = {
    "sqlite": "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000) SELECT n FROM c) s",
    "postgres": "generate_series(1, 5000) AS s(n)",
}
_QUERIES: list[tuple[Callable[[Reading], object], str]] = [
    (lambda r: messages.search(r, Search("ten_1", cursor="msg_9")), "messages_by_tenant"),
    (lambda r: messages.search(r, Search("ten_1", since=START, until=START)), "messages_by_tenant"),
    (
        lambda r: messages.search(r, Search("ten_1", contact_id="con_1", cursor="msg_9")),
        "messages_by_contact",
    ),
    (lambda r: messages.search(r, Search("ten_1", statuses=("failed",))), "messages_by_status"),
    (lambda r: messages.search(r, Search("ten_1", statuses=("sent",), cursor="msg_9")), "messages_by_status"),
    (lambda r: messages.search(r, Search("ten_1", number_id="num_1")), "messages_by_number"),
    (lambda r: messages.search(r, Search("ten_1", number_id="num_9")), "messages_by_number"),
    (lambda r: messages.search(r, Search("ten_1", provider_message_id="w")), "attempts_by_provider_id"),
    (lambda r: messages.attempts_of(r, "ten_1", "msg_01"), "attempts_by_message"),
    (lambda r: journal.of_aggregate(r, "ten_1", "msg_01"), "journal_by_aggregate"),
    (lambda r: inbound.search(r, inbound.Search("ten_1", 10, cursor="inb_9")), "inbound_by_tenant"),
]


async def test_reading_costs_what_is_read_and_not_what_ever_was(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    await _filled(store)
    for sql in _PAST:
        engines.current.run(store.engine, sql.replace("SERIES", _SERIES[engines.current.name]))
    if store.engine.shared:
        engines.current.run(store.engine, "ANALYZE")
    wrong: dict[str, list[str]] = {}
    for query, index in _QUERIES:
        reading = _Explaining(store.engine.reading(), store.engine.shared)
        query(reading)
        if not any(index in plan for plan in reading.plans):
            wrong[index] = reading.plans
        scanned = ("SCAN m", "Seq Scan on messages", "Seq Scan on attempts", "Seq Scan on journal")
        if any(each in plan for plan in reading.plans for each in scanned):
            wrong[index] = reading.plans
    assert wrong == {}
