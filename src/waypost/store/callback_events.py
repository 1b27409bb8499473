"""What callbacks tell beside messages and receipts, applied: calls, echoes, history, preferences, templates, numbers.

Each is told once by what it says, so that a callback read again repeats nothing.
"""

import hashlib
from typing import Any

import msgspec

from waypost.domain.provider_events import (
    AccountChanged,
    CallReceived,
    EchoReceived,
    HistoryReceived,
    NumberChanged,
    PreferenceChanged,
    TemplateChanged,
)
from waypost.domain.times import rfc3339, to_ms
from waypost.store import conversations, number_news, numbers, templates, withdrawals
from waypost.store.callback_sources import NotApplied, Source, Sources
from waypost.store.transaction import Line

_TEMPLATE_FIELDS = {
    "status": "message_template_status_update",
    "quality": "message_template_quality_update",
    "components": "message_template_components_update",
    "category": "template_category_update",
}
_NUMBER_FIELDS = {
    "quality": "phone_number_quality_update",
    "throughput": "phone_number_quality_update",
    "name": "phone_number_name_update",
    "username": "business_username_update",
    "settings": "account_settings_update",
    "security": "security",
}
_ACCOUNT_FIELDS = {
    "account": "account_update",
    "alert": "account_alerts",
    "review": "account_review_update",
    "capability": "business_capability_update",
    "payment": "payment_configuration_update",
    "partner": "partner_solutions",
}
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def apply_call(sources: Sources, source: Source, event: CallReceived) -> None:
    """Tell of a call; a customer's call opens the service window as a message does (Meta)."""
    named = bool(event.from_wa_id or event.from_user_id)
    by_customer = named and event.direction != "BUSINESS_INITIATED"
    if by_customer:
        contact_id = sources.person(source, event.from_wa_id, event.from_user_id)
    else:
        contact_id = sources.person(source, event.to_wa_id, None)
    if contact_id is None:
        raise NotApplied("no_sender: a call that names nobody")
    at = event.at or sources.now
    told = f"call {source.number_id} {event.provider_call_id} {event.event} {event.at}"
    content_id = sources.keep_once(source.tenant_id, told, contact_id, event.raw)
    if content_id is None:
        return
    conversation = conversations.ensure(
        sources.tx, source.tenant_id, source.number_id, contact_id, sources.now, "customer"
    )
    if event.direction == "USER_INITIATED" and event.event == "connect":
        conversations.heard(sources.tx, conversation, at, sources.now)
    facts = {
        "provider_call_id": event.provider_call_id,
        "event": event.event[:64],
        "direction": event.direction,
        "provider_at": rfc3339(to_ms(at)),
    }
    actor = "customer" if by_customer else "meta"
    _tell(sources, source, "call.received", content_id, contact_id, actor, facts)


def apply_echo(sources: Sources, source: Source, event: EchoReceived) -> None:
    """Tell of a message that a person sent from the phone app of the same number."""
    contact_id = sources.person(source, event.to_wa_id, event.to_user_id)
    told = f"echo {source.number_id} {event.provider_message_id}"
    content_id = sources.keep_once(source.tenant_id, told, contact_id, event.content)
    if content_id is None:
        return
    if contact_id is not None:
        conversations.ensure(sources.tx, source.tenant_id, source.number_id, contact_id, sources.now, "meta")
    facts = {
        "type": event.original_type[:64],
        "provider_message_id": event.provider_message_id,
        "provider_at": rfc3339(to_ms(event.sent_at)),
    }
    _tell(sources, source, "echo.received", content_id, contact_id, "meta", facts)


def apply_history(sources: Sources, source: Source, event: HistoryReceived) -> None:
    """Keep a chunk of the phone app's past and tell its size; its messages are not news, so none is told by itself."""
    told = f"history {source.number_id} {hashlib.sha256(event.raw).hexdigest()}"
    content_id = sources.keep_once(source.tenant_id, told, None, event.raw)
    if content_id is None:
        return
    threads, messages = _counts(event.raw)
    facts = {
        "phase": event.phase,
        "chunk_order": event.chunk_order,
        "progress": event.progress,
        "threads": threads,
        "messages": messages,
        "codes": [failure.code for failure in event.errors],
    }
    _tell(sources, source, "history.received", content_id, None, "meta", facts)


def _counts(raw: bytes) -> tuple[int, int]:
    threads = _decode(raw).get("threads")
    if not isinstance(threads, list):
        return 0, 0
    lists = [thread.get("messages") for thread in threads if isinstance(thread, dict)]
    return len(threads), sum(len(each) for each in lists if isinstance(each, list))


