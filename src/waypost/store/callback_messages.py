"""What customers send, applied: their messages, and the numbers and ids they change."""

from datetime import datetime
from typing import Any

import msgspec

from waypost.domain.addresses import wa_id_to_phone
from waypost.domain.provider_events import IdentityChanged, InboundMedia, MessageReceived
from waypost.domain.times import rfc3339, to_ms
from waypost.store import contacts, conversations, inbound, media, pacing
from waypost.store.callback_sources import NotApplied, Source, Sources
from waypost.store.contacts import AliasKind, AliasSeen
from waypost.store.transaction import Line

_KINDS = {
    "unsupported": "inbound.unsupported",
    "edit": "inbound.edited",
    "revoke": "inbound.revoked",
}
# Meta: a user's message opens the window. What Meta itself writes (system), an opened chat without a word
# (request_welcome) and changes of an earlier message are not that; the shorter window is the safe one.
_NOT_HEARD = frozenset({"system", "request_welcome", "edit", "revoke"})


class _Original(msgspec.Struct):
    original_message_id: str | None = None


class _Changed(msgspec.Struct):
    edit: _Original | None = None
    revoke: _Original | None = None


_CHANGED = msgspec.json.Decoder(_Changed)


def apply_message(sources: Sources, source: Source, event: MessageReceived) -> None:
    """Keep a customer's message once, open its conversation's window, want its media, and tell of it."""
    known = sources.known.setdefault(source.number_id, set())
    if event.provider_message_id in known:
        return
    contact_id = sources.person(
        source,
        event.from_wa_id,
        event.user_id,
        event.parent_user_id,
        event.username,
        event.profile_name,
    )
    if contact_id is None:
        raise NotApplied("no_sender: a message that names nobody")
    tx, now = sources.tx, sources.now
    if event.group_id is None:
        # A word in a group opens no window with its writer.
        conversation = conversations.ensure(
            tx, source.tenant_id, source.number_id, contact_id, now, "customer"
        )
        if event.kind not in _NOT_HEARD:
            conversations.heard(tx, conversation, event.sent_at, now)
    media_id = _want(sources, source, contact_id, event.media)
    facts = _facts(event, media_id)
    inbound_id = _insert(
        sources,
        source,
        contact_id,
        event.provider_message_id,
        event.kind,
        event.sent_at,
        event.content,
        media_id,
        event.context_message_id,
    )
    known.add(event.provider_message_id)
    pacing.count_inbound(tx, source.number_id, 1, now)
    _tell(sources, source, contact_id, inbound_id, _KINDS.get(event.kind, "inbound.received"), facts)


def _facts(event: MessageReceived, media_id: str | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "type": event.kind,
        "provider_message_id": event.provider_message_id,
        "provider_at": rfc3339(to_ms(event.sent_at)),
    }
    if event.context_message_id is not None:
        facts["context_message_id"] = event.context_message_id
    if media_id is not None:
        facts["media_id"] = media_id
    if event.kind == "unsupported":
        facts["original_type"] = event.original_type[:64]
    if event.kind in ("edit", "revoke"):
        facts["original_message_id"] = _original_of(event)
    if event.errors:
        facts["codes"] = [failure.code for failure in event.errors]
    if event.group_id is not None:
        facts["group_id"] = event.group_id
    if event.standby:
        facts["standby"] = True
    return facts


def _original_of(event: MessageReceived) -> str | None:
    """Read which message an edit or a revocation is about."""
    try:
        changed = _CHANGED.decode(event.content)
    except msgspec.ValidationError:
        return None  # told all the same; what it says is in the content
    original = changed.edit or changed.revoke
    return None if original is None else original.original_message_id


def _want(sources: Sources, source: Source, contact_id: str, wanted: InboundMedia | None) -> str | None:
    if wanted is None or wanted.id is None:
        return None
    return media.want(
        sources.tx,
        media.Want(
            source.tenant_id,
            source.number_id,
            contact_id,
            wanted.id,
            wanted.mime_type or "application/octet-stream",
            wanted.sha256,
            wanted.filename,
            sources.now,
        ),
    )


