"""The emulator's world: portfolios, WABAs, apps, numbers, templates, media, phones, messages, and the ledger.

The ledger is the emulator's own truth of what it accepted; tests hold it against the gateway's.
Everything that could grow for days is bounded.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from waypost.emulator.phone_state import Message, Phone, country_of, user_id_of

Wire = dict[str, Any]

MESSAGES_KEPT_MAX = 100_000
PHONES_MAX = 100_000
LEDGER_MAX = 500_000
MEDIA_BYTES_MAX = 512 * 1024 * 1024


@dataclass(slots=True)
class Portfolio:
    """A business portfolio: owner of WABAs and of the messaging limit."""

    id: str
    name: str
    messaging_limit: str = "TIER_2K"
    verified: bool = True


@dataclass(slots=True)
class App:
    """A Meta app: it owns the secret and the callback."""

    id: str
    name: str
    secret: str
    verify_token: str
    callback_url: str | None = None


@dataclass(slots=True)
class Override:
    """Where a WABA or a number wants its webhooks instead of at the app's callback."""

    url: str
    verify_token: str


@dataclass(slots=True)
class Waba:
    """A WhatsApp Business Account."""

    id: str
    portfolio_id: str
    name: str
    currency: str = "EUR"
    timezone_id: str = "1"
    subscriptions: dict[str, Override | None] = field(default_factory=dict)


@dataclass(slots=True)
class Token:
    """An access token: `state` is what Graph says when it is used."""

    text: str
    app_id: str
    scopes: tuple[str, ...] = ("whatsapp_business_messaging", "whatsapp_business_management")
    expires_at: datetime | None = None
    state: Literal["valid", "expired", "invalidated"] = "valid"


@dataclass(slots=True)
class Number:
    """A business phone number."""

    id: str
    waba_id: str
    digits: str
    verified_name: str
    country_code: str = "49"
    status: str = "CONNECTED"
    quality_rating: str = "GREEN"
    code_verification_status: str = "VERIFIED"
    name_status: str = "APPROVED"
    platform_type: str = "CLOUD_API"
    throughput: str = "STANDARD"
    account_mode: str = "SANDBOX"
    pin: str | None = None
    code: str | None = None
    localization_region: str | None = None
    username: str | None = None
    override: Override | None = None
    registrations: deque[datetime] = field(default_factory=lambda: deque(maxlen=64))
    profile: Wire = field(default_factory=dict)
    settings: Wire = field(default_factory=dict)
    qr_codes: dict[str, Wire] = field(default_factory=dict)
    blocked: dict[str, Wire] = field(default_factory=dict)
    free_form_sends: dict[str, int] = field(default_factory=dict)

    @property
    def display(self) -> str:
        """The number as Meta shows it."""
        local = self.digits[len(self.country_code) :]
        return f"+{self.country_code} {local[:4]} {local[4:]}".strip()


@dataclass(slots=True)
class Template:
    """A message template in one language."""

    id: str
    waba_id: str
    name: str
    language: str
    category: str
    components: list[Wire]
    status: str = "APPROVED"
    parameter_format: str = "POSITIONAL"
    quality: str = "UNKNOWN"
    rejected_reason: str = "NONE"
    edited_at: list[datetime] = field(default_factory=list)
    paused_count: int = 0
    send_status: str = "accepted"


@dataclass(slots=True)
class Media:
    """A stored file, uploaded by the business or sent by a customer."""

    id: str
    number_id: str
    mime_type: str
    content: bytes
    sha256_hex: str
    stored_at: datetime
    expires_at: datetime
    filename: str | None = None


@dataclass(slots=True)
class Upload:
    """A resumable upload under way."""

    id: str
    app_id: str
    file_name: str
    file_type: str
    file_length: int
    content: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class Accepted:
    """One line of the ledger: a send the emulator accepted, whether or not the client heard of it."""

    seq: int
    wamid: str
    phone_number_id: str
    recipient: str
    type: str
    biz_opaque_callback_data: str | None
    body_sha256: str
    at: datetime


