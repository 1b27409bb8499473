"""The seam between the outbox and a WhatsApp dialect: one narrow protocol and the values that cross it."""

from typing import Literal, Protocol

from msgspec import Struct

from waypost.domain.outcomes import Failed, Outcome


class Access(Struct, frozen=True):
    """What a transport needs to speak for one number. `auth_header` is the header's name and scheme, e.g.
    `Authorization: Bearer` or `D360-API-KEY`; `token` is the opened secret: never logged, never in a repr."""

    number_id: str
    phone_number_id: str
    base_url: str
    graph_version: str
    auth_header: str
    token: str

    def __repr__(self) -> str:
        return f"Access({self.number_id})"


class Recipient(Struct, frozen=True):
    """Whom to write to. `value`: digits with plus for a phone, else the BSUID."""

    kind: Literal["phone", "bsuid"]
    value: str


class Done(Struct, frozen=True):
    """A synchronous command was carried out."""


class Transport(Protocol):
    """Speaks one dialect. Never raises for what the provider or the network does: those are outcomes."""

    async def send(self, access: Access, recipient: Recipient, content: bytes, echo: str) -> Outcome:
        """Try once to send `content` (Meta's message object as JSON bytes); `echo` (≤ 512 characters) comes back
        with every receipt."""
        ...

    async def mark_read(self, access: Access, provider_message_id: str, typing: bool) -> Done | Failed:
        """Mark an inbound message as read, and show typing for up to 25 s when asked."""
        ...
