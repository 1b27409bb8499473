"""Callbacks late, twice, out of order, and of people who change their number."""

from pathlib import Path
from typing import Any

from tests.inbox.callback_support import Bench, new_bench, receipt, said
from tests.support import ScriptedTransport, accept_text, new_sender, settle, status_of

from waypost.domain.outcomes import Sent
from waypost.store import contact_search, contacts, messages
from waypost.store.contacts import AliasSeen

START_MS = 1795348800000
DAY_MS = 86_400_000
SENT_FIRST = "wamid.1"


async def _sent(bench: Bench, to: str = "+16505551234") -> str:
    message_id = await accept_text(bench.store, bench.number, bench.clock, to)
    sender = new_sender(bench.store, ScriptedTransport(Sent("auto")), bench.clock)
    await settle(sender)
    assert await status_of(bench.store, bench.number, message_id) == "sent"
    return message_id


async def _window(bench: Bench) -> Any:
    return await bench.row("SELECT window_expires_at, last_inbound_at FROM conversations")


async def _contact(bench: Bench, kind: Any, value: str) -> str | None:
    portfolio = bench.number.portfolio_id if "bsuid" in kind else ""
    return await bench.store.read(contacts.find, bench.number.tenant_id, AliasSeen(kind, value, portfolio))


async def test_a_late_message_never_moves_the_window_back(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.messages(said("wamid.2", at=1795348800)))
    assert await _window(bench) == (START_MS + DAY_MS, START_MS)
    await bench.receive(bench.messages(said("wamid.1", at=1795348800 - 3600)))
    assert await _window(bench) == (START_MS + DAY_MS, START_MS)
    bench.clock.advance(60)
    await bench.receive(bench.messages(said("wamid.3", at=1795348830)))
    assert await _window(bench) == (START_MS + 30_000 + DAY_MS, START_MS + 30_000)


async def test_a_message_from_the_future_opens_the_window_for_a_day_from_now(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.messages(said("wamid.1", at=1795348800 + 10 * 86_400)))
    assert await _window(bench) == (START_MS + DAY_MS, START_MS)


