"""A reader that was paused with a page in hand changes nothing once another has read it."""

from pathlib import Path

from tests.inbox.callback_support import new_bench


async def test_a_page_that_was_read_meanwhile_is_not_applied_again(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    first = bench.sample("text")
    await bench.take(first)
    held = await bench.store.read(bench.reader._parsed_page)
    assert len(held) == 1
    await bench.read()
    before = await bench.events("message.", "inbound.")
    read_at = await bench.row("SELECT read_at FROM callbacks")
    bench.clock.advance(60)

    await bench.reader._apply(held)
    assert await bench.events("message.", "inbound.") == before
    assert await bench.row("SELECT read_at FROM callbacks") == read_at


async def test_the_answer_tells_only_of_what_was_still_to_be_read(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.take(bench.sample("text"))
    held = await bench.store.read(bench.reader._parsed_page)
    applied = await bench.reader._apply(held)
    again = await bench.reader._apply(held)
    assert (applied.read, again.read, again.parked, again.events) == (1, 0, 0, 0)