class World:
    """All objects by id, with the look-ups Graph needs."""

    def __init__(self) -> None:
        self.portfolios: dict[str, Portfolio] = {}
        self.apps: dict[str, App] = {}
        self.wabas: dict[str, Waba] = {}
        self.tokens: dict[str, Token] = {}
        self.numbers: dict[str, Number] = {}
        self.templates: dict[str, Template] = {}
        self.names_blocked_until: dict[tuple[str, str], datetime] = {}
        self.media: OrderedDict[str, Media] = OrderedDict()
        self.uploads: OrderedDict[str, Upload] = OrderedDict()
        self.handles: OrderedDict[str, str] = OrderedDict()
        self.phones: OrderedDict[str, Phone] = OrderedDict()
        self.messages: OrderedDict[str, Message] = OrderedDict()
        self.ledger: deque[Accepted] = deque(maxlen=LEDGER_MAX)
        self.accepted_count = 0
        self.version = 0
        self.closing = False
        self.watchers: set[Callable[[], None]] = set()
        self._user_ids: dict[str, str] = {}
        self._media_bytes = 0

    def touch(self) -> None:
        """Tell those who watch chats that something changed."""
        self.version += 1
        for watcher in self.watchers:
            watcher()

    def waba_of(self, number: Number) -> Waba:
        """The WABA a number belongs to."""
        return self.wabas[number.waba_id]

    def portfolio_of(self, number: Number) -> Portfolio:
        """The portfolio a number belongs to."""
        return self.portfolios[self.waba_of(number).portfolio_id]

    def number_by_digits(self, digits: str) -> Number | None:
        """The business number with these digits, if there is one."""
        return next((number for number in self.numbers.values() if number.digits == digits), None)

    def templates_of(self, waba_id: str) -> list[Template]:
        """The templates of a WABA, oldest first."""
        return [template for template in self.templates.values() if template.waba_id == waba_id]

    def template_named(self, waba_id: str, name: str, language: str | None) -> Template | None:
        """A template by name and language (any language when None)."""
        for template in self.templates.values():
            named = template.waba_id == waba_id and template.name == name
            if named and language in (None, template.language):
                return template
        return None

    def phone(self, key: str) -> Phone | None:
        """A phone by its digits or by its BSUID."""
        return self.phones.get(key) or self.phones.get(self._user_ids.get(key, ""))

    def phone_or_new(self, key: str, portfolio_id: str) -> Phone:
        """A phone by digits or BSUID, made on first contact."""
        known = self.phone(key)
        if known is not None:
            return known
        if "." in key:
            return self.add_phone(Phone(key=key, digits=None, user_id=key, name=f"User {key[-4:]}"))
        user_id = user_id_of(portfolio_id, key)
        return self.add_phone(Phone(key=key, digits=key, user_id=user_id, name=f"Customer {key[-4:]}"))

    def add_phone(self, phone: Phone) -> Phone:
        """Put a phone into the world."""
        self.phones[phone.key] = phone
        self._user_ids[phone.user_id] = phone.key
        while len(self.phones) > PHONES_MAX:
            _, gone = self.phones.popitem(last=False)
            self._user_ids.pop(gone.user_id, None)
        return phone

    def rename_phone(self, phone: Phone, digits: str, portfolio_id: str) -> None:
        """Give a phone another number: the BSUID changes with it."""
        self.phones.pop(phone.key, None)
        self._user_ids.pop(phone.user_id, None)
        phone.key, phone.digits = digits, digits
        phone.user_id = user_id_of(portfolio_id, digits)
        self.add_phone(phone)

    def keep_message(self, message: Message) -> None:
        """Remember a message by id, forgetting the oldest beyond the bound."""
        self.messages[message.wamid] = message
        while len(self.messages) > MESSAGES_KEPT_MAX:
            self.messages.popitem(last=False)

    def keep_media(self, media: Media) -> None:
        """Store a file, forgetting the oldest beyond the bound of bytes."""
        self.media[media.id] = media
        self._media_bytes += len(media.content)
        while self._media_bytes > MEDIA_BYTES_MAX and len(self.media) > 1:
            _, gone = self.media.popitem(last=False)
            self._media_bytes -= len(gone.content)

    def forget_media(self, media_id: str) -> None:
        """Drop a stored file."""
        gone = self.media.pop(media_id, None)
        if gone is not None:
            self._media_bytes -= len(gone.content)

    def record(self, line: Accepted) -> None:
        """Add a line to the ledger."""
        self.ledger.append(line)
        self.accepted_count += 1


__all__ = ["Accepted", "App", "Media", "Number", "Template", "Token", "Waba", "World", "country_of"]
