"""What is asked of Meta about numbers, accounts, templates and tokens: typed calls, their results as values.

Every call gives `Ok(value)` or `Failed` with Meta's code, never raises for what Meta or the network does. An answer
without the expected shape is a `Failed` too: it is told, not guessed at.
"""

from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct
from yarl import URL

from waypost.domain.outcomes import Failed
from waypost.transports.base import Access
from waypost.transports.cloud_api import payloads
from waypost.transports.cloud_api.api import failure_of_command
from waypost.transports.cloud_api.wire import Reply, Route, Wire

T = TypeVar("T")

PAGES_MAX = 200  # 100 a page: three times Meta's 6,000 templates of one WABA
_PAGE_ROWS = 100
_NUMBER_FIELDS = (
    "id,display_phone_number,verified_name,quality_rating,throughput,whatsapp_business_manager_messaging_limit,"
    "health_status,status,code_verification_status,name_status,platform_type,account_mode,webhook_configuration"
)
_TEMPLATE_FIELDS = (
    "id,name,language,status,category,components,parameter_format,quality_score,rejected_reason"
)


class Ok(Struct, Generic[T], frozen=True):
    """The call was answered as asked."""

    value: T


class Throughput(Struct, frozen=True):
    """STANDARD is 80 messages a second in and out, HIGH 1,000; NOT_APPLICABLE before registration."""

    level: str | None = None


class PhoneNumber(Struct, frozen=True):
    """A number as Meta tells it; what it leaves out is None."""

    id: str
    display_phone_number: str | None = None
    verified_name: str | None = None
    quality_rating: str | None = None
    throughput: Throughput = Throughput()
    whatsapp_business_manager_messaging_limit: str | None = None
    health_status: dict[str, Any] = {}
    status: str | None = None
    code_verification_status: str | None = None
    name_status: str | None = None
    platform_type: str | None = None
    account_mode: str | None = None
    webhook_configuration: dict[str, Any] = {}


class Owner(Struct, frozen=True):
    """The business portfolio of a WABA."""

    id: str
    name: str | None = None


class Waba(Struct, frozen=True):
    """A WhatsApp Business Account; `owner_business_info` is left out when the token may not see it."""

    id: str
    name: str | None = None
    owner_business_info: Owner | None = None


class Quality(Struct, frozen=True):
    """GREEN, YELLOW, RED or UNKNOWN."""

    score: str | None = None


class TemplateSeen(Struct, frozen=True):
    """A template in one language as Meta tells it."""

    id: str
    name: str
    language: str
    status: str
    category: str
    components: list[dict[str, Any]] = []
    parameter_format: str | None = None
    quality_score: Quality | None = None
    rejected_reason: str | None = None


class TemplateMade(Struct, frozen=True):
    """The answer to a new template: usually PENDING; Meta may have changed the category."""

    id: str
    status: str = "PENDING"
    category: str | None = None


class TokenState(Struct, frozen=True):
    """What Meta says of a token. `expires_at` in seconds since the epoch, 0 for never."""

    is_valid: bool = False
    app_id: str | None = None
    expires_at: int = 0
    scopes: list[str] = []


class AppNamed(Struct, frozen=True):
    """An app, as subscriptions name it."""

    id: str
    name: str | None = None


class Subscription(Struct, frozen=True):
    """An app that is told of a WABA's events; `override_callback_uri` when not at the app's own address."""

    whatsapp_business_api_data: AppNamed
    override_callback_uri: str | None = None


class _Cursors(Struct, frozen=True):
    after: str | None = None


class _Paging(Struct, frozen=True):
    cursors: _Cursors = _Cursors()
    next: str | None = None


class _Listed(Struct, Generic[T], frozen=True):
    data: list[T]
    paging: _Paging = _Paging()


class _Debugged(Struct, frozen=True):
    data: TokenState


class _Success(Struct, frozen=True):
    success: bool = True