def apply_preference(sources: Sources, source: Source, event: PreferenceChanged) -> None:
    """Tell that a person stopped or resumed marketing messages."""
    contact_id = sources.person(source, event.wa_id, event.user_id)
    if contact_id is None:
        raise NotApplied("no_sender: a preference of nobody")
    tx = sources.tx
    told = f"preference {source.number_id} {contact_id} {event.category} {event.value} {event.at}"
    content_id = sources.keep_once(source.tenant_id, told, contact_id, event.raw)
    if content_id is None:
        return
    # What a person wants is a state of the contact, so the line is one of the contact's.
    tx.execute("UPDATE contacts SET version = version + 1 WHERE id = ?", (contact_id,))
    row = tx.one("SELECT version FROM contacts WHERE id = ?", (contact_id,))
    assert row is not None
    facts = {
        "category": event.category[:64],
        "value": event.value[:64],
        "provider_at": rfc3339(to_ms(event.at)),
    }
    tx.journal(
        Line(
            source.tenant_id, "preference.changed", contact_id, row[0], "customer", sources.now,
            number_id=source.number_id, contact_id=contact_id, content_id=content_id, facts=facts,
        )
    )  # fmt: skip
    # `resume` lifts nothing: a withdrawal stands until somebody here has reason to believe in a new consent.
    if (event.category, event.value) == ("marketing_messages", "stop"):
        withdrawals.record(tx, source.tenant_id, contact_id, "marketing", "meta", "customer", sources.now)


def apply_template(sources: Sources, callback_id: str, tenant_id: str, event: TemplateChanged) -> None:
    """Apply a change of a template to its row."""
    sources.check_waba(tenant_id, event.waba_id)
    field = _TEMPLATE_FIELDS[event.aspect]
    if _is_new(sources, callback_id, tenant_id, field, event.raw):
        value = _decode(event.raw)
        templates.apply_change(sources.tx, tenant_id, event.waba_id, field, value, sources.now)


def apply_account(sources: Sources, callback_id: str, tenant_id: str, event: AccountChanged) -> None:
    """Apply a change of a WABA or its portfolio to their rows."""
    sources.check_waba(tenant_id, event.waba_id)
    _apply_news(sources, callback_id, tenant_id, event.waba_id, _ACCOUNT_FIELDS[event.aspect], event.raw)


def apply_number(sources: Sources, callback_id: str, tenant_id: str, event: NumberChanged) -> None:
    """Apply a change of a number to its row."""
    sources.check_waba(tenant_id, event.waba_id)
    if event.aspect != "errors":
        field = _NUMBER_FIELDS[event.aspect]
        _apply_news(sources, callback_id, tenant_id, event.waba_id, field, event.raw)
        return
    source = sources.of(tenant_id, event.waba_id, event.phone_number_id or "")
    if _is_new(sources, callback_id, tenant_id, "errors", event.raw):
        codes = [failure.code for failure in event.errors]
        number = numbers.get(sources.tx, tenant_id, source.number_id)
        reason = str(codes[0]) if codes else None
        numbers.change_row(
            sources.tx, number, {}, "number.changed", "meta", sources.now, reason, {"codes": codes}
        )


def _apply_news(
    sources: Sources, callback_id: str, tenant_id: str, waba_id: str, field: str, raw: bytes
) -> None:
    if field not in number_news.FIELDS:
        tell_unsupported(sources, callback_id, tenant_id, field, raw)
    elif _is_new(sources, callback_id, tenant_id, field, raw):
        value = _decode(raw)
        if not number_news.apply_change(sources.tx, tenant_id, waba_id, field, value, sources.now):
            # Of a number in our WABA that is not ours: another program's.
            tell_unsupported(sources, callback_id, tenant_id, field, raw)


def tell_unsupported(
    sources: Sources,
    callback_id: str,
    tenant_id: str,
    field: str,
    raw: bytes,
    facts: dict[str, Any] | None = None,
) -> None:
    """Keep what is not known here and tell that it came."""
    told = f"unsupported {callback_id} {field} {hashlib.sha256(raw).hexdigest()}"
    # A change without a value is empty here; content is JSON everywhere.
    content_id = sources.keep_once(tenant_id, told, None, raw or b"null")
    if content_id is None:
        return
    facts = {"field": field[:64], "callback_id": callback_id, **(facts or {})}
    sources.tx.journal(
        Line(
            tenant_id, "callback.unsupported", content_id, 1, "meta", sources.now,
            content_id=content_id, facts=facts,
        )
    )  # fmt: skip


def _is_new(sources: Sources, callback_id: str, tenant_id: str, field: str, raw: bytes) -> bool:
    """Remember that this part of this callback was applied; False when it was before."""
    told = f"applied {callback_id} {field} {hashlib.sha256(raw).hexdigest()}"
    return sources.keep_once(tenant_id, told, None, raw) is not None


def _tell(
    sources: Sources,
    source: Source,
    kind: str,
    content_id: str,
    contact_id: str | None,
    actor: str,
    facts: dict[str, Any],
) -> None:
    sources.tx.journal(
        Line(
            source.tenant_id, kind, content_id, 1, actor, sources.now,
            number_id=source.number_id, contact_id=contact_id, content_id=content_id, facts=facts,
        )
    )  # fmt: skip
