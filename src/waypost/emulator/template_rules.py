"""Sending a template: found, allowed by its state, given the parameters it asks for, and rendered."""

import re
from dataclasses import dataclass
from typing import Any, Final

from waypost.emulator.errors import GraphError
from waypost.emulator.world import Template, World

Wire = dict[str, Any]

_VARIABLE: Final = re.compile(r"\{\{\s*([A-Za-z0-9_]+)\s*\}\}")
_REAL_NAME: Final = re.compile(r"^[a-z0-9_]{1,512}$")
_COMPONENTS: Final = frozenset(
    {"header", "body", "footer", "button", "carousel", "limited_time_offer", "order_status", "order_details",
     "tap_target_configuration", "call_permission_request"}
)  # fmt: skip
_BUTTON_KINDS: Final = frozenset(
    {"quick_reply", "url", "copy_code", "catalog", "mpm", "flow", "voice_call", "order_details", "otp",
     "phone_number", "spm", "reminder", "order_status"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rendered:
    """A template as the customer sees it."""

    template: Template | None
    text: str
    shown: Wire


def check_template(content: Wire, world: World, waba_id: str, *, strict: bool) -> Rendered:
    """Check a template send; raises GraphError 132xxx, 131008 or 131009."""
    name = content.get("name")
    language = content.get("language")
    code = language.get("code") if isinstance(language, dict) else None
    if not name:
        raise GraphError(131008, "Required parameter is missing: template.name")
    if not code:
        raise GraphError(131008, "Required parameter is missing: template.language.code")
    components = content.get("components") or []
    if not isinstance(components, list) or not all(isinstance(part, dict) for part in components):
        raise GraphError(
            131009, "Parameter value is not valid: template.components must be an array of objects"
        )
    for part in components:
        _check_component(part)
    if not strict and not _REAL_NAME.match(str(name)):
        return Rendered(None, f"[template {name}]", {"body": f"[template {name}]", "buttons": []})
    template = world.template_named(waba_id, str(name), str(code))
    if template is None or template.status in ("PENDING", "REJECTED", "DELETED", "PENDING_DELETION"):
        raise GraphError(132001, f"template name ({name}) does not exist in the translation {code}")
    if template.status == "PAUSED":
        raise GraphError(132015, f"template {name} is paused because of its quality")
    if template.status == "DISABLED":
        raise GraphError(132016, f"template {name} is disabled")
    return render(template, components, strict=strict)


def _check_component(part: Wire) -> None:
    kind = str(part.get("type", "")).lower()
    if kind not in _COMPONENTS:
        raise GraphError(131009, f"Parameter value is not valid: template component type {kind!r}")
    if not isinstance(part.get("parameters") or [], list):
        raise GraphError(131009, f"Parameter value is not valid: parameters of {kind} must be an array")
    if kind == "button":
        if str(part.get("sub_type", "")).lower() not in _BUTTON_KINDS:
            raise GraphError(
                131009, f"Parameter value is not valid: button sub_type {part.get('sub_type')!r}"
            )
        if not str(part.get("index", "")).isdigit():
            raise GraphError(131008, "Required parameter is missing: button index")
    if kind == "carousel" and not isinstance(part.get("cards"), list):
        raise GraphError(131008, "Required parameter is missing: carousel.cards")


def _given(components: list[Wire], kind: str) -> list[Wire]:
    for part in components:
        if str(part.get("type", "")).lower() == kind:
            return [p for p in part.get("parameters") or [] if isinstance(p, dict)]
    return []


def _parameter_text(parameter: Wire) -> str:
    kind = str(parameter.get("type", "text")).lower()
    if kind in ("currency", "date_time"):
        inner = parameter.get(kind)
        return str(inner.get("fallback_value", "")) if isinstance(inner, dict) else ""
    return str(parameter.get("text", parameter.get("payload", "")))


def _fill(words: str, parameters: list[Wire], place: str, *, named: bool, strict: bool) -> str:
    wanted = list(dict.fromkeys(_VARIABLE.findall(words)))
    if len(wanted) != len(parameters):
        raise GraphError(
            132000,
            f"{place}: number of parameters ({len(parameters)}) does not match the expected ({len(wanted)})",
        )
    if named and wanted:
        values = {str(p.get("parameter_name")): _parameter_text(p) for p in parameters}
        absent = [name for name in wanted if name not in values]
        if absent:
            raise GraphError(132012, f"{place}: parameter_name missing for {', '.join(absent)}")
    else:
        values = {name: _parameter_text(p) for name, p in zip(wanted, parameters, strict=True)}
    for text in values.values():
        if strict and ("\n" in text or "\t" in text or "     " in text):
            raise GraphError(132018, f"{place}: a parameter has new lines, tabs or more than four spaces")
    return _VARIABLE.sub(lambda match: values[match.group(1)], words)


def render(template: Template, components: list[Wire], *, strict: bool) -> Rendered:
    """Fill a template's definition with the parameters given."""
    named = template.parameter_format.upper() == "NAMED"
    shown: Wire = {"name": template.name, "body": "", "buttons": []}
    for part in template.components:
        kind = str(part.get("type", "")).upper()
        if kind == "HEADER":
            shown["header"] = _header(part, _given(components, "header"), named=named, strict=strict)
        elif kind == "BODY":
            shown["body"] = _fill(
                str(part.get("text", "")), _given(components, "body"), "body", named=named, strict=strict
            )
        elif kind == "FOOTER":
            shown["footer"] = str(part.get("text", ""))
        elif kind == "BUTTONS":
            shown["buttons"] = [
                _button(place, button, components) for place, button in enumerate(part.get("buttons") or [])
            ]
    return Rendered(template, shown["body"], shown)


def _header(part: Wire, parameters: list[Wire], *, named: bool, strict: bool) -> Wire:
    form = str(part.get("format", "TEXT")).lower()
    if form == "text":
        text = _fill(str(part.get("text", "")), parameters, "header", named=named, strict=strict)
        return {"type": "text", "text": text}
    if not parameters:
        raise GraphError(132012, f"header: expected {form.upper()}, received nothing")
    given = str(parameters[0].get("type", "")).lower()
    if given != form and not (form == "gif" and given == "video"):
        raise GraphError(132012, f"header: expected {form.upper()}, received {given.upper() or 'UNKNOWN'}")
    return {"type": form, form: parameters[0].get(given)}


def _button(place: int, button: Wire, components: list[Wire]) -> Wire:
    kind = str(button.get("type", "")).lower()
    sent = next(
        (
            part for part in components
            if str(part.get("type", "")).lower() == "button" and str(part.get("index")) == str(place)
        ),
        None,
    )  # fmt: skip
    parameters = [p for p in (sent or {}).get("parameters") or [] if isinstance(p, dict)]
    shown: Wire = {"type": kind, "text": button.get("text", kind)}
    if kind == "url":
        url = str(button.get("url", ""))
        if _VARIABLE.search(url):
            if not parameters:
                raise GraphError(
                    131008, f"Required parameter is missing: button at index {place} needs its url text"
                )
            url = _VARIABLE.sub(lambda _: _parameter_text(parameters[0]), url)
        shown["url"] = url
    elif kind == "quick_reply":
        shown["payload"] = _parameter_text(parameters[0]) if parameters else str(button.get("text", ""))
    elif kind == "copy_code":
        shown["code"] = str(parameters[0].get("coupon_code", "")) if parameters else ""
    elif kind == "phone_number":
        shown["phone_number"] = button.get("phone_number")
    return shown