class Management:
    """The management side of the Cloud API."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def phone_number(self, access: Access) -> Ok[PhoneNumber] | Failed:
        """Read the number itself with its health."""
        return await self._read(access, self._number(access), PhoneNumber, {"fields": _NUMBER_FIELDS})

    async def waba(self, access: Access, meta_waba_id: str) -> Ok[Waba] | Failed:
        """Read a WABA and whose it is."""
        url = self._root(access) / meta_waba_id
        return await self._read(access, url, Waba, {"fields": "id,name,owner_business_info"})

    async def phone_numbers(self, access: Access, meta_waba_id: str) -> Ok[list[PhoneNumber]] | Failed:
        """List the numbers of a WABA."""
        url = self._root(access) / meta_waba_id / "phone_numbers"
        return await self._pages(access, url, PhoneNumber, {"fields": _NUMBER_FIELDS})

    async def request_code(
        self, access: Access, method: Literal["SMS", "VOICE"], language: str
    ) -> Ok[None] | Failed:
        """Have Meta send the verification code to the number."""
        body = payloads.request_code_body(method, language)
        return await self._command(access, "POST", self._number(access) / "request_code", body)

    async def verify_code(self, access: Access, code: str) -> Ok[None] | Failed:
        """Give the verification code back."""
        url = self._number(access) / "verify_code"
        return await self._command(access, "POST", url, payloads.verify_code_body(code))

    async def register(
        self, access: Access, pin: str, data_localization_region: str | None = None
    ) -> Ok[None] | Failed:
        """Register the number for the Cloud API (ten calls in 72 hours, deregistering included)."""
        body = payloads.register_body(pin, data_localization_region)
        return await self._command(access, "POST", self._number(access) / "register", body)

    async def deregister(self, access: Access) -> Ok[None] | Failed:
        """Take the number off the Cloud API."""
        return await self._command(access, "POST", self._number(access) / "deregister", b"{}")

    async def subscriptions(self, access: Access, meta_waba_id: str) -> Ok[list[Subscription]] | Failed:
        """List the apps that are told of the WABA's events."""
        url = self._root(access) / meta_waba_id / "subscribed_apps"
        return await self._pages(access, url, Subscription, {})

    async def subscribe(
        self,
        access: Access,
        meta_waba_id: str,
        override_callback_uri: str | None = None,
        verify_token: str | None = None,
    ) -> Ok[None] | Failed:
        """Subscribe the token's app; an override (at most 200 characters) is called for its handshake at once."""
        body = payloads.subscribe_body(override_callback_uri, verify_token)
        url = self._root(access) / meta_waba_id / "subscribed_apps"
        return await self._command(access, "POST", url, body)

    async def unsubscribe(self, access: Access, meta_waba_id: str) -> Ok[None] | Failed:
        """End the subscription of the token's app."""
        return await self._command(
            access, "DELETE", self._root(access) / meta_waba_id / "subscribed_apps", None
        )

    async def override_callback(self, access: Access, uri: str, verify_token: str) -> Ok[None] | Failed:
        """Give this number a callback address of its own; an empty `uri` takes it back."""
        body = payloads.webhook_override_body(uri, verify_token)
        return await self._command(access, "POST", self._number(access), body)

    async def templates(self, access: Access, meta_waba_id: str) -> Ok[list[TemplateSeen]] | Failed:
        """List all templates of a WABA, page by page."""
        url = self._templates(access, meta_waba_id)
        return await self._pages(access, url, TemplateSeen, {"fields": _TEMPLATE_FIELDS})

    async def create_template(
        self, access: Access, meta_waba_id: str, body: bytes
    ) -> Ok[TemplateMade] | Failed:
        """Create a template (`payloads.template_body`)."""
        return await self._ask(access, "POST", self._templates(access, meta_waba_id), TemplateMade, body)

    async def delete_template(
        self, access: Access, meta_waba_id: str, name: str, meta_template_id: str | None = None
    ) -> Ok[None] | Failed:
        """Delete a template in all languages, or in the one of `meta_template_id`."""
        query = {"name": name} | ({} if meta_template_id is None else {"hsm_id": meta_template_id})
        url = self._templates(access, meta_waba_id).with_query(query)
        return await self._command(access, "DELETE", url, None)

    async def token_state(self, access: Access) -> Ok[TokenState] | Failed:
        """Ask whether the token is valid, until when, and what it may do."""
        url = self._root(access) / "debug_token"
        answer = await self._read(access, url, _Debugged, {"input_token": access.token})
        return Ok(answer.value.data) if isinstance(answer, Ok) else answer

    def _root(self, access: Access) -> URL:
        return self._wire.route(access).root

    def _number(self, access: Access) -> URL:
        return self._wire.route(access).number

    def _templates(self, access: Access, meta_waba_id: str) -> URL:
        route = self._wire.route(access)
        # 360dialog's address for templates; it knows the WABA by the key.
        return (
            route.root / "v1/configs/templates"
            if route.is_flat
            else route.root / meta_waba_id / "message_templates"
        )

    async def _read(
        self, access: Access, url: URL, kind: type[T], query: Mapping[str, str]
    ) -> Ok[T] | Failed:
        return await self._ask(access, "GET", url.with_query(query), kind, None)

    async def _command(self, access: Access, method: str, url: URL, body: bytes | None) -> Ok[None] | Failed:
        answer = await self._ask(access, method, url, _Success, body)
        if isinstance(answer, Failed):
            return answer
        if not answer.value.success:
            return Failed(None, "fail", "Not done", "Meta answered success: false.")
        return Ok(None)

    async def _pages(
        self, access: Access, url: URL, kind: type[T], query: Mapping[str, str]
    ) -> Ok[list[T]] | Failed:
        found: list[T] = []
        query = {**query, "limit": str(_PAGE_ROWS)}
        for _ in range(PAGES_MAX):
            answer = await self._ask(access, "GET", url.with_query(query), _Listed[kind], None)  # type: ignore[valid-type]
            if isinstance(answer, Failed):
                return answer
            found += answer.value.data
            after = answer.value.paging.cursors.after
            # Meta gives cursors on the last page too: only `next` says that there is more. Its address is not
            # followed as it stands, since it holds the token.
            if answer.value.paging.next is None or not after or after == query.get("after"):
                return Ok(found)
            query["after"] = after
        return Failed(None, "fail", "Too many pages", f"More than {PAGES_MAX} pages of {_PAGE_ROWS}.")

    async def _ask(
        self, access: Access, method: str, url: URL, kind: type[T], body: bytes | None
    ) -> Ok[T] | Failed:
        route: Route = self._wire.route(access)
        heard = await self._wire.ask(method, url, route.json_headers if body else route.headers, body)
        failure = failure_of_command(heard)
        if failure is not None:
            return failure
        assert isinstance(heard, Reply)
        return decoded(heard, kind)


def decoded(reply: Reply, kind: type[T]) -> Ok[T] | Failed:
    """Read a 2xx body as `kind`, or say that it is nonsense."""
    try:
        return Ok(msgspec.json.decode(reply.body, type=kind))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Failed(None, "retry", "Nonsense", f"HTTP {reply.status} whose body is not what was asked for.")
