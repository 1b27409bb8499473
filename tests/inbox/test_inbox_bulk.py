"""Large callbacks and many of them: batches of 1,000 updates, bodies of 3 MB, pages that stay bounded."""

from pathlib import Path

from tests.inbox.callback_support import Bench, new_bench, receipt, said

from waypost.config import Inbox
from waypost.inbox.reader import Reader
from waypost.store.callbacks import unread
from waypost.store.engine import single
from waypost.store.transaction import Transaction

START_MS = 1795348800000


@single
def _send_all(tx: Transaction, count: int) -> None:
    for place in range(count):
        message_id, attempt_id = f"msg_{place:026d}", f"att_{place:026d}"
        tx.execute(
            "INSERT INTO messages (id, tenant_id, number_id, contact_id, content_id, type, rank, recipient_kind,"
            " recipient, status, on_unknown, attempts, attempt_id, not_before, due_at, expires_at, version,"
            " accepted_at, changed_at) VALUES (?, 'ten_1', 'num_1', ?, 'cnt', 'text', 1, 'phone', ?, 'sent', 'wait',"
            " 1, ?, ?, ?, ?, 3, ?, ?)",
            (
                message_id, f"con_{place:026d}", b"\0+1", attempt_id, START_MS, START_MS, START_MS + 10**8, START_MS,
                START_MS,
            ),
        )  # fmt: skip
        tx.execute(
            "INSERT INTO attempts (id, tenant_id, message_id, number_id, ordinal, epoch, state, started_at,"
            " lease_until, answered_at, provider_message_id) VALUES (?, 'ten_1', ?, 'num_1', 1, 1, 'sent', ?, ?, ?, ?)",
            (attempt_id, message_id, START_MS, START_MS, START_MS, f"wamid.{place}"),
        )


async def _statuses(bench: Bench) -> list[tuple[str, int]]:
    return [
        tuple(row)
        for row in await bench.rows("SELECT status, count(*) FROM messages GROUP BY status ORDER BY status")
    ]


async def test_a_thousand_updates_in_one_callback_are_all_applied(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.store.write(_send_all, 1_000)
    for status in ("delivered", "read"):
        updates = [
            receipt(f"wamid.{place}", status, biz_opaque_callback_data=f"att_{place:026d}")
            for place in range(1_000)
        ]
        await bench.receive(bench.messages(statuses=updates))
        assert await _statuses(bench) == [(status, 1_000)]
    assert len(await bench.events("message.delivered")) == 1_000
    assert len(await bench.events("message.read")) == 1_000


async def test_one_bad_update_among_a_thousand_parks_the_callback_and_loses_none_of_the_others(
    tmp_path: Path,
) -> None:
    bench = await new_bench(tmp_path)
    await bench.store.write(_send_all, 1_000)
    updates = [receipt(f"wamid.{place}", "delivered") for place in range(1_000)]
    del updates[500]["timestamp"]
    await bench.receive(bench.messages(statuses=updates))
    assert await _statuses(bench) == [("delivered", 999), ("sent", 1)]
    assert await bench.rows("SELECT state FROM callbacks") == [("parked",)]


async def test_a_body_of_three_megabytes_is_stored_and_read(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    count = 700
    raw = bench.messages(*[said(f"wamid.{place}", "ü" * 700) for place in range(count)])
    assert 2_900_000 < len(raw) < 3_500_000
    await bench.receive(raw)
    assert await bench.row("SELECT count(*) FROM inbound") == (count,)
    assert len(await bench.events("inbound.received")) == count


async def test_a_page_is_bounded_by_bytes_and_by_count_but_never_empty(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    raws = [bench.messages(said(f"wamid.{place}", "x" * 1_000)) for place in range(10)]
    for raw in raws:
        await bench.take(raw)
    size = len(raws[0]) + 1  # as stored, with the codec's byte
    sizes = [
        len(await bench.store.read(unread, callbacks_max, bytes_max))
        for callbacks_max, bytes_max in [(4, 10**9), (100, 3 * size), (100, 1), (100, 10**9)]
    ]
    assert sizes == [4, 3, 1, 10]


async def test_pages_follow_each_other_in_the_order_of_arrival(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    for place in range(7):
        await bench.take(bench.messages(said(f"wamid.{place}")))
    reader = Reader(bench.store, bench.clock, Inbox(parse_batch_callbacks_max=2))
    steps = 0
    while await reader.step() == 0.0:
        steps += 1
    assert steps == 4
    told = [event.facts["provider_message_id"] for event in await bench.events("inbound.received")]
    assert told == [f"wamid.{place}" for place in range(7)]


async def test_raw_bodies_go_a_week_after_reading_and_parked_ones_stay(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    raw = bench.sample("text")
    await bench.receive(raw, b"not json")

    async def left() -> list[tuple[str, bool]]:
        rows = await bench.rows("SELECT state, body IS NOT NULL FROM callbacks ORDER BY id")
        return [(state, bool(kept)) for state, kept in rows]

    bench.clock.advance(7 * 86_400 - 1)
    await bench.read()
    assert await left() == [("read", True), ("parked", True)]
    bench.clock.advance(601)
    await bench.read()
    assert await left() == [("read", False), ("parked", True)]
    # Known by its digest still, so a copy caught on its way tells nothing new.
    assert await bench.take(raw) is False
    bench.clock.advance(90 * 86_400)
    await bench.read()
    assert await left() == [("parked", True)]
