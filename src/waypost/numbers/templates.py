"""Templates of a WABA: read from Meta in rounds, looked up fast at accept, created and deleted through Meta first."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct

from waypost.domain.classes import MessageClass
from waypost.domain.drafts import DraftError, TemplateDraft, default_class
from waypost.domain.errors import WaypostError
from waypost.domain.outcomes import Failed
from waypost.domain.ports import Clock
from waypost.numbers.access import AccessBook
from waypost.numbers.preflight import Problem, class_of, preflight
from waypost.numbers.refusals import refusal
from waypost.store import media as media_rows
from waypost.store import templates as rows
from waypost.store.database import Store
from waypost.store.senders import SendingNumber
from waypost.store.templates import Synchronised, Template, WabaDue
from waypost.store.transaction import Reading
from waypost.transports.cloud_api.management import Management, TemplateSeen
from waypost.transports.cloud_api.payloads import template_body
from waypost.transports.cloud_api.wire import FLAT

REFRESH_SECONDS = 3_600.0
_STEP_SECONDS_MAX = 30.0
_RETRY_SECONDS = 60.0
_RETRY_SECONDS_MAX = 3_600.0
_ROUND = 5
_FRESH_SECONDS = 5.0
_CACHED_MAX = 50_000


class TemplateSync:
    """Makes our rows what Meta lists, per WABA."""

    def __init__(
        self,
        store: Store,
        management: Management,
        access: AccessBook,
        clock: Clock,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        self._store, self._management, self._access, self._clock = store, management, access, clock
        self._refresh_seconds = refresh_seconds
        self._resting: dict[str, tuple[datetime, float]] = {}

    async def step(self) -> float:
        """Synchronise the WABAs that are due; gives the seconds until it wants to be called again."""
        now = self._clock.now()
        before = now - timedelta(seconds=self._refresh_seconds)
        due = await self._store.read(rows.due_wabas, before, _ROUND + len(self._resting))
        ready = [waba for waba in due if self._resting.get(waba.waba_id, (now, 0.0))[0] <= now][:_ROUND]
        for waba in ready:
            if await self._is_done(waba):
                self._resting.pop(waba.waba_id, None)
            else:
                rest = min(
                    self._resting.get(waba.waba_id, (now, _RETRY_SECONDS / 2))[1] * 2, _RETRY_SECONDS_MAX
                )
                self._resting[waba.waba_id] = (now + timedelta(seconds=rest), rest)
        return 0.0 if len(ready) == _ROUND else _STEP_SECONDS_MAX

    async def _is_done(self, waba: WabaDue) -> bool:
        try:
            await self.synchronise(waba, "gateway")
        except WaypostError:
            # Meta is down, or the token is dead (its number says so): asked again with growing distance.
            return False
        return True

    async def synchronise(self, waba: WabaDue, actor: str) -> Synchronised:
        """Read all templates of a WABA now and keep them; raises when Meta does not give them."""
        access = await self._access.access_of(waba.number_id)
        listed_at = self._clock.now()
        if access.graph_version == FLAT:
            # A vendor's list has a shape of its own; without rows a send is not pre-flighted and Meta decides.
            raise DraftError("templates of a `flat` vendor are not read", code="not_synchronised")
        answer = await self._management.templates(access, waba.meta_waba_id)
        if isinstance(answer, Failed):
            raise refusal(answer, "listing the templates")
        item = rows.Synchronise(
            waba.tenant_id,
            waba.waba_id,
            [seen_of(template) for template in answer.value],
            listed_at,
            actor,
            self._clock.now(),
        )
        done: Synchronised = await self._store.write(rows.synchronise, item)
        return done


class NewTemplate(Struct, frozen=True):
    """A template to create; components as Meta defines them."""

    name: str
    language: str
    category: Literal["AUTHENTICATION", "MARKETING", "UTILITY"]
    components: Sequence[Mapping[str, Any]]
    parameter_format: Literal["POSITIONAL", "NAMED"] = "POSITIONAL"
    message_send_ttl_seconds: int | None = None


class Templates:
    """Creating and deleting: Meta first, then the row, so that a row never promises what Meta does not have."""

    def __init__(self, store: Store, management: Management, access: AccessBook, clock: Clock) -> None:
        self._store, self._management, self._access, self._clock = store, management, access, clock

    async def create(self, waba: WabaDue, new: NewTemplate, actor: str) -> Template:
        """Create a template at Meta and keep it, usually PENDING until Meta has reviewed it."""
        access = await self._access.access_of(waba.number_id)
        body = template_body(
            new.name,
            new.language,
            new.category,
            new.components,
            new.parameter_format,
            new.message_send_ttl_seconds,
        )
        answer = await self._management.create_template(access, waba.meta_waba_id, body)
        if isinstance(answer, Failed):
            raise refusal(answer, "creating the template")
        made = answer.value
        seen = rows.Seen(
            meta_template_id=made.id,
            name=new.name,
            language=new.language,
            category=made.category or new.category,
            status=made.status,
            quality=None,
            parameter_format=new.parameter_format,
            components=new.components,
            reason=None,
        )
        item = rows.Create(waba.tenant_id, waba.waba_id, seen, actor, self._clock.now())
        kept: Template = await self._store.write(rows.created, item)
        return kept

    async def delete(self, template: Template, all_languages: bool, actor: str) -> list[str]:
        """Delete a template at Meta, in its language or in all; gives the ids that are gone. Meta blocks an approved
        name for 30 days."""
        waba = await self._store.read(rows.waba_of, template.tenant_id, template.waba_id)
        access = await self._access.access_of(waba.number_id)
        meta_id = None if all_languages else template.meta_template_id
        answer = await self._management.delete_template(access, waba.meta_waba_id, template.name, meta_id)
        if isinstance(answer, Failed):
            raise refusal(answer, "deleting the template")
        only = None if all_languages else template.id
        item = rows.Delete(
            template.tenant_id, template.waba_id, template.name, only, actor, self._clock.now()
        )
        gone: list[str] = await self._store.write(rows.deleted, item)
        return gone


class Found(Struct, frozen=True):
    """What a look-up gave: the template, or in which languages the name exists; `is_synced` False before the first
    synchronisation, when nothing can be said."""

    template: Template | None
    languages: list[str]
    is_synced: bool


class TemplateBook:
    """Templates by WABA, name and language, read again when older than a few seconds or forgotten."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._known: dict[tuple[str, str, str], tuple[datetime, Found]] = {}

    async def find(self, tenant_id: str, waba_id: str, name: str, language: str) -> Found:
        """Look a template up."""
        now = self._clock.now()
        key = (waba_id, name, language)
        known = self._known.get(key)
        if known is None or (now - known[0]).total_seconds() >= _FRESH_SECONDS:
            if len(self._known) >= _CACHED_MAX:
                self._known.clear()
            found = await self._store.read(_find, tenant_id, waba_id, name, language)
            known = self._known[key] = (now, found)
        return known[1]

    def forget(self, waba_id: str | None = None) -> None:
        """Read the templates of a WABA, or all, again when they are next asked for."""
        if waba_id is None:
            self._known.clear()
        else:
            self._known = {key: found for key, found in self._known.items() if key[0] != waba_id}


