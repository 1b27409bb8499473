"""A sick step or batch is told without its words, and the next one goes on."""

import asyncio

import structlog
from tests.support import new_store

from waypost.app.execution import ThreadedExecution
from waypost.app.loops import Loop
from waypost.domain.errors import Unavailable
from waypost.store import journal
from waypost.store.database import Store
from waypost.store.engine import single
from waypost.store.sqlite import SqliteEngine


async def test_a_failing_step_is_logged_by_class_and_place_and_the_loop_goes_on():
    failed = asyncio.Event()

    async def step():
        if not failed.is_set():
            failed.set()
            raise ValueError("what a customer wrote")
        loop.stop()
        return 0.0

    loop = Loop("sick", step)
    with structlog.testing.capture_logs() as lines:
        running = asyncio.create_task(loop.run())
        await failed.wait()
        loop.woken.set()
        await running

    (line,) = lines
    assert (line["event"], line["error"]) == ("step_failed", "ValueError")
    assert any("test_loops_and_threads.py" in place for place in line["at"])
    assert "customer" not in str(line)


class OnceBroken(SqliteEngine):
    """An engine whose first batch meets a fault that nothing inside catches."""

    broken = True

    def commit_batch(self, writes):
        if self.broken:
            self.broken = False
            raise RuntimeError("no rollback either")
        return super().commit_batch(writes)


@single
def touch(tx, item):
    return item


async def test_a_lost_batch_is_told_to_its_callers_and_the_writer_goes_on(tmp_path):
    plain = new_store(tmp_path)
    plain.engine.close()
    engine = OnceBroken(tmp_path / "w.sqlite", plain.engine.codec, plain.engine.ids, lambda: "t1")
    execution = ThreadedExecution(engine, batch_max=10, queue_max=10, readers=1)
    store = Store(engine, execution)
    try:
        with structlog.testing.capture_logs() as lines:
            first = await asyncio.gather(store.write(touch, 1), return_exceptions=True)
        assert isinstance(first[0], Unavailable)
        assert lines[0]["event"] == "batch_lost"
        assert await store.write(touch, 2) == 2
        assert await store.read(journal.position_now) == 0
    finally:
        await execution.close()
        engine.close()