async def test_a_customers_call_opens_the_window_and_ours_does_not(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    raw = bench.sample("call").replace(b"1763800005", b"1795348800")
    ours = raw.replace(b"USER_INITIATED", b"BUSINESS_INITIATED").replace(b"wacid.1", b"wacid.0")
    await bench.receive(ours.replace(b'"to": "15550783881"', b'"to": "16505551234"'))
    assert await bench.rows("SELECT window_expires_at FROM conversations") == [(None,)]
    await bench.receive(raw)
    assert await _window(bench) == (START_MS + DAY_MS, START_MS)


async def test_receipts_in_any_order_move_a_message_only_forward(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    message_id = await _sent(bench)
    for status, becomes in [("read", "read"), ("delivered", "read"), ("sent", "read"), ("played", "played")]:
        await bench.receive(bench.messages(statuses=[receipt(SENT_FIRST, status)]))
        assert await status_of(bench.store, bench.number, message_id) == becomes
    attempts = await bench.store.read(messages.attempts_of, bench.number.tenant_id, message_id)
    assert attempts[0].delivered_at == START_MS


async def test_a_receipt_of_nothing_we_know_is_parked_by_itself(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.messages(statuses=[receipt("wamid.of_another_program", "sent")]))
    assert await bench.row("SELECT provider_message_id FROM parked_receipts") == ("wamid.of_another_program",)
    assert await bench.rows("SELECT state FROM callbacks") == [("read",)]


async def test_a_receipt_teaches_the_bsuid_of_whom_we_wrote_to_by_number(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await _sent(bench)
    contact_id = await _contact(bench, "phone", "+16505551234")
    await bench.receive(
        bench.messages(statuses=[receipt(SENT_FIRST, "delivered", recipient_user_id="US.777")])
    )
    assert await _contact(bench, "bsuid", "US.777") == contact_id
    await bench.receive(bench.messages(said("wamid.in", **{"from": None, "from_user_id": "US.777"})))
    (event,) = await bench.events("inbound.received")
    assert event.contact_id == contact_id


async def test_receipts_of_strangers_make_no_contacts(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(
        bench.messages(statuses=[receipt("wamid.x", "delivered", recipient_user_id="US.777")])
    )
    assert await bench.row("SELECT count(*) FROM contacts") == (0,)


async def test_a_message_in_two_callbacks_is_kept_once(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.messages(said("wamid.1"), said("wamid.2")))
    await bench.receive(bench.messages(said("wamid.2"), said("wamid.3"), said("wamid.3")))
    assert await bench.rows("SELECT provider_message_id FROM inbound ORDER BY id") == [
        ("wamid.1",),
        ("wamid.2",),
        ("wamid.3",),
    ]
    assert len(await bench.events("inbound.received")) == 3


async def test_number_and_bsuid_that_were_two_people_become_one(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.messages(said("wamid.1")))
    await bench.receive(bench.messages(said("wamid.2", **{"from": None, "from_user_id": "US.1"})))
    assert len({event.contact_id for event in await bench.events("inbound.received")}) == 2
    await bench.receive(bench.messages(said("wamid.3", from_user_id="US.1")))
    one = await _contact(bench, "bsuid", "US.1")
    assert one == await _contact(bench, "phone", "+16505551234")
    assert await bench.rows("SELECT DISTINCT contact_id FROM inbound") == [(one,)]
    assert await bench.rows("SELECT contact_id FROM conversations") == [(one,)]


async def test_two_people_become_one_within_one_callback(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    by_bsuid = {"from": None, "from_user_id": "US.1"}
    await bench.receive(
        bench.messages(
            said("wamid.1"),
            said("wamid.2", **by_bsuid),
            said("wamid.3", from_user_id="US.1"),
            said("wamid.4", **by_bsuid),
        )
    )
    assert len(await bench.rows("SELECT DISTINCT contact_id FROM inbound")) == 1
    assert len(await bench.rows("SELECT id FROM conversations")) == 1


async def test_a_bsuid_only_sender_is_a_contact_without_a_number(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.sample("bsuid_only"))
    (event,) = await bench.events("inbound.received")
    contact = await bench.store.read(contact_search.get, bench.number.tenant_id, event.contact_id or "")
    assert ("bsuid", "US.13491208655302741918") in {(a.kind, a.value) for a in contact.aliases}
    assert "phone" not in {alias.kind for alias in contact.aliases}


async def test_a_changed_number_keeps_the_contact_and_its_history(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.messages(said("wamid.1", from_user_id="US.OLD")))
    before = await _contact(bench, "phone", "+16505551234")
    bench.clock.advance(60)
    await bench.receive(bench.sample("new_number"))
    assert await _contact(bench, "phone", "+16505551234") is None
    assert await _contact(bench, "bsuid", "US.OLD") is None
    assert await _contact(bench, "phone", "+16505559999") == before
    assert await _contact(bench, "bsuid", "US.NEW") == before
    aliases = await bench.store.read(contacts.aliases_of, bench.number.tenant_id, before or "")
    ended = {alias.value: alias.valid_to for alias in aliases}
    assert ended["+16505551234"] == START_MS + 60_000
    assert ended["+16505559999"] is None
    await bench.receive(bench.messages(said("wamid.2", **{"from": "16505559999", "from_user_id": "US.NEW"})))
    assert {event.contact_id for event in await bench.events("inbound.received")} == {before}


async def test_a_changed_number_of_a_stranger_makes_one_contact_with_both(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.sample("new_number"))
    assert await bench.row("SELECT count(*) FROM contacts") == (1,)
    assert await _contact(bench, "phone", "+16505559999") is not None


async def test_a_new_message_under_the_new_number_may_overtake_the_change(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.messages(said("wamid.1", from_user_id="US.OLD")))
    early = said("wamid.2", **{"from": "16505559999", "from_user_id": "US.NEW"})
    await bench.receive(bench.messages(early), bench.sample("new_number"))
    assert len(await bench.rows("SELECT DISTINCT contact_id FROM inbound")) == 1
    assert len(await bench.rows("SELECT id FROM contacts WHERE merged_into IS NULL")) == 1


async def test_a_change_that_makes_two_people_one_is_told_of_the_older_contact(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.messages(said("wamid.1", **{"from": "16505559999"})))
    older = await _contact(bench, "phone", "+16505559999")
    bench.clock.advance(1)
    await bench.receive(bench.messages(said("wamid.2", from_user_id="US.OLD")))
    await bench.receive(bench.sample("new_number"))
    assert await bench.rows("SELECT DISTINCT contact_id FROM inbound") == [(older,)]
    assert await _contact(bench, "bsuid", "US.NEW") == older
    (event,) = [event for event in await bench.events("inbound.received") if event.facts["type"] == "system"]
    assert event.contact_id == older


async def test_metas_opt_out_is_a_withdrawal_that_waits_for_the_second_place(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.sample("preference"))
    await bench.receive(bench.sample("preference"))
    contact_id = await _contact(bench, "phone", "+16505551234")
    told = await bench.rows("SELECT contact_id, purpose, source FROM withdrawals")
    assert told == [(contact_id, "marketing", "meta")]
    assert await bench.rows("SELECT count(*) FROM uncopied_withdrawals") == [(1,)]


async def test_a_preference_is_a_state_of_the_contact_with_its_own_version(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.messages(said("wamid.1")), bench.sample("preference"))
    contact_id = await _contact(bench, "phone", "+16505551234")
    lines = await bench.rows(
        "SELECT version FROM journal WHERE aggregate_id = ? ORDER BY position", contact_id
    )
    assert [version for (version,) in lines] == list(range(1, len(lines) + 1))