def _find(reading: Reading, tenant_id: str, waba_id: str, name: str, language: str) -> Found:
    template = rows.find(reading, tenant_id, waba_id, name, language)
    if template is not None:
        return Found(template, [language], True)
    languages = rows.languages_of(reading, tenant_id, waba_id, name)
    return Found(None, languages, rows.is_synced(reading, tenant_id, waba_id))


class NumberPreflight:
    """What acceptance asks of this room: satisfies `outbox.accept.Preflight`."""

    def __init__(self, store: Store, book: TemplateBook, clock: Clock) -> None:
        self._store, self._book, self._clock = store, book, clock

    async def template(self, number: SendingNumber, draft: TemplateDraft) -> MessageClass:
        """Check a template draft against its template; gives the class of its category. Raises `DraftError`."""
        content = draft.template
        language = content.language.code
        found = await self._book.find(number.tenant_id, number.waba_id, content.name, language)
        if found.template is None:
            if not found.is_synced:
                # Nothing is known before the first synchronisation (seconds after a number was added): Meta decides.
                return draft.class_ or default_class(draft)
            raise _unknown(content.name, language, found.languages)
        problems = preflight(found.template, content)
        if problems:
            raise _refused(problems)
        return class_of(found.template.category)

    async def media(self, number: SendingNumber, media_id: str, field: str) -> str:
        """Give Meta's id of our `med_…`. Raises `InvalidRequest` or `NotFound` when it can't be sent from here."""
        return await self._store.read(
            media_rows.provider_id_of, number.tenant_id, number.id, media_id, self._clock.now(), field
        )


def _unknown(name: str, language: str, languages: Sequence[str]) -> DraftError:
    if languages:
        return DraftError(
            f"the template exists in {', '.join(languages[:20])}, not in {language}",
            code="template_language_missing",
            field="template.language.code",
            remedy="use one of these languages, or create the template in this one",
        )
    return DraftError(
        f"this number's WABA has no template {name}",
        code="template_unknown",
        field="template.name",
        remedy="list them with GET /v1/templates; POST /v1/templates:sync reads them from Meta now",
    )


def _refused(problems: Sequence[Problem]) -> DraftError:
    first = problems[0]
    more = "".join(f"; {problem.field}: {problem.message}" for problem in problems[1:6])
    return DraftError(
        f"{first.message}{more}", code="template_mismatch", field=first.field, remedy=first.remedy
    )


def seen_of(template: TemplateSeen) -> rows.Seen:
    """Give what a template's row keeps of Meta's description."""
    reason = template.rejected_reason
    return rows.Seen(
        meta_template_id=template.id,
        name=template.name,
        language=template.language,
        category=template.category,
        status="APPROVED" if template.status == "REINSTATED" else template.status,
        quality=template.quality_score.score if template.quality_score is not None else None,
        parameter_format=template.parameter_format or "POSITIONAL",
        components=template.components,
        reason=None if reason in (None, "NONE", "") else reason,
    )
