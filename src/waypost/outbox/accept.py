"""Taking drafts: check everything that can be checked now, then one durable write; the `202` follows its commit.

Nothing here waits for the provider. What only another room knows (a template's shape, the provider's id of uploaded
media) is asked through `Preflight`, which `app` hands down.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from waypost.domain.classes import CLASSES, RANKS, MessageClass
from waypost.domain.drafts import (
    AnyDraft,
    DraftError,
    ReactionDraft,
    TemplateDraft,
    content_of,
    default_class,
    recipient_of,
)
from waypost.domain.errors import CapabilityMissing, NotFound, WaypostError
from waypost.domain.ids import IdSource
from waypost.domain.keys import Environment, check_number
from waypost.domain.ports import Clock
from waypost.domain.times import rfc3339, to_ms
from waypost.outbox.flood import FloodMemory
from waypost.policies.decide import decide
from waypost.store import contacts
from waypost.store.accept import Acceptance, Acceptances, Taken, accept
from waypost.store.database import Store
from waypost.store.idempotency import Answer, Claim
from waypost.store.quotas import QuotaExceeded
from waypost.store.senders import SendingNumber, provider_message_id, sending_number

_OURS = ("msg_", "inb_")
_CACHE_SECONDS = 5.0
# A draft may be scheduled and may live this far ahead.
_AHEAD_DAYS_MAX = 90
_encode = msgspec.json.Encoder().encode


class Sender(Struct, frozen=True):
    """Who asks to send: the caller's tenant, what the journal calls it, and its key's environment."""

    tenant_id: str
    actor: str
    environment: Environment


class Preflight(Protocol):
    """What acceptance asks of the number's room."""

    async def template(self, number: SendingNumber, draft: TemplateDraft) -> MessageClass:
        """Check a template draft against its template; gives the class its category stands for. Raises DraftError."""
        ...

    async def media(self, number: SendingNumber, media_id: str, field: str) -> str:
        """Give the provider's id of our `med_…`. Raises DraftError naming `field` when this number cannot send it."""
        ...


class AcceptedMessage(Struct, frozen=True):
    """The answer to a draft that was taken."""

    id: str
    status: str
    number_id: str
    contact_id: str
    class_: str = msgspec.field(name="class")
    accepted_at: str | None
    expires_at: str | None


