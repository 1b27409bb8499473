"""A virtual phone, the messages on it, and how its owner behaves."""

import hashlib
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Wire = dict[str, Any]
CHAT_MESSAGES_MAX = 500

# Calling codes of the countries people try first; the rest of the world is "XX".
_COUNTRIES = {
    "1": "US", "7": "RU", "20": "EG", "27": "ZA", "31": "NL", "32": "BE", "33": "FR", "34": "ES",
    "39": "IT", "41": "CH", "43": "AT", "44": "GB", "48": "PL", "49": "DE", "51": "PE", "52": "MX",
    "54": "AR", "55": "BR", "56": "CL", "57": "CO", "60": "MY", "61": "AU", "62": "ID", "63": "PH",
    "65": "SG", "66": "TH", "81": "JP", "84": "VN", "90": "TR", "91": "IN", "92": "PK", "212": "MA",
    "234": "NG", "254": "KE", "351": "PT", "353": "IE", "380": "UA", "966": "SA", "971": "AE",
    "972": "IL",
}  # fmt: skip


def country_of(digits: str) -> str:
    """The two-letter country of a number; XX when the calling code is not in the table."""
    for length in (3, 2, 1):
        country = _COUNTRIES.get(digits[:length])
        if country is not None:
            return country
    return "XX"


def user_id_of(portfolio_id: str, digits: str) -> str:
    """A stable BSUID: the same person has another one at another portfolio."""
    digest = hashlib.sha256(f"{portfolio_id}/{digits}".encode()).digest()
    return f"{country_of(digits)}.{int.from_bytes(digest[:8], 'big') % 10**16:016d}"


@dataclass(slots=True)
class Behaviour:
    """How a phone and its owner behave.

    `window`: "auto" follows the 24 hours after the customer's last word, "open" and "closed" override it.
    `failure_code`: every message fails with this code, by webhook.
    """

    online: bool = True
    on_whatsapp: bool = True
    auto_read_seconds: float | None = 1.0
    window: Literal["auto", "open", "closed"] = "open"
    blocks_business: bool = False
    share_number: bool = True
    stopped_marketing: bool = False
    identity_key_hash: str | None = None
    failure_code: int | None = None


@dataclass(slots=True)
class Message:
    """A message as both sides see it; `content` is the object of its type on the wire."""

    wamid: str
    number_id: str
    phone_key: str
    direction: Literal["out", "in"]
    type: str
    content: Any
    at: datetime
    status: str = "accepted"
    status_at: dict[str, datetime] = field(default_factory=dict)
    text: str = ""
    context_id: str | None = None
    echo: str | None = None
    pricing_category: str = "service"
    pricing_type: str = "regular"
    billable: bool = True
    error_code: int | None = None
    group_id: str | None = None
    reactions: dict[str, str] = field(default_factory=dict)
    rendered: Wire | None = None


@dataclass(slots=True)
class Phone:
    """A customer's phone. `digits` is None when the person is known by BSUID alone."""

    key: str
    digits: str | None
    user_id: str
    name: str
    username: str | None = None
    behaviour: Behaviour = field(default_factory=Behaviour)
    chats: dict[str, deque[Message]] = field(default_factory=dict)
    last_inbound_at: dict[str, datetime] = field(default_factory=dict)
    waiting: deque[Message] = field(default_factory=lambda: deque(maxlen=CHAT_MESSAGES_MAX))
    typing_until: dict[str, datetime] = field(default_factory=dict)

    def chat(self, number_id: str) -> deque[Message]:
        """The chat with a business number."""
        chat = self.chats.get(number_id)
        if chat is None:
            chat = self.chats[number_id] = deque(maxlen=CHAT_MESSAGES_MAX)
        return chat

    @property
    def shown_digits(self) -> str | None:
        """The number as the business may see it; None when the person keeps it private."""
        return self.digits if self.behaviour.share_number else None
