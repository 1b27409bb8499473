"""Every kind of thing a callback tells, from the raw body to rows and journal."""

from pathlib import Path
from typing import Any

import pytest
from tests import engines
from tests.inbox.callback_support import SAMPLES, new_bench, said

from waypost.store import contact_search, media

TOLD: list[tuple[str, str, dict[str, Any]]] = [
    ("text", "inbound.received", {"type": "text", "provider_message_id": "wamid.IN_text"}),
    ("reply", "inbound.received", {"context_message_id": "wamid.QUOTED"}),
    ("forwarded", "inbound.received", {"type": "text"}),
    ("from_an_ad", "inbound.received", {"type": "text"}),
    ("image", "inbound.received", {"type": "image"}),
    ("video", "inbound.received", {"type": "video"}),
    ("document", "inbound.received", {"type": "document"}),
    ("audio", "inbound.received", {"type": "audio"}),
    ("sticker", "inbound.received", {"type": "sticker"}),
    ("location", "inbound.received", {"type": "location"}),
    ("contacts", "inbound.received", {"type": "contacts"}),
    ("reaction", "inbound.received", {"type": "reaction"}),
    ("reaction_removed", "inbound.received", {"type": "reaction"}),
    ("button", "inbound.received", {"type": "button", "context_message_id": "wamid.QUOTED"}),
    ("button_reply", "inbound.received", {"type": "interactive"}),
    ("list_reply", "inbound.received", {"type": "interactive"}),
    ("flow_reply", "inbound.received", {"type": "interactive"}),
    ("call_permission_reply", "inbound.received", {"type": "interactive"}),
    ("order", "inbound.received", {"type": "order"}),
    ("system_other", "inbound.received", {"type": "system"}),
    ("request_welcome", "inbound.received", {"type": "request_welcome"}),
    ("in_a_group", "inbound.received", {"group_id": "Y2FwaV9ncm91cA"}),
    ("standby", "inbound.received", {"standby": True}),
    ("bsuid_only", "inbound.received", {"type": "text"}),
    ("number_only", "inbound.received", {"type": "text"}),
    ("without_contacts", "inbound.received", {"type": "text"}),
    ("edit", "inbound.edited", {"original_message_id": "wamid.OLD"}),
    ("revoke", "inbound.revoked", {"original_message_id": "wamid.OLD"}),
    ("unsupported", "inbound.unsupported", {"original_type": "poll", "codes": [131051]}),
    ("never_heard_of", "inbound.unsupported", {"original_type": "hologram"}),
    ("new_number", "inbound.received", {"type": "system", "change": "user_changed_number"}),
    ("new_user_id", "inbound.received", {"type": "system", "change": "user_changed_user_id"}),
    ("status_unheard", "callback.unsupported", {"field": "statuses", "status": "teleported"}),
    ("number_error", "number.changed", {"codes": [131031]}),
    ("number_settings", "number.changed", {"field": "account_settings_update"}),
    ("number_security", "waba.changed", {"field": "security", "event": "PIN_CHANGED"}),
    ("number_username", "callback.unsupported", {"field": "business_username_update"}),
    ("account", "waba.changed", {"field": "account_update", "event": "ACCOUNT_VIOLATION"}),
    ("account_alert", "waba.changed", {"field": "account_alerts"}),
    ("account_review", "waba.changed", {"decision": "APPROVED"}),
    ("account_capability", "portfolio.changed", {"messaging_limit": "TIER_2K"}),
    ("preference", "preference.changed", {"category": "marketing_messages", "value": "stop"}),
    ("echo", "echo.received", {"type": "text", "provider_message_id": "wamid.ECHO"}),
    ("history", "history.received", {"phase": 0, "chunk_order": 1, "threads": 1, "messages": 1}),
    ("history_declined", "history.received", {"codes": [2593109], "messages": 0}),
    ("call", "call.received", {"provider_call_id": "wacid.1", "event": "connect"}),
    ("call_status", "call.received", {"provider_call_id": "wacid.1", "event": "RINGING"}),
    ("contacts_of_the_app", "callback.unsupported", {"field": "smb_app_state_sync"}),
    ("group_change", "callback.unsupported", {"field": "group_lifecycle_update"}),
    ("field_unheard", "callback.unsupported", {"field": "quantum_update"}),
]


@pytest.mark.parametrize(("name", "kind", "facts"), TOLD, ids=[name for name, _, _ in TOLD])
async def test_each_kind_is_told_once_with_its_facts(
    tmp_path: Path, name: str, kind: str, facts: dict[str, Any]
) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.sample(name))
    (event,) = await bench.events(kind)
    assert event.facts | facts == event.facts
    assert await bench.rows("SELECT state, fault FROM callbacks") == [("read", None)]