class Acceptor:
    """Turns drafts into messages."""

    def __init__(
        self,
        store: Store,
        preflight: Preflight,
        ids: IdSource,
        clock: Clock,
        check_room: Callable[[], None] = lambda: None,
        expect: Callable[[str], None] = lambda number_id: None,
    ) -> None:
        self._store, self._preflight, self._ids, self._clock = store, preflight, ids, clock
        self._check_room = check_room  # raises Unavailable while the disk is nearly full
        self._expect = expect  # told of a number right before its draft is written
        self._flood = FloodMemory()
        self._numbers: dict[tuple[str, str], tuple[datetime, SendingNumber]] = {}

    def turn_away(self, tenant_id: str) -> None:
        """Raise `QuotaExceeded` while the tenant's quota is known to be used up: nothing of it need be read."""
        self._flood.check_tenant(tenant_id, self._clock.now())

    async def take(self, draft: AnyDraft, sender: Sender, claim: Claim | None) -> Answer:
        """Take one draft; gives the answer to send (202), stored under `claim`. Raises WaypostError."""
        self._check_room()
        now = self._clock.now()
        item = await self._prepare(draft, sender, now)
        self._flood.check(sender.tenant_id, item.number_id, now)

        def render(taken: Sequence[Taken]) -> Answer | WaypostError:
            (result,) = taken
            return (
                result
                if isinstance(result, WaypostError)
                else Answer(202, _encode(_accepted(item, result, now)))
            )

        self._expect(item.number_id)
        try:
            answer: Answer = await self._store.write(accept, Acceptances((item,), render, claim, now, decide))
        except QuotaExceeded as exceeded:
            self._flood.learn(exceeded)
            raise
        return answer

    async def take_batch(
        self, drafts: Sequence[AnyDraft | WaypostError], sender: Sender, claim: Claim | None
    ) -> Answer:
        """Take up to 1,000 drafts in one commit; gives a 200 with one result per draft, in order."""
        self._check_room()
        now = self._clock.now()
        prepared = [await self._prepared_or_error(draft, sender, now) for draft in drafts]
        items = [item for item in prepared if isinstance(item, Acceptance)]

        refused: list[QuotaExceeded] = []

        def render(taken: Sequence[Taken]) -> Answer:
            refused.extend(each for each in taken if isinstance(each, QuotaExceeded))
            outcomes = iter(taken)
            results = [
                _result(index, item if isinstance(item, WaypostError) else next(outcomes), item, now)
                for index, item in enumerate(prepared)
            ]
            return Answer(200, _encode({"results": results}))

        for number_id in {item.number_id for item in items}:
            self._expect(number_id)
        answer: Answer = await self._store.write(accept, Acceptances(items, render, claim, now, decide))
        for exceeded in refused:
            self._flood.learn(exceeded)
        return answer

    async def _prepared_or_error(
        self, draft: AnyDraft | WaypostError, sender: Sender, now: datetime
    ) -> Acceptance | WaypostError:
        if isinstance(draft, WaypostError):
            return draft
        try:
            item = await self._prepare(draft, sender, now)
            self._flood.check(sender.tenant_id, item.number_id, now)
            return item
        except WaypostError as error:
            return error

    async def _prepare(self, draft: AnyDraft, sender: Sender, now: datetime) -> Acceptance:
        number = await self._number(draft, sender, now)
        message_class = draft.class_ or default_class(draft)
        if isinstance(draft, TemplateDraft):
            of_template = await self._preflight.template(number, draft)
            # A template's category at Meta is the floor of its class: no marketing in utility's clothes.
            if draft.class_ is None or CLASSES[of_template].rank > CLASSES[message_class].rank:
                message_class = of_template
        draft = await self._with_provider_message(number, draft)
        rule = CLASSES[message_class]
        kind, value, contact_id = await self._recipient(draft, sender)
        starts = draft.not_before or now
        expires_at = draft.expires_at or max(starts, now) + timedelta(seconds=rule.expires_after_seconds)
        _check_times(draft, now, expires_at)
        return Acceptance(
            id=self._ids.new("message", now),
            tenant_id=sender.tenant_id,
            number_id=number.id,
            portfolio_id=number.portfolio_id,
            recipient_kind=kind,
            recipient=value,
            contact_id=contact_id,
            content=await self._with_provider_media(number, content_of(draft)),
            type=type(draft).__struct_config__.tag,  # type: ignore[arg-type]
            rank=rule.rank,
            assignee=draft.assignee,
            metadata=_encode(draft.metadata) if draft.metadata else None,
            on_unknown=draft.on_unknown or rule.on_unknown,
            not_before=draft.not_before,
            expires_at=expires_at,
            deliver_by=draft.deliver_by,
            actor=sender.actor,
        )

    async def _number(self, draft: AnyDraft, sender: Sender, now: datetime) -> SendingNumber:
        key = (sender.tenant_id, draft.from_)
        known = self._numbers.get(key)
        if known is None or (now - known[0]).total_seconds() > _CACHE_SECONDS:
            found = await self._store.read(sending_number, sender.tenant_id, draft.from_)
            if found is None:
                raise NotFound(
                    "no number of this id or phone",
                    code="no_such_number",
                    field="from",
                    remedy="list them with GET /v1/numbers",
                )
            if len(self._numbers) > 10_000:
                self._numbers.clear()
            known = self._numbers[key] = (now, found)
        number = known[1]
        if number.kind != "cloud":
            raise CapabilityMissing("linked numbers are not part of this release", field="from")
        check_number(sender.environment, number.base_url)
        return number

    async def _recipient(self, draft: AnyDraft, sender: Sender) -> tuple[str, str, str | None]:
        address = recipient_of(draft)
        if address.kind != "contact":
            return address.kind, address.value, None
        aliases = await self._store.read(contacts.aliases_of, sender.tenant_id, address.value)
        for kind in ("phone", "bsuid"):
            for alias in reversed(aliases):
                if alias.kind == kind and alias.valid_to is None:
                    return kind, alias.value, address.value
        raise NotFound(
            "no contact of this id with an address to send to",
            code="no_such_contact",
            field="to",
            remedy="send to a phone number or BSUID, or look the contact up with GET /v1/contacts",
        )

    async def _with_provider_media(self, number: SendingNumber, content: bytes) -> bytes:
        """Replace our ids of uploaded media, wherever the content holds one, with the provider's."""
        if b'"med_' not in content:
            return content

        async def replaced(value: Any, path: str) -> Any:
            if isinstance(value, dict):
                return {
                    key: await replaced(inner, f"{path}.{key}" if path else key)
                    for key, inner in value.items()
                }
            if isinstance(value, list):
                return [await replaced(inner, f"{path}.{place}") for place, inner in enumerate(value)]
            if isinstance(value, str) and value.startswith("med_") and path.endswith(".id"):
                return await self._preflight.media(number, value, path)
            return value

        return _encode(await replaced(msgspec.json.decode(content), ""))

    async def _with_provider_message(self, number: SendingNumber, draft: AnyDraft) -> AnyDraft:
        """Replace our ids of quoted and reacted-to messages with the provider's, which is what goes on the wire."""
        if draft.context is not None and draft.context.message_id.startswith(_OURS):
            found = await self._provider_id(number, draft.context.message_id, "context.message_id")
            draft = msgspec.structs.replace(
                draft, context=msgspec.structs.replace(draft.context, message_id=found)
            )
        if isinstance(draft, ReactionDraft) and draft.reaction.message_id.startswith(_OURS):
            found = await self._provider_id(number, draft.reaction.message_id, "reaction.message_id")
            draft = msgspec.structs.replace(
                draft, reaction=msgspec.structs.replace(draft.reaction, message_id=found)
            )
        return draft

    async def _provider_id(self, number: SendingNumber, message_id: str, field: str) -> str:
        found = await self._store.read(provider_message_id, number.tenant_id, number.id, message_id)
        if found is None:
            raise DraftError(
                "no message of this id that went through this number",
                field=field,
                remedy="name an inbound message, or one of yours that has been sent",
            )
        return found


