"""The life of a cloud number: checked with Meta and added, paused, resumed, its token rotated, registered, removed."""

from typing import Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from waypost.config import CloudApi as Settings
from waypost.domain.errors import InvalidRequest
from waypost.domain.outcomes import Failed
from waypost.domain.ports import Clock
from waypost.numbers.access import AccessBook
from waypost.numbers.refusals import refusal, token_refusal
from waypost.store import accounts, numbers
from waypost.store.database import Store
from waypost.store.numbers import AddNumber, Number, NumberSeen
from waypost.transports.base import Access
from waypost.transports.cloud_api.management import Management, PhoneNumber
from waypost.transports.cloud_api.wire import FLAT, is_private_host

CALLBACK_URI_CHARACTERS_MAX = 200  # Meta's limit of an override
_encode = msgspec.json.Encoder(order="deterministic").encode
_SENDING_SCOPE = "whatsapp_business_messaging"


class NewNumber(Struct, frozen=True, kw_only=True):
    """A number as its owner describes it; what is None comes from the settings or from Meta."""

    tenant_id: str
    phone_number_id: str
    waba_id: str
    token: str
    label: str = ""
    app_id: str | None = None
    app_secret: str | None = None
    verify_token: str | None = None
    business_id: str | None = None
    base_url: str | None = None
    graph_version: str | None = None
    auth_header: str = "Authorization: Bearer"
    verify: bool = True

    def __repr__(self) -> str:
        return f"NewNumber({self.phone_number_id})"