@pytest.mark.parametrize("name", sorted(SAMPLES))
async def test_a_callback_applied_again_tells_nothing_new(tmp_path: Path, name: str) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.sample(name))
    before = await bench.events("inbound.", "callback.", "media.", "contact.", "number.", "waba.", "call.")
    everything = await bench.row("SELECT count(*) FROM journal")
    # As after a crash between applying and the provider's hearing of it, or a replay.
    engines.current.run(bench.store.engine, "UPDATE callbacks SET state = 'stored'")
    await bench.read()
    assert await bench.row("SELECT count(*) FROM journal") == everything, before
    assert await bench.rows("SELECT state FROM callbacks") == [("read",)]


@pytest.mark.parametrize("name", sorted(SAMPLES))
async def test_no_journal_line_holds_what_a_customer_wrote(tmp_path: Path, name: str) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.sample(name))
    lines = await bench.rows("SELECT facts FROM journal")
    for personal in ("Grü", "Gr\\u00fc", "Zo", "16505551234", "US.1349", "lookaside"):
        assert all(personal.encode() not in facts for (facts,) in lines)


async def test_content_is_kept_as_it_came_and_erased_content_leaves_the_row(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.sample("location"))
    (event,) = await bench.events("inbound.received")
    sample = SAMPLES["location"]["entry"][0]["changes"][0]["value"]["messages"][0]
    assert await bench.content(event) == sample


async def test_what_is_not_known_here_is_kept_raw(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.sample("field_unheard"))
    (event,) = await bench.events("callback.unsupported")
    value = SAMPLES["field_unheard"]["entry"][0]["changes"][0]["value"]
    assert set(await bench.content(event)) == set(value)


async def test_a_change_without_a_value_is_told_with_content_that_is_json(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(
        bench.ours('{"entry": [{"id": "102290129340398", "changes": [{"field": "quantum"}]}]}')
    )
    (event,) = await bench.events("callback.unsupported")
    assert await bench.content(event) is None


async def test_inbound_media_is_wanted_with_what_the_provider_says_of_it(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.sample("document"))
    (event,) = await bench.events("inbound.received")
    (wanted,) = await bench.store.read(media.due, bench.clock.now(), 10)
    assert wanted.id == event.facts["media_id"]
    assert (wanted.state, wanted.direction, wanted.mime_type) == ("wanted", "inbound", "application/pdf")
    assert wanted.contact_id == event.contact_id
    assert await bench.row("SELECT media_id FROM inbound") == (wanted.id,)


async def test_media_of_a_message_that_comes_twice_is_wanted_once(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    raw = bench.sample("image")
    await bench.receive(raw, raw.replace(b'"messaging_product"', b'"messaging-product"'))
    assert await bench.row("SELECT count(*) FROM callbacks") == (2,)
    assert await bench.row("SELECT count(*) FROM media") == (1,)


async def test_a_template_change_reaches_its_row_or_makes_the_list_due(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    engines.current.run(bench.store.engine, "UPDATE wabas SET templates_synced_at = 1")
    await bench.receive(bench.sample("template_status"))
    assert await bench.row("SELECT templates_synced_at FROM wabas") == (None,)


async def test_the_name_of_the_profile_goes_to_the_contact(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.sample("text"))
    (event,) = await bench.events("inbound.received")
    contact = await bench.store.read(contact_search.get, bench.number.tenant_id, event.contact_id or "")
    assert contact.name == "Zoë Müller"
    assert {(alias.kind, alias.value) for alias in contact.aliases} == {
        ("phone", "+16505551234"),
        ("bsuid", "US.13491208655302741918"),
        ("parent_bsuid", "US.ENT.118157992128868"),
        ("username", "zoe"),
    }


@pytest.mark.parametrize(
    ("item", "opens"),
    [
        (said("wamid.1"), True),
        (said("wamid.1", type="reaction", reaction={"message_id": "x", "emoji": "👍"}), True),
        (said("wamid.1", type="hologram"), True),
        (said("wamid.1", type="revoke", revoke={"original_message_id": "x"}), False),
        (said("wamid.1", type="edit", edit={"original_message_id": "x"}), False),
        (said("wamid.1", type="request_welcome"), False),
        (said("wamid.1", type="system", system={"type": "other"}), False),
        (said("wamid.1", group_id="Y2FwaV9ncm91cA"), False),
    ],
)
async def test_only_the_customers_own_word_opens_the_window(
    tmp_path: Path, item: dict[str, Any], opens: bool
) -> None:
    bench = await new_bench(tmp_path)
    await bench.receive(bench.messages(item))
    rows = await bench.rows("SELECT window_expires_at FROM conversations WHERE window_expires_at IS NOT NULL")
    assert rows == ([(1795348800000 + 86_400_000,)] if opens else [])