def apply_identity(sources: Sources, source: Source, event: IdentityChanged) -> None:
    """Move a contact to a new number or BSUID, keeping the old ones as history; kept as a system message, once."""
    known = sources.known.setdefault(source.number_id, set())
    if event.provider_message_id in known:
        return
    contact_id = _holder(sources, source, event) or sources.person(
        source,
        event.previous_wa_id or event.wa_id,
        event.previous_user_id or event.user_id,
        event.previous_parent_user_id or event.parent_user_id,
    )
    if contact_id is None:
        raise NotApplied("no_sender: a change of identity that names nobody")
    tenant, portfolio = source.tenant_id, source.portfolio_id
    previous_phone = None if event.previous_wa_id is None else wa_id_to_phone(event.previous_wa_id)
    phone = None if event.wa_id is None else wa_id_to_phone(event.wa_id)
    changes: tuple[tuple[AliasKind, str | None, str | None, str], ...] = (
        ("phone", previous_phone, phone, ""),
        ("bsuid", event.previous_user_id, event.user_id, portfolio),
        ("parent_bsuid", event.previous_parent_user_id, event.parent_user_id, portfolio),
    )
    for kind, old, new, scope in changes:
        if new is not None and new != old:
            before = None if old is None else AliasSeen(kind, old, scope)
            after = AliasSeen(kind, new, scope)
            contacts.change_alias(sources.tx, tenant, contact_id, before, after, "meta", sources.now)
            # The new alias may have belonged to a contact that is merged with this one now.
            contact_id = contacts.find(sources.tx, tenant, after) or contact_id
    sources.forget_people()
    facts = {
        "type": "system",
        "change": event.change,
        "provider_message_id": event.provider_message_id,
        "provider_at": rfc3339(to_ms(event.at)),
    }
    inbound_id = _insert(
        sources,
        source,
        contact_id,
        event.provider_message_id,
        "system",
        event.at,
        event.content,
        None,
        None,
    )
    known.add(event.provider_message_id)
    _tell(sources, source, contact_id, inbound_id, "inbound.received", facts)


def _holder(sources: Sources, source: Source, event: IdentityChanged) -> str | None:
    """Find whose identity changes: by the old BSUID, the old number, then the new ones."""
    candidates: tuple[tuple[AliasKind, str | None, str], ...] = (
        ("bsuid", event.previous_user_id, source.portfolio_id),
        ("phone", event.previous_wa_id and wa_id_to_phone(event.previous_wa_id), ""),
        ("bsuid", event.user_id, source.portfolio_id),
        ("phone", event.wa_id and wa_id_to_phone(event.wa_id), ""),
    )
    for kind, value, scope in candidates:
        if value:
            found = contacts.find(sources.tx, source.tenant_id, AliasSeen(kind, value, scope))
            if found is not None:
                return found
    return None


def _insert(
    sources: Sources,
    source: Source,
    contact_id: str,
    provider_message_id: str,
    kind: str,
    sent_at: datetime,
    content: bytes,
    media_id: str | None,
    context_id: str | None,
) -> str:
    inbound_id = sources.tx.ids.new("inbound", sources.now)
    inbound.insert(
        sources.tx,
        inbound.NewInbound(
            inbound_id,
            source.tenant_id,
            source.number_id,
            contact_id,
            provider_message_id,
            kind,
            media_id,
            context_id,
            sent_at,
            content,
            sources.now,
        ),
    )
    return inbound_id


def _tell(
    sources: Sources, source: Source, contact_id: str, inbound_id: str, kind: str, facts: dict[str, Any]
) -> None:
    sources.tx.journal(
        Line(
            source.tenant_id,
            kind,
            inbound_id,
            1,
            "customer",
            sources.now,
            number_id=source.number_id,
            contact_id=contact_id,
            content_id="cnt_" + inbound_id[4:],
            facts=facts,
        )
    )
