"""Templates: list, create, edit, delete, and the review that decides them a moment later."""

import re
from datetime import timedelta
from typing import Any

from waypost.emulator.answers import Answer, page, project
from waypost.emulator.envelopes import template_status_value
from waypost.emulator.errors import GraphError
from waypost.emulator.graph import Call, Edge
from waypost.emulator.stage import Stage
from waypost.emulator.tables import LIMITS
from waypost.emulator.webhooks import Update
from waypost.emulator.world import Template

Wire = dict[str, Any]

CATEGORIES = ("AUTHENTICATION", "MARKETING", "UTILITY")
_NAME = re.compile(r"^[a-z0-9_]{1,512}$")
_VARIABLE = re.compile(r"\{\{\s*([A-Za-z0-9_]+)\s*\}\}")
_REJECT_WORDS = "reject_me"


def shown(template: Template) -> Wire:
    """A template as Graph shows it; the id is text here and a number in webhooks."""
    return {
        "name": template.name,
        "parameter_format": template.parameter_format,
        "components": template.components,
        "language": template.language,
        "status": template.status,
        "category": template.category,
        "quality_score": {"score": template.quality},
        "rejected_reason": template.rejected_reason,
        "id": template.id,
    }


_DEFAULT_FIELDS = ("name", "parameter_format", "components", "language", "status", "category", "id")


async def _list(call: Call) -> Answer:
    rows = call.stage.world.templates_of(call.node)
    query = call.query
    for field in ("status", "category"):
        if query.get(field):
            wanted = {word.strip(' "[]').upper() for word in query[field].split(",")}
            rows = [t for t in rows if getattr(t, field) in wanted]
    if query.get("name"):
        rows = [t for t in rows if query["name"] in t.name]
    if query.get("language"):
        rows = [t for t in rows if t.language == query["language"]]
    lines = [project(shown(t), call.fields(), _DEFAULT_FIELDS) for t in rows]
    answer = page(lines, query, f"{call.stage.base_url}/{call.node}/message_templates")
    if "summary" in query:
        total = len(call.stage.world.templates_of(call.node))
        answer["summary"] = {
            "total_count": len(rows),
            "message_template_count": total,
            "message_template_limit": LIMITS["templates_per_waba"],
            "are_translations_complete": False,
        }
    return Answer.of(answer)


async def _show(call: Call) -> Answer:
    return Answer.of(project(shown(call.stage.world.templates[call.node]), call.fields(), _DEFAULT_FIELDS))


def _checked_components(components: Any, category: str) -> list[Wire]:
    """The limits of a definition hold in both modes: a template is written once and read by many."""
    if not isinstance(components, list) or not components or not all(isinstance(c, dict) for c in components):
        raise GraphError(100, "Param components must be an array of objects.")
    kinds = [str(part.get("type", "")).upper() for part in components]
    if kinds.count("BODY") != 1:
        raise GraphError(100, "A template has exactly one BODY.")
    for part, kind in zip(components, kinds, strict=True):
        text = str(part.get("text") or "")
        maximum = {
            "BODY": "template_body",
            "FOOTER": "template_footer",
            "HEADER": "template_header_text",
        }.get(kind)
        if maximum is not None and len(text) > LIMITS[maximum]:
            raise GraphError(2388040, f"{kind} is longer than {LIMITS[maximum]} characters.")
        if kind == "BODY":
            _check_body(part, text, category)
        if kind == "BUTTONS":
            buttons = part.get("buttons")
            if not isinstance(buttons, list) or not 1 <= len(buttons) <= LIMITS["template_buttons"]:
                raise GraphError(100, "BUTTONS takes 1 to 10 buttons.")
            if any(len(str(b.get("text") or "")) > LIMITS["template_button_text"] for b in buttons):
                raise GraphError(2388040, "A button's text is longer than 25 characters.")
    return components


def _check_body(part: Wire, text: str, category: str) -> None:
    if not text and category != "AUTHENTICATION":
        raise GraphError(2388072, "BODY needs text.")
    stripped = text.strip()
    if _VARIABLE.search(text) and not part.get("example"):
        raise GraphError(2388072, "BODY with variables needs examples.")
    if _VARIABLE.match(stripped) or (stripped.endswith("}}") and _VARIABLE.search(stripped)):
        raise GraphError(2388299, "Variables must not stand at the beginning or the end.")


