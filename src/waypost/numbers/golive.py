"""The walk from a token to a live number: each step is checked, what is to do is said, and the way back is printed."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from waypost.domain.outcomes import Failed
from waypost.domain.times import from_ms
from waypost.numbers.refusals import refusal
from waypost.numbers.registry import Numbers
from waypost.store import accounts, numbers, templates
from waypost.store.accounts import Account
from waypost.store.database import Store
from waypost.store.numbers import Number
from waypost.transports.base import Access
from waypost.transports.cloud_api.management import Management, PhoneNumber

_WANTED_SCOPES = ("whatsapp_business_messaging", "whatsapp_business_management")


class Finding(Struct, frozen=True):
    """What a check found: `ok`, `todo` with what to do, or `failed` when it could not be checked."""

    state: Literal["ok", "todo", "failed"]
    message: str
    remedy: str | None = None


class Step(Struct, frozen=True):
    """One step of the walk. `undo` is the way back, to be printed beside what was done."""

    name: str
    title: str
    undo: str
    check: Callable[[], Awaitable[Finding]]


class StepResult(Struct, frozen=True):
    """A step with what its check found."""

    name: str
    title: str
    undo: str
    finding: Finding


class GoLive:
    """Checks one number, step by step, reading Meta anew each time it is asked."""

    def __init__(
        self,
        store: Store,
        management: Management,
        numbers_: Numbers,
        tenant_id: str,
        number_id: str,
        public_url: str | None,
    ) -> None:
        self._store, self._management, self._numbers = store, management, numbers_
        self._tenant_id, self._number_id, self._public_url = tenant_id, number_id, public_url

    def steps(self) -> tuple[Step, ...]:
        """Give the steps in their order; a later one may need an earlier one."""
        one = self._number_id
        return (
            Step(
                "token",
                "The token is valid and stays so",
                "revoke it in Business Settings",
                self._token,
            ),
            Step("number", "The number is one of the WABA's", f"waypost numbers remove {one}", self._belongs),
            Step("verified", "The number is verified", "nothing to undo", self._verified),
            Step(
                "registered",
                "The number is registered",
                f"waypost numbers deregister {one}",
                self._registered,
            ),
            Step(
                "callback",
                "Meta can reach this gateway",
                f"waypost numbers unsubscribe {one}",
                self._reachable,
            ),
            Step(
                "subscribed",
                "Callbacks are subscribed",
                f"waypost numbers unsubscribe {one}",
                self._subscribed,
            ),
            Step("heard", "A callback has come", "nothing to undo", self._heard),
            Step(
                "templates",
                "There is a template to begin with",
                "waypost templates delete …",
                self._templates,
            ),
            Step("health", "Meta lets it send", f"waypost numbers pause {one}", self._health),
            Step("active", "Waypost sends", f"waypost numbers pause {one}", self._active),
        )

    async def walk(self) -> Sequence[StepResult]:
        """Check every step; a failed one does not hide the others."""
        return [StepResult(step.name, step.title, step.undo, await step.check()) for step in self.steps()]

    async def _access(self) -> Access:
        return await self._numbers.access(self._tenant_id, self._number_id)

    async def _number(self) -> Number:
        return await self._store.read(numbers.get, self._tenant_id, self._number_id)

    async def _account(self) -> Account:
        return await self._store.read(accounts.account_of, self._tenant_id, self._number_id)

    async def _token(self) -> Finding:
        answer = await self._management.token_state(await self._access())
        if isinstance(answer, Failed):
            return _failed(answer, "checking the token")
        state = answer.value
        if not state.is_valid:
            return Finding("todo", "Meta says it is not valid", "make a new one, then rotate it in")
        lacking = [scope for scope in _WANTED_SCOPES if state.scopes and scope not in state.scopes]
        if lacking:
            return Finding("todo", f"it lacks {', '.join(lacking)}", "make one with both permissions")
        if state.expires_at:
            until = from_ms(state.expires_at * 1_000)
            remedy = "make a system user token that never expires, then rotate it in"
            return Finding("todo", f"it expires at {until:%Y-%m-%d %H:%M} UTC", remedy)
        return Finding("ok", "valid, without an end")

    async def _belongs(self) -> Finding:
        number, account = await self._number(), await self._account()
        answer = await self._management.phone_numbers(await self._access(), account.meta_waba_id)
        if isinstance(answer, Failed):
            return _failed(answer, "listing the WABA's numbers")
        if number.phone_number_id not in [each.id for each in answer.value]:
            remedy = "assign the WABA to the token's system user, or add the number with its right WABA"
            return Finding("todo", "the WABA does not list it", remedy)
        return Finding("ok", f"{number.phone or number.phone_number_id} of WABA {account.meta_waba_id}")

    async def _at_meta(self) -> PhoneNumber | Finding:
        answer = await self._management.phone_number(await self._access())
        return _failed(answer, "reading the number") if isinstance(answer, Failed) else answer.value

    async def _verified(self) -> Finding:
        phone = await self._at_meta()
        if isinstance(phone, Finding):
            return phone
        if phone.code_verification_status == "VERIFIED" or phone.status == "CONNECTED":
            return Finding("ok", "Meta has verified it")
        remedy = f"waypost numbers request-code {self._number_id}, then waypost numbers verify-code"
        return Finding("todo", f"Meta says {phone.code_verification_status}", remedy)

    async def _registered(self) -> Finding:
        phone = await self._at_meta()
        if isinstance(phone, Finding):
            return phone
        if phone.status == "CONNECTED":
            return Finding("ok", "connected to the Cloud API")
        remedy = f"waypost numbers register {self._number_id} --pin 123456 (ten tries in 72 hours)"
        return Finding("todo", f"Meta says {phone.status}", remedy)

    async def _reachable(self) -> Finding:
        if self._public_url is None:
            remedy = (
                "set http.public_url to the https address that Meta can reach, with TLS in front of Waypost"
            )
            return Finding("todo", "no public address is set", remedy)
        if not self._public_url.startswith("https://"):
            return Finding(
                "todo", f"{self._public_url} is not https", "Meta calls https only: put TLS in front"
            )
        number = await self._number()
        return Finding("ok", f"callbacks come to {self._public_url}/callbacks/{number.app_id}")

    async def _subscribed(self) -> Finding:
        account, number = await self._account(), await self._number()
        answer = await self._management.subscriptions(await self._access(), account.meta_waba_id)
        if isinstance(answer, Failed):
            return _failed(answer, "reading the subscriptions")
        own = [each for each in answer.value if each.whatsapp_business_api_data.id == account.meta_app_id]
        ours = f"{self._public_url or 'https://YOUR-PUBLIC-ADDRESS'}/callbacks/{number.app_id}"
        command = f"waypost numbers subscribe {self._number_id} --callback-uri {ours}"
        if not own:
            return Finding("todo", "the app is not subscribed to the WABA", command)
        override = own[0].override_callback_uri
        if override is not None and override != ours:
            return Finding("todo", f"callbacks go to {override}", command)
        if override is None:
            return Finding("ok", f"subscribed; the app's own address must be {ours} in Meta's app dashboard")
        return Finding("ok", f"subscribed, callbacks come to {override}")

    async def _heard(self) -> Finding:
        number = await self._number()
        at = await self._store.read(accounts.last_callback_at, self._tenant_id, number.app_id)
        if at is None:
            return Finding(
                "todo", "none so far", "write a message to the number from a phone, then look again"
            )
        return Finding("ok", f"the last one at {from_ms(at):%Y-%m-%d %H:%M:%S} UTC")

    async def _templates(self) -> Finding:
        number = await self._number()
        found = await self._store.read(templates.page, self._tenant_id, number.waba_id, None, 6_000)
        approved = [each for each in found if each.status == "APPROVED"]
        if not approved:
            remedy = "create one; without it only customers can begin a conversation"
            return Finding("todo", f"{len(found)} templates, none approved", remedy)
        return Finding("ok", f"{len(approved)} approved")

    async def _health(self) -> Finding:
        phone = await self._at_meta()
        if isinstance(phone, Finding):
            return phone
        verdict = phone.health_status.get("can_send_message")
        if verdict in ("AVAILABLE", None):
            return Finding(
                "ok", f"health {verdict or 'not told'}, quality {phone.quality_rating or 'not told'}"
            )
        return Finding(
            "todo", f"Meta says {verdict}: {_troubles(phone.health_status)}", "see WhatsApp Manager"
        )

    async def _active(self) -> Finding:
        number = await self._number()
        if number.state == "active":
            return Finding("ok", f"at up to {number.pace_per_second} messages a second")
        why = f" ({number.state_reason})" if number.state_reason else ""
        return Finding(
            "todo", f"the number is {number.state}{why}", f"waypost numbers resume {self._number_id}"
        )


def _failed(failure: Failed, doing: str) -> Finding:
    error = refusal(failure, doing)
    return Finding("failed", error.message, error.remedy)


def _troubles(health: dict[str, Any]) -> str:
    """Give what Meta says is wrong, entity by entity."""
    entities = health.get("entities")
    told = [
        f"{entity.get('entity_type')} {fault.get('error_code', '')} {fault.get('error_description', '')}".strip()
        for entity in (entities if isinstance(entities, list) else [])
        if isinstance(entity, dict)
        for fault in entity.get("errors") or []
        if isinstance(fault, dict)
    ]
    return "; ".join(told) or msgspec.json.encode(health).decode()[:200]
