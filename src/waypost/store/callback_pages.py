"""Applying a page of parsed callbacks: `apply_callbacks`, one transaction for all they tell and for marking them read.

Receipts, the bulk, are collected and applied in one call. Applying twice changes nothing: a customer's message is
kept once by the provider's id, receipts only move forward, and everything else is told once by what it says. A
callback with a part that cannot be applied is parked for replay after its other parts were.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

import msgspec
from msgspec import Struct

from waypost.domain.addresses import wa_id_to_phone
from waypost.domain.provider_events import (
    AccountChanged,
    CallReceived,
    EchoReceived,
    HistoryReceived,
    IdentityChanged,
    MessageReceived,
    NumberChanged,
    PreferenceChanged,
    ProviderEvent,
    ReceiptReceived,
    TemplateChanged,
    UnknownField,
    Unreadable,
)
from waypost.domain.retry import RetryRules
from waypost.store import callbacks, contacts, inbound
from waypost.store.callback_events import (
    apply_account,
    apply_call,
    apply_echo,
    apply_history,
    apply_number,
    apply_preference,
    apply_template,
    tell_unsupported,
)
from waypost.store.callback_messages import apply_identity, apply_message
from waypost.store.callback_sources import NotApplied, Sources
from waypost.store.contact_search import owners_of
from waypost.store.receipts import ReceiptItem, apply_receipts
from waypost.store.transaction import Transaction


class ParsedCallback(Struct, frozen=True):
    """A callback as read. `fault`: why it could not be read at all, and then there are no events."""

    id: str
    tenant_id: str
    app_id: str
    events: tuple[ProviderEvent, ...]
    fault: str | None = None


class ParsedPage(Struct, frozen=True):
    """Callbacks in the order they came; `rules` say what follows a failure that a receipt tells of."""

    callbacks: tuple[ParsedCallback, ...]
    rules: RetryRules
    now: datetime


class Applied(Struct, frozen=True):
    """What became of a page."""

    read: int
    parked: int
    events: int


def apply_callbacks(tx: Transaction, pages: Sequence[ParsedPage]) -> Sequence[Applied]:
    """Apply pages in order, each with its receipts in one call.

    Only what is still to be read: a reader that was paused with a page in hand, while another went on, would let an
    old word about a number or a template have the last say.
    """
    return [_Page(tx, _still_to_read(tx, page)).apply() for page in pages]


def _still_to_read(tx: Transaction, page: ParsedPage) -> ParsedPage:
    wanted = [callback.id for callback in page.callbacks]
    rows = tx.rows_in("SELECT id FROM callbacks WHERE state = 'stored' AND id IN (%s)", wanted)
    stored = {row[0] for row in rows}
    if len(stored) == len(wanted):
        return page
    kept = tuple(callback for callback in page.callbacks if callback.id in stored)
    return msgspec.structs.replace(page, callbacks=kept)


class _Page:
    """One page while it is applied."""

    def __init__(self, tx: Transaction, page: ParsedPage) -> None:
        self._tx = tx
        self._page = page
        self._sources = Sources(tx, page.now)
        self._receipts: list[ReceiptItem] = []
        self._recipients: set[tuple[str, str, str, str]] = set()

    def apply(self) -> Applied:
        """Apply all callbacks; parks those that could not be applied in full."""
        read: list[str] = []
        events = 0
        self._look_up_known()
        for callback in self._page.callbacks:
            events += len(callback.events)
            faults = [callback.fault] if callback.fault is not None else self._faults_of(callback)
            if faults:
                fault = faults[0] if len(faults) == 1 else f"{faults[0]} (and {len(faults) - 1} more)"
                item = callbacks.Park(callback.tenant_id, callback.id, fault, self._page.now)
                callbacks.set_aside(self._tx, item)
            else:
                read.append(callback.id)
        apply_receipts(self._tx, self._receipts)
        self._learn_recipients()
        callbacks.mark_read(self._tx, read, self._page.now)
        return Applied(len(read), len(self._page.callbacks) - len(read), events)

    def _look_up_known(self) -> None:
        """Find out at once which of the page's customer messages are here already."""
        wanted: dict[str, list[str]] = {}
        for callback in self._page.callbacks:
            for event in callback.events:
                if isinstance(event, MessageReceived | IdentityChanged):
                    source = self._sources.find(callback.tenant_id, event.waba_id, event.phone_number_id)
                    if source is not None:
                        wanted.setdefault(source.number_id, []).append(event.provider_message_id)
        for number_id, provider_ids in wanted.items():
            self._sources.known[number_id] = inbound.known_ids(self._tx, number_id, provider_ids)

    def _faults_of(self, callback: ParsedCallback) -> list[str]:
        """Apply every event of a callback; gives, once each, why parts of it could not be."""
        faults: dict[str, None] = {}
        for event in callback.events:
            try:
                # Receipts are the bulk: three for every message sent.
                if type(event) is ReceiptReceived:
                    self._collect(callback, event)
                else:
                    self._apply(callback, event)
            except NotApplied as fault:
                faults[str(fault)] = None
        return list(faults)

    def _apply(self, callback: ParsedCallback, event: ProviderEvent) -> None:
        sources, tenant = self._sources, callback.tenant_id
        match event:
            case ReceiptReceived():
                self._collect(callback, event)
            case MessageReceived():
                apply_message(sources, sources.of(tenant, event.waba_id, event.phone_number_id), event)
            case IdentityChanged():
                apply_identity(sources, sources.of(tenant, event.waba_id, event.phone_number_id), event)
            case PreferenceChanged():
                apply_preference(sources, sources.of(tenant, event.waba_id, event.phone_number_id), event)
            case CallReceived():
                apply_call(sources, sources.of(tenant, event.waba_id, event.phone_number_id), event)
            case EchoReceived():
                apply_echo(sources, sources.of(tenant, event.waba_id, event.phone_number_id), event)
            case HistoryReceived():
                apply_history(sources, sources.of(tenant, event.waba_id, event.phone_number_id), event)
            case TemplateChanged():
                apply_template(sources, callback.id, tenant, event)
            case NumberChanged():
                apply_number(sources, callback.id, tenant, event)
            case AccountChanged():
                apply_account(sources, callback.id, tenant, event)
            case UnknownField():
                tell_unsupported(sources, callback.id, tenant, event.field, event.raw)
            case Unreadable():
                raise NotApplied(f"unreadable: {event.field}: {event.reason}")
            case _:
                assert_never(event)

    def _collect(self, callback: ParsedCallback, event: ReceiptReceived) -> None:
        source = self._sources.of(callback.tenant_id, event.waba_id, event.phone_number_id)
        if event.status == "other":
            told = {
                "status": event.original_status[:64],
                "provider_message_id": event.provider_message_id,
                "number_id": source.number_id,
                "provider_at": event.at.isoformat(),
            }
            raw = msgspec.json.encode(told)
            tell_unsupported(self._sources, callback.id, callback.tenant_id, "statuses", raw, told)
            return
        failure = event.errors[0] if event.errors else None
        self._receipts.append(
            ReceiptItem(
                callback.tenant_id,
                source.number_id,
                event.provider_message_id,
                event.echo,
                event.status,
                event.at,
                failure,
                event.pricing,
                self._page.now,
                event.participant,
                self._page.rules,
            )
        )
        # One of a message's receipts is enough to learn that a number and a BSUID are one person.
        if event.status == "delivered" and event.recipient_wa_id and event.recipient_user_id:
            person = (source.tenant_id, source.portfolio_id, event.recipient_wa_id, event.recipient_user_id)
            self._recipients.add(person)

    def _learn_recipients(self) -> None:
        """Give contacts we wrote to by number the BSUID that their receipts carry."""
        people = sorted(self._recipients)
        tenants = [tenant_id for tenant_id, _, _, _ in people]
        bsuids = [contacts.AliasSeen("bsuid", user_id, portfolio) for _, portfolio, _, user_id in people]
        known = owners_of(self._tx, tenants, bsuids)
        strangers = [place for place, owner in enumerate(known) if owner is None]
        phones = [contacts.AliasSeen("phone", wa_id_to_phone(people[place][2])) for place in strangers]
        holders = owners_of(self._tx, [tenants[place] for place in strangers], phones)
        for place, phone, holder in zip(strangers, phones, holders, strict=True):
            # Who is not known by number either was written to by another program on the same number.
            if holder is not None:
                seen = contacts.ContactSeen(tenants[place], (phone, bsuids[place]), "meta", self._page.now)
                contacts.resolve(self._tx, seen)
