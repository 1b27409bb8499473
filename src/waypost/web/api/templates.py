"""`/v1/templates`: list, show, create, delete, read from Meta now."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from waypost.domain.errors import (
    CapabilityMissing,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    ProviderRefused,
)
from waypost.domain.times import rfc3339
from waypost.numbers.templates import NewTemplate
from waypost.store import numbers, templates
from waypost.store.templates import Template, WabaDue
from waypost.transports.cloud_api.wire import is_private_host
from waypost.web.routing import Ask, Page, Route, page_of

_TAG = "templates"
_PROBLEMS = (NotFound, Conflict, Forbidden, ProviderRefused)


class TemplatesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which templates."""

    waba_id: Annotated[str, Meta(max_length=64, description="Of one WABA: our id or Meta's.")] | None = None
    number_id: Annotated[str, Meta(max_length=64, description="Of the WABA of this number.")] | None = None
    cursor: Annotated[str, Meta(max_length=200, description="`next_cursor` of the page before.")] | None = (
        None
    )
    limit: Annotated[int, Meta(ge=1, le=200, description="Most items of one page.")] = 50


class Whose(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose templates to read: one of the two."""

    waba_id: Annotated[str, Meta(max_length=64, description="Our id or Meta's.")] | None = None
    number_id: Annotated[str, Meta(max_length=64)] | None = None


class CreateTemplate(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A template to create; give `waba_id` or `number_id`."""

    waba_id: Annotated[str, Meta(max_length=64, description="Our id or Meta's.")] | None = None
    number_id: Annotated[str, Meta(max_length=64)] | None = None
    name: Annotated[str, Meta(pattern="^[a-z0-9_]{1,512}$")]
    language: Annotated[
        str, Meta(pattern="^[a-z]{2,3}(_[A-Za-z]{2,4})?$", description="For example `en_US`.")
    ]
    category: Literal["AUTHENTICATION", "MARKETING", "UTILITY"]
    components: Annotated[
        list[dict[str, Any]], Meta(min_length=1, max_length=10, description="As Meta defines them.")
    ]
    parameter_format: Literal["POSITIONAL", "NAMED"] = "POSITIONAL"
    message_send_ttl_seconds: Annotated[int, Meta(ge=-1, le=2_592_000)] | None = None


class DeleteQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How far to delete."""

    all_languages: Annotated[bool, Meta(description="Delete the name in all languages.")] = False


class TemplateShown(Struct, frozen=True, kw_only=True):
    """A template in one language."""

    id: str
    waba_id: str
    meta_template_id: str
    name: str
    language: str
    category: str
    status: str
    quality: str | None
    reason: Annotated[str, Meta(description="Why Meta rejected or disabled it.")] | None
    parameter_format: str
    components: list[dict[str, Any]]
    synced_at: str


class TemplatesSynchronised(Struct, frozen=True):
    """What reading from Meta brought."""

    waba_id: str
    count: int
    changed: int
    removed: int


class TemplatesDeleted(Struct, frozen=True):
    """Which templates are gone."""

    ids: list[str]


def _shown(template: Template) -> TemplateShown:
    return TemplateShown(
        id=template.id,
        waba_id=template.waba_id,
        meta_template_id=template.meta_template_id,
        name=template.name,
        language=template.language,
        category=template.category,
        status=template.status,
        quality=template.quality,
        reason=template.reason,
        parameter_format=template.parameter_format,
        components=template.parts(),
        synced_at=rfc3339(template.synced_at) or "",
    )


async def _waba_id(ask: Ask, waba_id: str | None, number_id: str | None) -> str | None:
    if waba_id is not None and number_id is not None:
        raise InvalidRequest("give one of `waba_id` and `number_id`", field="number_id")
    if number_id is not None:
        number = await ask.parts.store.read(numbers.get, ask.caller.tenant_id, number_id)
        return number.waba_id
    return waba_id


async def _waba(ask: Ask, waba_id: str | None, number_id: str | None) -> WabaDue:
    named = await _waba_id(ask, waba_id, number_id)
    if named is None:
        raise InvalidRequest("`waba_id` or `number_id` is needed", field="waba_id", remedy="give one of them")
    waba = await ask.parts.store.read(templates.waba_of, ask.caller.tenant_id, named)
    await _check_environment(ask, waba.number_id)
    return waba


async def _check_environment(ask: Ask, number_id: str) -> None:
    """A test key makes and deletes templates of the emulator only; it may read all."""
    number = await ask.parts.store.read(numbers.get, ask.caller.tenant_id, number_id)
    private = is_private_host(urlsplit(number.base_url).hostname or "")
    if ask.caller.environment == "test" and ask.request.method != "GET" and not private:
        raise Forbidden(
            "a test key does not touch live templates",
            code="test_key_on_live_number",
            remedy="use a wp_live_ key",
        )


async def _list(ask: Ask) -> Page[TemplateShown]:
    query: TemplatesQuery = ask.query
    named = await _waba_id(ask, query.waba_id, query.number_id)
    waba_id = None if named is None else (await _waba(ask, named, None)).waba_id
    found = await ask.parts.store.read(
        templates.page, ask.caller.tenant_id, waba_id, query.cursor, query.limit + 1
    )
    return page_of([_shown(template) for template in found], query.limit, lambda template: template.id)


async def _show(ask: Ask) -> TemplateShown:
    return _shown(await ask.parts.store.read(templates.get, ask.caller.tenant_id, ask.path["template_id"]))


async def _create(ask: Ask) -> TemplateShown:
    body: CreateTemplate = ask.body
    if ask.parts.templates is None:
        raise _without_provider()
    waba = await _waba(ask, body.waba_id, body.number_id)
    new = NewTemplate(**{name: getattr(body, name) for name in NewTemplate.__struct_fields__})
    made = await ask.parts.templates.create(waba, new, ask.caller.actor)
    _forget(ask, waba.waba_id)
    return _shown(made)


async def _delete(ask: Ask) -> TemplatesDeleted:
    query: DeleteQuery = ask.query
    if ask.parts.templates is None:
        raise _without_provider()
    template = await ask.parts.store.read(templates.get, ask.caller.tenant_id, ask.path["template_id"])
    await _waba(ask, template.waba_id, None)
    gone = await ask.parts.templates.delete(template, query.all_languages, ask.caller.actor)
    _forget(ask, template.waba_id)
    return TemplatesDeleted(gone)


async def _sync(ask: Ask) -> TemplatesSynchronised:
    body: Whose = ask.body
    if ask.parts.template_sync is None:
        raise _without_provider()
    waba = await _waba(ask, body.waba_id, body.number_id)
    done = await ask.parts.template_sync.synchronise(waba, ask.caller.actor)
    _forget(ask, waba.waba_id)
    return TemplatesSynchronised(waba.waba_id, done.count, done.changed, done.removed)


def _forget(ask: Ask, waba_id: str) -> None:
    if ask.parts.template_book is not None:
        ask.parts.template_book.forget(waba_id)


def _without_provider() -> CapabilityMissing:
    return CapabilityMissing(
        "this gateway was started without a provider", remedy="start it with `waypost serve`"
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/templates", "templates:read", "List templates", _list, query=TemplatesQuery,
          answer=Page[TemplateShown], problems=(NotFound,), tag=_TAG),
    Route("POST", "/v1/templates", "templates:write", "Create a template at Meta", _create, body=CreateTemplate,
          answer=TemplateShown, status=201, problems=_PROBLEMS, tag=_TAG,
          description="Meta reviews it; `template.changed` tells the end.",
          examples={"a reminder": {
              "number_id": "num_06f1…", "name": "reminder", "language": "en_US", "category": "UTILITY",
              "components": [{"type": "BODY", "text": "We expect you on {{1}}, see you then.",
                              "example": {"body_text": [["Monday"]]}}]}}),
    Route("POST", "/v1/templates:sync", "templates:write", "Read the templates of a WABA from Meta now", _sync,
          body=Whose, answer=TemplatesSynchronised, problems=_PROBLEMS, tag=_TAG),
    Route("GET", "/v1/templates/{template_id}", "templates:read", "Show a template", _show, answer=TemplateShown,
          problems=(NotFound,), tag=_TAG),
    Route("DELETE", "/v1/templates/{template_id}", "templates:write", "Delete a template at Meta", _delete,
          query=DeleteQuery, answer=TemplatesDeleted, problems=_PROBLEMS, tag=_TAG,
          description="Meta blocks the name of an approved template for 30 days."),
)  # fmt: skip
