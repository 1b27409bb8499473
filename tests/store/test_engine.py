"""The engine keeps its word when a batch has a culprit, the disk is full or somebody locks the file."""

import pytest
from tests import engines
from tests.support import FakeClock, SeededRandomness, accept_text, new_store, seed_number, status_of

from waypost.domain.errors import Conflict, InvalidRequest, Unavailable
from waypost.store import idempotency, journal
from waypost.store.engine import Write, single
from waypost.store.idempotency import Answer, Claim, Once
from waypost.store.transaction import Line

CLOCK = FakeClock()


def line(kind: str, n: int) -> Line:
    return Line("ten_1", kind, f"agg_{n}", 1, "gateway", CLOCK.now())


def note(tx, items):
    for item in items:
        if item == "bug":
            raise RuntimeError("a bug")
        tx.journal(line("gateway.started", item))
    return [tx.position] * len(items)


@single
def picky(tx, item):
    tx.journal(line("gateway.started", item))
    if item < 0:
        raise Conflict("no negatives")
    return item


def commit(store, *pairs):
    writes = [Write(operation, item) for operation, item in pairs]
    store.engine.commit_batch(writes)
    return [write.result for write in writes]


async def positions(store):
    return [event.position for event in await store.read(journal.after, 0, 1000)]


async def test_a_batch_is_one_commit_and_positions_have_no_gaps(tmp_path):
    store = new_store(tmp_path)

    writes = [Write(note, n) for n in range(5)]
    commits = store.engine.commit_batch(writes)

    assert [c.position for c in commits] == [5]
    assert await positions(store) == [1, 2, 3, 4, 5]


async def test_a_failing_write_stands_alone_and_the_rest_of_its_batch_is_kept(tmp_path):
    store = new_store(tmp_path)

    results = commit(store, (note, 1), (note, "bug"), (note, 2), (note, 3))

    assert isinstance(results[1], RuntimeError)
    assert not any(isinstance(r, Exception) for r in (results[0], results[2], results[3]))
    assert await positions(store) == [1, 2, 3]


async def test_an_error_told_by_an_operation_undoes_its_own_item_only(tmp_path):
    store = new_store(tmp_path)

    results = commit(store, (picky, 1), (picky, -1), (picky, 2))

    assert results[0] == 1
    assert isinstance(results[1], Conflict)
    assert [e.aggregate_id for e in await store.read(journal.after, 0, 10)] == ["agg_1", "agg_2"]
    assert await positions(store) == [1, 2]


async def test_a_full_disk_is_told_changes_nothing_and_recovers_by_itself(tmp_path):
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    kept = await accept_text(store, number, clock)

    async def fill():
        for _ in range(200):
            await accept_text(store, number, clock, content=b"x" * 60_000)

    with engines.current.unwritable(store.engine):
        with pytest.raises(Unavailable) as told:
            await fill()
        assert told.value.code == engines.current.unwritable_code
        assert told.value.retry_after_seconds
        assert await status_of(store, number, kept) == "accepted"

    again = await accept_text(store, number, clock)
    assert await status_of(store, number, again) == "accepted"
    found = await positions(store)
    assert found == list(range(1, len(found) + 1))


async def test_a_locked_database_is_told_and_recovers_by_itself(tmp_path):
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    with engines.current.locked(store.engine):
        with pytest.raises(Unavailable) as told:
            await accept_text(store, number, clock)
        assert told.value.code == "database_locked"

    assert await status_of(store, number, await accept_text(store, number, clock)) == "accepted"


def test_a_schema_contracted_by_a_newer_release_is_refused_with_the_remedy(tmp_path):
    store = new_store(tmp_path)
    engines.current.run(store.engine, "INSERT INTO meta VALUES ('schema_contracted', '99')")
    store.engine.close()

    with pytest.raises(Unavailable) as told:
        new_store(tmp_path)

    assert told.value.code == "schema_too_new"
    assert "newer release" in told.value.remedy


async def test_a_schema_expanded_by_a_newer_release_is_still_served(tmp_path):
    store = new_store(tmp_path)
    engines.current.run(store.engine, "UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    store.engine.close()

    assert await positions(new_store(tmp_path)) == []


async def test_an_idempotent_change_runs_once_and_another_body_is_refused(tmp_path):
    store, clock = new_store(tmp_path), FakeClock()

    def once(digest: bytes) -> Once:
        claim = Claim("ten_1", "key-1", digest, clock.now().replace(year=2027))
        return Once(
            claim,
            lambda tx: tx.journal(line("gateway.started", 1)),
            lambda p: Answer(201, b"%d" % p),
            clock.now(),
        )

    first = await store.write(idempotency.once, once(b"a"))
    second = await store.write(idempotency.once, once(b"a"))
    with pytest.raises(InvalidRequest) as told:
        await store.write(idempotency.once, once(b"b"))

    assert (first.body, first.replayed) == (b"1", False)
    assert (second.body, second.replayed) == (b"1", True)
    assert told.value.code == "idempotency_key_reused"
    assert await positions(store) == [1]


@pytest.mark.parametrize(
    "cursor", ["", "5", "evt_t1", "evt_t1_x", "evt_t1_-1", "evt__1_2", "evt_t1_" + "9" * 40]
)
def test_a_cursor_that_is_none_is_refused_with_its_field(cursor):
    with pytest.raises(InvalidRequest) as told:
        journal.position_of(cursor, "t1", 10)
    assert told.value.field == "after"


def test_a_cursor_from_before_a_restore_is_told_where_to_resume():
    with pytest.raises(Conflict) as told:
        journal.position_of("evt_t0_7", "t1", 5)
    assert told.value.code == "timeline_changed"
    assert "evt_t1_5" in (told.value.remedy or "")


def note_one(tx, item):
    return tx.journal(line("gateway.started", item))


async def test_a_query_of_many_statements_sees_one_state(tmp_path):
    store = new_store(tmp_path)
    reading = store.engine.reading()

    def twice(rows):
        first = journal.position_now(rows)
        commit(store, (note, 1))
        return first, journal.position_now(rows)

    assert reading.snapshot(twice) == (0, 0)
    assert reading.snapshot(journal.position_now) == 1


async def test_a_database_made_with_another_master_key_is_refused_with_the_remedy(tmp_path):
    store = new_store(tmp_path)
    number = await seed_number(store)
    store.engine.close()

    with pytest.raises(Unavailable) as told:
        engines.current.open(tmp_path, SeededRandomness(), master_key=b"j" * 32)
    assert told.value.code == "wrong_master_key"

    assert await positions(new_store(tmp_path)) == []
    assert number.tenant_id == "ten_1"