class Numbers:
    """Every change of a number, each checked with Meta where Meta has a say."""

    def __init__(
        self, store: Store, management: Management, access: AccessBook, settings: Settings, clock: Clock
    ) -> None:
        self._store, self._management, self._access = store, management, access
        self._settings, self._clock = settings, clock

    async def check(self, new: NewNumber, actor: str) -> AddNumber:
        """Read number, WABA and token at Meta and give what to store (`store.numbers.add`); changes nothing.

        `verify=False` skips Meta (a gateway that is set up offline), as does a `flat` vendor, which has no such reads.
        """
        base_url = (new.base_url or self._settings.base_url).rstrip("/")
        self._check_base_url(base_url)
        version = self._settings.graph_version if new.graph_version is None else new.graph_version
        access = Access("new", new.phone_number_id, base_url, version, new.auth_header, new.token)
        reads = new.verify and version != FLAT
        app_id, business_id, seen = new.app_id, new.business_id, NumberSeen()
        if reads:
            app_id = await self._token_app(access, new.app_id)
            phone = await self._number_of(access, new.waba_id)
            business_id = business_id or await self._business_of(access, new.waba_id, phone)
            seen = seen_of(phone)
        if not app_id:
            raise InvalidRequest(
                "the app's id is needed: it is not read from Meta here",
                code="app_id_missing",
                field="app_id",
                remedy="give the id of the Meta app whose callbacks come here",
            )
        now = self._clock.now()
        return AddNumber(
            tenant_id=new.tenant_id,
            phone_number_id=new.phone_number_id,
            label=new.label or seen.verified_name or new.phone_number_id,
            base_url=base_url,
            graph_version=version,
            auth_header=new.auth_header,
            token=new.token,
            belongs=accounts.Belonging(
                tenant_id=new.tenant_id,
                meta_waba_id=new.waba_id,
                # Limits are the portfolio's; where Meta does not tell it, the WABA stands for itself.
                meta_business_id=business_id or f"of-waba-{new.waba_id}",
                meta_app_id=app_id,
                app_secret=new.app_secret,
                verify_token=new.verify_token,
                messaging_limit=seen.messaging_limit,
                actor=actor,
                now=now,
            ),
            seen=seen,
            seen_at=now if reads else None,
            actor=actor,
            now=now,
        )

    async def add(self, new: NewNumber, actor: str) -> Number:
        """Check a number with Meta and add it."""
        added: Number = await self._store.write(numbers.add, await self.check(new, actor))
        return added

    async def pause(self, tenant_id: str, number_id: str, reason: str | None, actor: str) -> Number:
        """Stop sending by an operator's wish; what is accepted waits."""
        return await self._set_state(tenant_id, number_id, "paused", reason, actor)

    async def resume(self, tenant_id: str, number_id: str, reason: str | None, actor: str) -> Number:
        """Go on sending after a pause or a stop."""
        return await self._set_state(tenant_id, number_id, "active", reason, actor)

    async def _set_state(
        self,
        tenant_id: str,
        number_id: str,
        to: Literal["active", "paused"],
        reason: str | None,
        actor: str,
    ) -> Number:
        item = numbers.SetState(tenant_id, number_id, to, reason, actor, self._clock.now())
        changed: Number = await self._store.write(numbers.set_state, item)
        return changed

    async def rotate_token(
        self, tenant_id: str, number_id: str, token: str, actor: str, verify: bool = True
    ) -> Number:
        """Put a new token in place once Meta has accepted it; the old one stays when it has not."""
        number = await self._store.read(numbers.get, tenant_id, number_id)
        if verify and number.graph_version != FLAT:
            access = msgspec.structs.replace(
                await self._access.access_of(number_id), number_id="new", token=token
            )
            account = await self._store.read(accounts.account_of, tenant_id, number_id)
            await self._token_app(access, account.meta_app_id)
            await self._number_of(access, account.meta_waba_id)
        item = numbers.RotateToken(tenant_id, number_id, token, actor, self._clock.now())
        changed: Number = await self._store.write(numbers.rotate_token, item)
        self._access.forget(number_id)
        return changed

    async def remove(self, tenant_id: str, number_id: str, actor: str) -> Number:
        """Remove a number and destroy its token; it stays registered at Meta (`deregister` before, if wanted)."""
        item = numbers.Remove(tenant_id, number_id, actor, self._clock.now())
        removed: Number = await self._store.write(numbers.remove, item)
        self._access.forget(number_id)
        return removed

    async def refresh(self, tenant_id: str, number_id: str, actor: str) -> Number:
        """Read health, quality, throughput and limit from Meta now."""
        access = await self.access(tenant_id, number_id)
        answer = await self._management.phone_number(access)
        if isinstance(answer, Failed):
            raise refusal(answer, "reading the number")
        item = numbers.Refreshed(tenant_id, number_id, seen_of(answer.value), actor, self._clock.now())
        await self._store.write(numbers.refreshed, item)
        return await self._store.read(numbers.get, tenant_id, number_id)

    async def request_code(
        self, tenant_id: str, number_id: str, method: Literal["SMS", "VOICE"], language: str
    ) -> None:
        """Have Meta send the verification code to the number."""
        access = await self.access(tenant_id, number_id)
        answer = await self._management.request_code(access, method, language)
        if isinstance(answer, Failed):
            raise refusal(answer, "requesting the code")

    async def verify_code(self, tenant_id: str, number_id: str, code: str) -> None:
        """Give the verification code back."""
        answer = await self._management.verify_code(await self.access(tenant_id, number_id), code)
        if isinstance(answer, Failed):
            raise refusal(answer, "verifying the code")

    async def register(
        self, tenant_id: str, number_id: str, pin: str, data_localization_region: str | None, actor: str
    ) -> Number:
        """Register the number for the Cloud API with its six-digit PIN, then read it anew."""
        access = await self.access(tenant_id, number_id)
        answer = await self._management.register(access, pin, data_localization_region)
        if isinstance(answer, Failed):
            raise refusal(answer, "registering")
        return await self.refresh(tenant_id, number_id, actor)

    async def deregister(self, tenant_id: str, number_id: str, actor: str) -> Number:
        """Take the number off the Cloud API, then read it anew."""
        answer = await self._management.deregister(await self.access(tenant_id, number_id))
        if isinstance(answer, Failed):
            raise refusal(answer, "deregistering")
        return await self.refresh(tenant_id, number_id, actor)

    async def subscribe(self, tenant_id: str, number_id: str, callback_uri: str | None) -> None:
        """Subscribe the app to the WABA; with `callback_uri` its callbacks come there instead of the app's address.

        Meta calls the address for its handshake before it answers, so the gateway must be reachable already.
        """
        access = await self.access(tenant_id, number_id)
        if callback_uri is not None and len(callback_uri) > CALLBACK_URI_CHARACTERS_MAX:
            raise InvalidRequest(
                f"longer than {CALLBACK_URI_CHARACTERS_MAX} characters (Meta's limit)", field="callback_uri"
            )
        account = await self._store.read(accounts.account_of, tenant_id, number_id)
        number = await self._store.read(numbers.get, tenant_id, number_id)
        verify_token = None
        if callback_uri is not None:
            verify_token = await self._store.read(accounts.verify_token_of, tenant_id, number.app_id)
        answer = await self._management.subscribe(access, account.meta_waba_id, callback_uri, verify_token)
        if isinstance(answer, Failed):
            raise refusal(answer, "subscribing the app")

    async def unsubscribe(self, tenant_id: str, number_id: str) -> None:
        """End the app's subscription: no callbacks of this WABA come any more."""
        account = await self._store.read(accounts.account_of, tenant_id, number_id)
        access = await self.access(tenant_id, number_id)
        answer = await self._management.unsubscribe(access, account.meta_waba_id)
        if isinstance(answer, Failed):
            raise refusal(answer, "unsubscribing the app")

    async def access(self, tenant_id: str, number_id: str) -> Access:
        """Give the access of a tenant's own number; `NotFound` for another's."""
        await self._store.read(numbers.get, tenant_id, number_id)
        return await self._access.access_of(number_id)

    def _check_base_url(self, base_url: str) -> None:
        if base_url == self._settings.base_url.rstrip("/"):
            return
        parts = urlsplit(base_url)
        private = is_private_host(urlsplit(self._settings.base_url).hostname or "")
        sound = parts.scheme == "https" or (private and parts.scheme == "http")
        if not sound or not parts.hostname or parts.username or parts.query or parts.fragment:
            raise InvalidRequest(
                "give an https URL without user, query or fragment", code="bad_base_url", field="base_url"
            )
        # The wire refuses names that resolve to private addresses when it connects; this is for the plain mistake.
        if is_private_host(parts.hostname) and not private:
            raise InvalidRequest(
                "an address of a private network is not called",
                code="private_address",
                field="base_url",
                remedy="set `cloud_api.base_url` in the settings if the provider's stand-in runs there",
            )

    async def _token_app(self, access: Access, app_id: str | None) -> str | None:
        """Check the token itself and give its app. Meta does not let every token look at itself: that is no fault."""
        answer = await self._management.token_state(access)
        if isinstance(answer, Failed):
            if answer.code is None or answer.code in (0, 190):
                raise token_refusal(answer, "checking the token")
            return app_id
        state = answer.value
        if not state.is_valid or (state.scopes and _SENDING_SCOPE not in state.scopes):
            lacking = "it is not valid" if not state.is_valid else f"it lacks {_SENDING_SCOPE}"
            failure = Failed(190, "stop_lane", "Token refused", lacking)
            raise token_refusal(failure, "checking the token")
        if app_id is not None and state.app_id is not None and state.app_id != app_id:
            raise InvalidRequest(
                f"the token is of app {state.app_id}, not of this one",
                code="token_of_other_app",
                field="app_id",
                remedy="use a token that this app made, or name the app it is of",
            )
        return app_id or state.app_id

    async def _number_of(self, access: Access, meta_waba_id: str) -> PhoneNumber:
        """Read the number and see that it is one of the WABA's."""
        phone = await self._management.phone_number(access)
        if isinstance(phone, Failed):
            if phone.code == 100:
                raise InvalidRequest(
                    "Meta knows no such number for this token",
                    code="number_unknown_at_meta",
                    field="phone_number_id",
                    remedy="take the phone number id (not the phone number) from WhatsApp Manager",
                )
            raise token_refusal(phone, "reading the number")
        listed = await self._management.phone_numbers(access, meta_waba_id)
        if isinstance(listed, Failed) and listed.code != 100:
            raise token_refusal(listed, "listing the WABA's numbers")
        if isinstance(listed, Failed) or access.phone_number_id not in [each.id for each in listed.value]:
            raise InvalidRequest(
                "the number is not one of this WABA's, or the token may not see the WABA",
                code="waba_mismatch",
                field="waba_id",
                remedy="take the WABA's id from WhatsApp Manager, and assign it to the token's system user",
            )
        return phone.value

    async def _business_of(self, access: Access, meta_waba_id: str, phone: PhoneNumber) -> str | None:
        waba = await self._management.waba(access, meta_waba_id)
        if not isinstance(waba, Failed) and waba.value.owner_business_info is not None:
            return waba.value.owner_business_info.id
        entities = phone.health_status.get("entities")
        for entity in entities if isinstance(entities, list) else []:
            if isinstance(entity, dict) and entity.get("entity_type") == "BUSINESS" and entity.get("id"):
                return str(entity["id"])
        return None


def seen_of(phone: PhoneNumber) -> NumberSeen:
    """Give what a number's row keeps of Meta's description; its status and name review stand beside the health."""
    digits = "".join(filter(str.isdigit, phone.display_phone_number or ""))
    health = {
        **phone.health_status,
        "status": phone.status,
        "code_verification_status": phone.code_verification_status,
        "name_status": phone.name_status,
        "platform_type": phone.platform_type,
        "account_mode": phone.account_mode,
    }
    return NumberSeen(
        phone=f"+{digits}" if digits else None,
        verified_name=phone.verified_name,
        quality_rating=phone.quality_rating,
        throughput_level=phone.throughput.level,
        messaging_limit=phone.whatsapp_business_manager_messaging_limit,
        health=_encode({name: value for name, value in health.items() if value is not None}),
    )
