"""The history of a conversation: what was said in either direction, interleaved, newest first.

Order is that of our ids, which is the order in which things were accepted or read here: it never changes under a
cursor, where Meta's own times can arrive late.
"""

from typing import Literal

from msgspec import Struct

from waypost.store import inbound, messages
from waypost.store.conversations import Conversation, get
from waypost.store.inbound import Inbound
from waypost.store.messages import Message
from waypost.store.transaction import Reading

_ID_TIME = slice(4, None)  # behind the three letters of the noun and the underscore


class Said(Struct, frozen=True):
    """One thing that was said; exactly one of `message` and `inbound` is there."""

    id: str
    direction: Literal["inbound", "outbound"]
    message: Message | None = None
    inbound: Inbound | None = None


def page(
    reading: Reading, tenant_id: str, conversation_id: str, cursor: str | None, limit: int
) -> list[Said]:
    """Give up to `limit` things said before the one whose id is `cursor`, newest first."""
    conversation = get(reading, tenant_id, conversation_id)
    time = None if cursor is None else cursor[_ID_TIME]
    said = [
        *_outbound(reading, conversation, time, limit),
        *_inbound(reading, conversation, time, limit),
    ]
    return sorted(said, key=lambda each: each.id[_ID_TIME], reverse=True)[:limit]


def _outbound(reading: Reading, conversation: Conversation, time: str | None, limit: int) -> list[Said]:
    wish = messages.Search(
        tenant_id=conversation.tenant_id,
        limit=limit,
        cursor=None if time is None else f"msg_{time}",
        number_id=conversation.number_id,
        contact_id=conversation.contact_id,
    )
    return [Said(found.id, "outbound", message=found) for found in messages.search(reading, wish)]


def _inbound(reading: Reading, conversation: Conversation, time: str | None, limit: int) -> list[Said]:
    wish = inbound.Search(
        tenant_id=conversation.tenant_id,
        limit=limit,
        cursor=None if time is None else f"inb_{time}",
        number_id=conversation.number_id,
        contact_id=conversation.contact_id,
    )
    return [Said(found.id, "inbound", inbound=found) for found in inbound.search(reading, wish)]
