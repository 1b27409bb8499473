"""A lane whose number was paused or stopped goes on by itself once the number is resumed."""

from pathlib import Path

import pytest
from tests.support import (
    FakeClock,
    ScriptedTransport,
    accept_text,
    new_sender,
    new_store,
    seed_number,
    settle,
    status_of,
)

from waypost.domain.outcomes import Sent
from waypost.store import numbers


@pytest.mark.parametrize("state", ["paused", "stopped"])
async def test_what_waited_goes_when_its_number_is_resumed(tmp_path: Path, state: str) -> None:
    store, clock = new_store(tmp_path), FakeClock()
    number = await seed_number(store)
    sender = new_sender(store, ScriptedTransport(Sent("auto")), clock)
    await settle(sender)
    for to in (state, "active"):
        if to == "active":
            message_id = await accept_text(store, number, clock)
            await settle(sender)
            assert await status_of(store, number, message_id) == "accepted"
        wish = numbers.SetState(number.tenant_id, number.number_id, to, "rehearsal", "operator", clock.now())
        await store.write(numbers.set_state, wish)
    await settle(sender)
    assert await status_of(store, number, message_id) == "sent"