async def _create(call: Call) -> Answer:
    given = await call.parameters()
    stage, world = call.stage, call.stage.world
    stage.rates.spend_management(call.node, stage.clock.now())
    name, language = str(given.get("name") or ""), str(given.get("language") or "")
    category = str(given.get("category") or "").upper()
    if not _NAME.match(name):
        raise GraphError(100, "Param name must be lower case letters, digits and underscores, 512 at most.")
    if not language:
        raise GraphError(100, message="(#100) The parameter language is required.")
    if category not in CATEGORIES:
        raise GraphError(100, f"Param category must be one of {{{', '.join(CATEGORIES)}}}.")
    if world.template_named(call.node, name, language) is not None:
        raise GraphError(100, "There is already content in this language for this template.", subcode=2388024)
    blocked_until = world.names_blocked_until.get((call.node, name))
    if blocked_until is not None and stage.clock.now() < blocked_until:
        raise GraphError(100, "This name was deleted less than 30 days ago.", subcode=2388023)
    if len(world.templates_of(call.node)) >= LIMITS["templates_per_waba"]:
        raise GraphError(2388019)
    template = Template(
        id=stage.fresh_id(),
        waba_id=call.node,
        name=name,
        language=language,
        category=category,
        components=_checked_components(given.get("components"), category),
        status="PENDING",
        parameter_format=str(given.get("parameter_format") or "POSITIONAL").upper(),
    )
    world.templates[template.id] = template
    review(stage, template)
    return Answer.of({"id": template.id, "status": template.status, "category": template.category})


def review(stage: Stage, template: Template) -> None:
    """Decide a pending template a moment later; a name with "reject_me" in it is rejected."""

    def decide() -> None:
        if template.status == "PENDING":
            rejected = _REJECT_WORDS in template.name
            set_status(
                stage,
                template,
                "REJECTED" if rejected else "APPROVED",
                "INVALID_FORMAT" if rejected else "NONE",
            )

    stage.agenda.after(stage.pace.template_review_seconds, decide)


def set_status(stage: Stage, template: Template, status: str, reason: str = "NONE") -> None:
    """Move a template to a state and tell the app."""
    template.status, template.rejected_reason = status, reason
    value = template_status_value(template, status, reason)
    stage.webhooks.tell(
        Update(template.waba_id, "message_template_status_update", value, stage.clock.now()), None
    )


async def _edit(call: Call) -> Answer:
    given = await call.parameters()
    stage, template = call.stage, call.stage.world.templates[call.node]
    now = stage.clock.now()
    if template.status not in ("APPROVED", "REJECTED", "PAUSED"):
        raise GraphError(100, f"A template that is {template.status} cannot be edited.", subcode=2388094)
    if template.status == "APPROVED":
        recent = [at for at in template.edited_at if now - at < timedelta(days=30)]
        if len(recent) >= 10 or any(now - at < timedelta(days=1) for at in recent):
            raise GraphError(
                100, "An approved template takes one edit a day and ten in 30 days.", subcode=2388025
            )
        template.edited_at = [*recent, now]
    if given.get("components") is not None:
        template.components = _checked_components(given["components"], template.category)
    if given.get("category"):
        template.category = str(given["category"]).upper()
    template.status = "PENDING"
    review(stage, template)
    return Answer.of({"success": True})


async def _unpause(call: Call) -> Answer:
    template = call.stage.world.templates[call.node]
    if template.status != "PAUSED":
        raise GraphError(100, "The template is not paused.")
    set_status(call.stage, template, "APPROVED")
    return Answer.of({"success": True})


async def _delete(call: Call) -> Answer:
    given = await call.parameters()
    stage, world = call.stage, call.stage.world
    name = str(given.get("name") or "")
    if not name:
        raise GraphError(100, message="(#100) The parameter name is required.")
    wanted = [t for t in world.templates_of(call.node) if t.name == name]
    if given.get("hsm_id"):
        wanted = [t for t in wanted if t.id == str(given["hsm_id"])]
    if not wanted:
        raise GraphError(100, "The template was not found.", subcode=2593002, http_status=404)
    if any(t.status == "DISABLED" for t in wanted):
        raise GraphError(100, "A disabled template cannot be deleted.")
    for template in wanted:
        if template.status == "APPROVED":
            world.names_blocked_until[call.node, name] = stage.clock.now() + timedelta(days=30)
        del world.templates[template.id]
    return Answer.of({"success": True})


EDGES: dict[tuple[str, str, str], Edge] = {
    ("GET", "waba", "message_templates"): _list,
    ("POST", "waba", "message_templates"): _create,
    ("DELETE", "waba", "message_templates"): _delete,
    ("GET", "template", ""): _show,
    ("POST", "template", ""): _edit,
    ("POST", "template", "unpause"): _unpause,
}
