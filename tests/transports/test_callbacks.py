"""Callbacks: signatures over raw bytes, and every entry, change and message read into exactly one event."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from waypost.domain.provider_events import (
    AccountChanged,
    CallReceived,
    EchoReceived,
    HistoryReceived,
    IdentityChanged,
    MessageReceived,
    NumberChanged,
    PreferenceChanged,
    ReceiptReceived,
    TemplateChanged,
    UnknownField,
    Unreadable,
)
from waypost.transports.cloud_api.callbacks import parse, verify_signature

CALLBACKS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "samples" / "cloud_api" / "callbacks.json").read_text()
)
WABA, NUMBER = "102290129340398", "106540352242922"
PERSON, BSUID = "16505551234", "US.13491208655302741918"


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def raw_of(name: str) -> bytes:
    return json.dumps(CALLBACKS[name]).encode()  # non-ASCII escaped, as Meta sends it


EXPECTED: list[tuple[str, type, dict[str, Any]]] = [
    ("text", MessageReceived, {"kind": "text", "from_wa_id": PERSON, "user_id": BSUID, "username": "zoe"}),
    ("text", MessageReceived, {"profile_name": "Zoë Müller", "parent_user_id": "US.ENT.118157992128868"}),
    ("text", MessageReceived, {"provider_message_id": "wamid.IN_text", "sent_at": at(1763800000)}),
    ("text", MessageReceived, {"media": None, "errors": (), "standby": False, "group_id": None}),
    ("reply", MessageReceived, {"kind": "text", "context_message_id": "wamid.QUOTED"}),
    ("forwarded", MessageReceived, {"kind": "text", "context_message_id": None}),
    ("from_an_ad", MessageReceived, {"kind": "text"}),
    ("image", MessageReceived, {"kind": "image"}),
    ("video", MessageReceived, {"kind": "video"}),
    ("document", MessageReceived, {"kind": "document"}),
    ("audio", MessageReceived, {"kind": "audio"}),
    ("sticker", MessageReceived, {"kind": "sticker"}),
    ("location", MessageReceived, {"kind": "location", "media": None}),
    ("contacts", MessageReceived, {"kind": "contacts"}),
    ("reaction", MessageReceived, {"kind": "reaction"}),
    ("reaction_removed", MessageReceived, {"kind": "reaction"}),
    ("button", MessageReceived, {"kind": "button", "context_message_id": "wamid.QUOTED"}),
    ("button_reply", MessageReceived, {"kind": "interactive"}),
    ("list_reply", MessageReceived, {"kind": "interactive"}),
    ("flow_reply", MessageReceived, {"kind": "interactive"}),
    ("call_permission_reply", MessageReceived, {"kind": "interactive"}),
    ("order", MessageReceived, {"kind": "order"}),
    ("edit", MessageReceived, {"kind": "edit"}),
    ("revoke", MessageReceived, {"kind": "revoke"}),
    ("request_welcome", MessageReceived, {"kind": "request_welcome"}),
    ("in_a_group", MessageReceived, {"kind": "text", "group_id": "Y2FwaV9ncm91cA"}),
    ("unsupported", MessageReceived, {"kind": "unsupported", "original_type": "poll"}),
    ("never_heard_of", MessageReceived, {"kind": "unsupported", "original_type": "hologram"}),
    ("bsuid_only", MessageReceived, {"from_wa_id": None, "user_id": BSUID, "profile_name": "Zoë"}),
    ("number_only", MessageReceived, {"from_wa_id": PERSON, "user_id": None, "profile_name": "Zoë"}),
    ("without_contacts", MessageReceived, {"from_wa_id": PERSON, "profile_name": None, "username": None}),
    ("standby", MessageReceived, {"kind": "text", "standby": True}),
    ("system_other", MessageReceived, {"kind": "system"}),
    (
        "new_number",
        IdentityChanged,
        {
            "change": "user_changed_number",
            "previous_wa_id": PERSON,
            "wa_id": "16505559999",
            "previous_user_id": "US.OLD",
            "user_id": "US.NEW",
            "previous_parent_user_id": "US.ENT.OLD",
        },
    ),
    (
        "new_user_id",
        IdentityChanged,
        {
            "change": "user_changed_user_id",
            "previous_wa_id": None,
            "wa_id": None,
            "previous_user_id": BSUID,
            "user_id": "US.NEW",
            "parent_user_id": "US.ENT.NEW",
        },
    ),
    ("sent", ReceiptReceived, {"status": "sent", "echo": "att_1", "provider_message_id": "wamid.OUT"}),
    ("sent", ReceiptReceived, {"recipient_wa_id": PERSON, "recipient_user_id": BSUID, "at": at(1763800001)}),
    ("delivered", ReceiptReceived, {"status": "delivered", "conversation": None, "errors": ()}),
    ("read", ReceiptReceived, {"status": "read", "pricing": None}),
    ("played", ReceiptReceived, {"status": "played"}),
    ("failed", ReceiptReceived, {"status": "failed"}),
    ("status_unheard", ReceiptReceived, {"status": "other", "original_status": "teleported"}),
    ("status_bsuid_only", ReceiptReceived, {"recipient_wa_id": None, "echo": None, "at": at(1763800001)}),
    ("status_group", ReceiptReceived, {"group_id": "Y2FwaV9ncm91cA", "participant": PERSON}),
    ("status_group", ReceiptReceived, {"recipient_wa_id": None}),
    ("status_group_other_spelling", ReceiptReceived, {"participant": PERSON}),
    ("number_error", NumberChanged, {"aspect": "errors", "phone_number_id": NUMBER}),
    (
        "template_status",
        TemplateChanged,
        {
            "aspect": "status",
            "event": "REJECTED",
            "template_id": "594425479261596",
            "name": "a",
            "language": "en_US",
            "reason": "INVALID_FORMAT",
            "at": at(1763800002),
        },
    ),
    ("template_approved", TemplateChanged, {"event": "APPROVED", "reason": None}),
    ("template_quality", TemplateChanged, {"aspect": "quality", "event": "YELLOW"}),
    ("template_quality_mislabelled", TemplateChanged, {"aspect": "quality", "event": "RED"}),
    ("template_category", TemplateChanged, {"aspect": "category", "event": "MARKETING"}),
    ("template_category_forewarned", TemplateChanged, {"aspect": "category", "event": "MARKETING"}),
    ("template_components", TemplateChanged, {"aspect": "components", "event": None}),
    ("number_quality", NumberChanged, {"aspect": "quality", "event": "UPGRADE", "limit": "TIER_10K"}),
    (
        "number_quality",
        NumberChanged,
        {"display_phone_number": "15550783881", "phone_number_id": None, "at": at(1763800002)},
    ),
    ("number_quality_old", NumberChanged, {"event": "DOWNGRADE", "limit": "TIER_1K"}),
    ("number_throughput", NumberChanged, {"aspect": "throughput", "event": "THROUGHPUT_UPGRADE"}),
    ("number_name", NumberChanged, {"aspect": "name", "event": "REJECTED"}),
    ("number_settings", NumberChanged, {"aspect": "settings", "phone_number_id": NUMBER}),
    ("number_security", NumberChanged, {"aspect": "security", "event": "PIN_CHANGED"}),
    ("number_username", NumberChanged, {"aspect": "username", "event": "approved"}),
    ("account", AccountChanged, {"aspect": "account", "event": "ACCOUNT_VIOLATION"}),
    ("account_alert", AccountChanged, {"aspect": "alert", "event": "OBA_REJECTED"}),
    ("account_review", AccountChanged, {"aspect": "review", "event": "APPROVED"}),
    ("account_capability", AccountChanged, {"aspect": "capability", "limit": "2000"}),
    (
        "preference",
        PreferenceChanged,
        {"wa_id": PERSON, "category": "marketing_messages", "value": "stop", "at": at(1763800003)},
    ),
    (
        "echo",
        EchoReceived,
        {"provider_message_id": "wamid.ECHO", "to_wa_id": PERSON, "original_type": "text"},
    ),
    ("history", HistoryReceived, {"phase": 0, "chunk_order": 1, "progress": 55, "errors": ()}),
    ("history_declined", HistoryReceived, {"phase": None}),
    ("call", CallReceived, {"event": "connect", "from_wa_id": PERSON, "direction": "USER_INITIATED"}),
    ("call_status", CallReceived, {"event": "RINGING", "to_wa_id": PERSON, "provider_call_id": "wacid.1"}),
    ("contacts_of_the_app", UnknownField, {"field": "smb_app_state_sync", "phone_number_id": NUMBER}),
    ("group_change", UnknownField, {"field": "group_lifecycle_update"}),
    ("field_unheard", UnknownField, {"field": "quantum_update", "phone_number_id": None}),
]


@pytest.mark.parametrize(("name", "kind", "fields"), EXPECTED)
def test_every_kind_of_callback_becomes_its_event(name: str, kind: type, fields: dict[str, Any]) -> None:
    (event,) = parse(raw_of(name))
    assert type(event) is kind
    assert {field: getattr(event, field) for field in fields} == fields
    assert event.waba_id == WABA
    if not isinstance(event, TemplateChanged | NumberChanged | AccountChanged | UnknownField | Unreadable):
        assert event.phone_number_id == NUMBER


def test_every_recorded_callback_is_expected_here() -> None:
    assert set(CALLBACKS) - {name for name, _, _ in EXPECTED} == {"failed_for_a_moment", "failed_unheard"}


@pytest.mark.parametrize("name", [name for name, kind, _ in EXPECTED if kind is MessageReceived])
def test_the_message_is_kept_as_meta_sent_it(name: str) -> None:
    (event,) = parse(raw_of(name))
    assert isinstance(event, MessageReceived)
    assert json.loads(event.content) == CALLBACKS[name]["entry"][0]["changes"][0]["value"]["messages"][0]
    assert b"\\u" not in event.content


@pytest.mark.parametrize("name", ["image", "video", "document", "audio", "sticker"])
def test_media_is_named_with_its_hash_and_address(name: str) -> None:
    (event,) = parse(raw_of(name))
    assert isinstance(event, MessageReceived)
    assert event.media is not None
    assert (event.media.id, event.media.sha256) == ("1003383421387256", "3q2+7w==")
    assert event.media.url == "https://lookaside.example/x"
    assert (
        event.media.mime_type
        == CALLBACKS[name]["entry"][0]["changes"][0]["value"]["messages"][0][name]["mime_type"]
    )
    assert event.media.filename == ("a.pdf" if name == "document" else None)


@pytest.mark.parametrize(
    ("name", "code", "reaction"),
    [
        ("failed", 131026, "fail_contact"),
        ("failed_for_a_moment", 131000, "retry"),
        ("failed_unheard", 999999, "fail"),
        ("unsupported", 131051, "fail"),
        ("number_error", 131031, "stop_lane"),
        ("history_declined", 2593109, "fail"),
    ],
)
def test_errors_come_with_the_reaction_of_their_code(name: str, code: int, reaction: str) -> None:
    (event,) = parse(raw_of(name))
    assert isinstance(event, ReceiptReceived | MessageReceived | NumberChanged | HistoryReceived)
    assert [(error.code, error.reaction) for error in event.errors] == [(code, reaction)]
    assert event.errors[0].detail


def test_pricing_is_kept_raw() -> None:
    (event,) = parse(raw_of("sent"))
    assert isinstance(event, ReceiptReceived)
    assert json.loads(event.pricing or b"")["pricing_model"] == "PMP"
    assert json.loads(event.conversation or b"")["id"] == "c1"


def test_what_is_not_known_keeps_its_value() -> None:
    (event,) = parse(raw_of("field_unheard"))
    assert isinstance(event, UnknownField)
    assert json.loads(event.raw) == {"state": [1, 2]}


def test_all_entries_changes_and_messages_are_read_in_order() -> None:
    names = [name for name in CALLBACKS for _ in range(2)]
    body = {
        "object": "whatsapp_business_account",
        "entry": [entry for name in names for entry in CALLBACKS[name]["entry"]],
    }
    alone = [event for name in names for event in parse(raw_of(name))]
    assert parse(json.dumps(body).encode()) == alone
    assert len(alone) == len(names)


def test_a_thousand_receipts_of_one_callback_are_read() -> None:
    change = json.loads(raw_of("sent"))["entry"][0]["changes"][0]
    (receipt,) = change["value"]["statuses"]
    change["value"]["statuses"] = [receipt | {"biz_opaque_callback_data": f"att_{n}"} for n in range(1000)]
    events = parse(json.dumps({"entry": [{"id": WABA, "changes": [change]}]}).encode())
    assert [event.echo for event in events if isinstance(event, ReceiptReceived)] == [
        f"att_{n}" for n in range(1000)
    ]


SECRET = b"app-secret"


def signed(raw: bytes, secret: bytes = SECRET) -> str:
    return "sha256=" + hmac.new(secret, raw, hashlib.sha256).hexdigest()


def test_a_signature_over_the_raw_bytes_is_accepted() -> None:
    raw = raw_of("text")
    assert b"\\u00fc" in raw
    assert verify_signature(SECRET, raw, signed(raw))
    assert verify_signature(SECRET, raw, "sha256=" + signed(raw)[7:].upper())


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        "sha256=zz",
        "sha256=ü",
        signed(raw_of("text"))[7:],
        "sha1=" + signed(raw_of("text"))[7:],
        signed(raw_of("text"), b"another app"),
        signed(raw_of("text") + b" "),
        signed(json.dumps(CALLBACKS["text"], ensure_ascii=False).encode()),
    ],
)
def test_any_other_signature_is_refused(header: str | None) -> None:
    assert not verify_signature(SECRET, raw_of("text"), header)
