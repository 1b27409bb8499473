"""Messages to one person that are taken in one commit: in the order of their times, whichever order they came in."""

from pathlib import Path

from tests.support import (
    FakeClock,
    ScriptedTransport,
    new_sender,
    new_store,
    seed_number,
    settle,
    status_of,
    text_acceptance,
)

from waypost.domain.outcomes import Sent
from waypost.store.accept import accept
from waypost.store.engine import Write


async def test_a_message_asked_for_earlier_and_taken_later_in_a_commit_leaves_nobody_waiting_for_ever(
    tmp_path: Path,
) -> None:
    clock, store = FakeClock(), new_store(tmp_path)
    number = await seed_number(store)
    early = text_acceptance(number, clock, store.engine.ids.new("message", clock.now()))
    clock.advance(0.01)
    late = text_acceptance(number, clock, store.engine.ids.new("message", clock.now()))
    store.engine.commit_batch([Write(accept, late), Write(accept, early)])
    sender = new_sender(store, ScriptedTransport(Sent("auto")), clock)
    for _ in range(4):
        await settle(sender)
        clock.advance(10)
    for each in (early, late):
        assert await status_of(store, number, each.items[0].id) == "sent"