def _check_times(draft: AnyDraft, now: datetime, expires_at: datetime) -> None:
    if expires_at <= now:
        raise DraftError("this time has passed", field="expires_at", remedy="give a time in the future")
    if draft.deliver_by is not None and draft.deliver_by <= now:
        raise DraftError("this time has passed", field="deliver_by", remedy="give a time in the future")
    if draft.not_before is not None and draft.not_before >= expires_at:
        raise DraftError(
            "this is not before the message expires", field="not_before", remedy="set `expires_at` later"
        )
    ahead = now + timedelta(days=_AHEAD_DAYS_MAX)
    for field, value in (
        ("expires_at", expires_at),
        ("not_before", draft.not_before),
        ("deliver_by", draft.deliver_by),
    ):
        if value is not None and value > ahead:
            raise DraftError(
                f"more than {_AHEAD_DAYS_MAX} days ahead",
                field=field,
                remedy="keep it in your own calendar until then",
            )


def _accepted(item: Acceptance, contact_id: str, now: datetime) -> AcceptedMessage:
    return AcceptedMessage(
        item.id,
        "accepted",
        item.number_id,
        contact_id,
        RANKS[item.rank],
        rfc3339(to_ms(now)),
        rfc3339(to_ms(item.expires_at)),
    )


def _result(index: int, taken: Taken, item: Acceptance | WaypostError, now: datetime) -> dict[str, Any]:
    if isinstance(taken, WaypostError):
        problem = {
            "code": taken.code,
            "status": taken.status,
            "detail": taken.message,
            "field": taken.field,
            "remedy": taken.remedy,
        }
        return {"index": index, "status": "rejected", "problem": problem}
    assert isinstance(item, Acceptance)
    return {"index": index, "status": "accepted", "message": _accepted(item, taken, now)}
