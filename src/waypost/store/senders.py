"""Whom a draft is sent from: the few facts of a live number that acceptance needs, by id or by phone."""

from msgspec import Struct

from waypost.store.transaction import Reading


class SendingNumber(Struct, frozen=True):
    """A live number as acceptance sees it."""

    id: str
    tenant_id: str
    kind: str
    waba_id: str
    portfolio_id: str
    base_url: str
    state: str


def sending_number(reading: Reading, tenant_id: str, name: str) -> SendingNumber | None:
    """Give the tenant's live number of this id (`num_…`) or E.164 phone; None when there is none."""
    column = "id" if name.startswith("num_") else "phone"
    row = reading.one(
        "SELECT id, tenant_id, kind, waba_id, portfolio_id, base_url, state FROM numbers"
        f" WHERE {column} = ? AND tenant_id = ? AND state <> 'removed' ORDER BY id LIMIT 1",
        (name, tenant_id),
    )
    return None if row is None else SendingNumber(*row)


def provider_message_id(reading: Reading, tenant_id: str, number_id: str, message_id: str) -> str | None:
    """Give the provider's id of our `msg_…` or `inb_…` on this number; None when there is none (yet)."""
    sql = (
        "SELECT provider_message_id FROM inbound WHERE id = ? AND tenant_id = ? AND number_id = ?"
        if message_id.startswith("inb_")
        else "SELECT provider_message_id FROM attempts WHERE message_id = ? AND tenant_id = ? AND number_id = ?"
        " AND provider_message_id IS NOT NULL ORDER BY ordinal DESC LIMIT 1"
    )
    row = reading.one(sql, (message_id, tenant_id, number_id))
    return None if row is None else str(row[0])
