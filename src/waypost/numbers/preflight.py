"""Holding a template message against its template, so that the error comes at accept and not from Meta. Pure.

What Meta is known to refuse is a problem here; what it only may refuse is left to Meta.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from waypost.domain.classes import MessageClass
from waypost.domain.content.templates import Component, Parameter, TextParameter
from waypost.domain.content.templates import Template as Content
from waypost.store.templates import Template

# FLAGGED warns of a pause to come; the template still sends (Meta's states, 2026).
SENDABLE = frozenset({"APPROVED", "FLAGGED"})
CLASS_BY_CATEGORY: dict[str, MessageClass] = {
    "AUTHENTICATION": "otp",
    "MARKETING": "marketing",
    "UTILITY": "utility",
}
_STATE_REMEDIES = {
    "PENDING": "wait for Meta's review; `template.changed` tells its end",
    "IN_APPEAL": "wait for the end of the appeal",
    "REJECTED": "correct it by the reason Meta gave, or appeal, in WhatsApp Manager",
    "PAUSED": "Meta paused it for its quality, for 3 or 6 hours: send less of it, or use another one",
    "DISABLED": "Meta disabled it for its quality: use another template",
    "LOCKED": "Meta locked it: use another template",
    "ARCHIVED": "take it out of the archive in WhatsApp Manager",
}

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z0-9_]+)\s*\}\}")
# Meta 132018: a parameter holds no new line, tab, or more than four spaces in a row.
_UNFIT = re.compile(r"[\n\r\t]| {5,}")
_HEADER_PARAMETERS = {"GIF": "video"}  # the others carry their format's name
# By the type of a defined button: the sub-type that fills it, and whether it must be filled.
_BUTTONS: dict[str, tuple[str, bool]] = {
    "QUICK_REPLY": ("quick_reply", False),
    "COPY_CODE": ("copy_code", True),
    "OTP": ("url", True),
    "CATALOG": ("catalog", False),
    "MPM": ("mpm", True),
    "SPM": ("spm", False),
    "FLOW": ("flow", False),
    "VOICE_CALL": ("voice_call", False),
    "ORDER_DETAILS": ("order_details", True),
}

Definition = Mapping[str, Any]


class Problem(Struct, frozen=True):
    """What is wrong, where in the draft, and what to do."""

    field: str
    message: str
    remedy: str


def class_of(category: str) -> MessageClass:
    """Give the class that a template's category stands for; an unknown category is held to the strictest."""
    return CLASS_BY_CATEGORY.get(category.upper(), "marketing")


def preflight(template: Template, content: Content) -> list[Problem]:
    """Give everything about `content` that this template, as it stands now, would make Meta refuse."""
    if template.status.upper() not in SENDABLE:
        return [_not_sendable(template)]
    parts = template.parts()
    named = template.parameter_format.upper() == "NAMED"
    return list(_components(parts, content.components, "template.components", named, template.category))


def _not_sendable(template: Template) -> Problem:
    remedy = _STATE_REMEDIES.get(template.status.upper(), "use a template that is approved")
    why = f" ({template.reason})" if template.reason else ""
    return Problem("template.name", f"the template is {template.status}{why}", remedy)


def _components(
    parts: Sequence[Definition], given: Sequence[Component], path: str, named: bool, category: str
) -> Iterator[Problem]:
    """Check the components given against the parts defined; used for a template and for each card of a carousel."""
    defined = {str(part.get("type", "")).upper(): part for part in parts}
    by_kind = {component.type: (place, component) for place, component in enumerate(given)}
    for kind in ("header", "body"):
        place, component = by_kind.get(kind, (0, None))
        where = f"{path}.{place}" if component is not None else path
        parameters = [] if component is None else component.parameters
        yield from _filled(defined.get(kind.upper()), kind, parameters, where, named, category)
    yield from _buttons(defined.get("BUTTONS"), given, path)
    yield from _offer(defined.get("LIMITED_TIME_OFFER"), by_kind.get("limited_time_offer"), path)
    yield from _carousel(defined.get("CAROUSEL"), by_kind.get("carousel"), path, named, category)


def _filled(
    part: Definition | None, kind: str, given: Sequence[Parameter], where: str, named: bool, category: str
) -> Iterator[Problem]:
    if part is None:
        if given:
            yield Problem(where, f"the template has no {kind}", f"leave the {kind} component out")
        return
    form = str(part.get("format", "TEXT")).upper()
    if kind == "header" and form != "TEXT":
        wanted = _HEADER_PARAMETERS.get(form, form.lower())
        found = [_tag(parameter) for parameter in given]
        if found != [wanted]:
            told = ", ".join(found) or "nothing"
            yield Problem(
                where, f"the header takes one {wanted}, {told} given", f"give one parameter of type {wanted}"
            )
        return
    text = part.get("text")
    # Meta writes the body of an authentication template itself: one variable, the code.
    wanted_names = (
        ["1"] if text is None and category.upper() == "AUTHENTICATION" else _variables(str(text or ""))
    )
    yield from _texts(wanted_names, kind, given, where, named)


def _texts(
    wanted: Sequence[str], kind: str, given: Sequence[Parameter], where: str, named: bool
) -> Iterator[Problem]:
    if len(wanted) != len(given):
        names = f" ({', '.join(wanted)})" if named and wanted else ""
        yield Problem(
            where,
            f"the {kind} takes {len(wanted)} parameters{names}, {len(given)} given",
            "give one parameter per variable of the template",
        )
        return
    told = [getattr(parameter, "parameter_name", None) for parameter in given]
    if named and sorted(name or "" for name in told) != sorted(wanted):
        yield Problem(
            where,
            f"the {kind}'s variables are {', '.join(wanted)}",
            "name each parameter with `parameter_name`, as the template does",
        )
    if not named and any(name is not None for name in told):
        yield Problem(
            where,
            f"the {kind}'s variables are numbered, not named",
            "leave `parameter_name` out, keep the order",
        )
    for place, parameter in enumerate(given):
        if isinstance(parameter, TextParameter) and _UNFIT.search(parameter.text):
            yield Problem(
                f"{where}.parameters.{place}.text",
                "a parameter holds no new line, tab, or more than four spaces in a row",
                "put line breaks into the template itself",
            )


def _buttons(part: Definition | None, given: Sequence[Component], path: str) -> Iterator[Problem]:
    defined: list[Definition] = list(part.get("buttons") or []) if part is not None else []
    filled: set[int] = set()
    for place, component in enumerate(given):
        if component.type != "button":
            continue
        index = int(str(component.index))
        where = f"{path}.{place}"
        if index >= len(defined):
            yield Problem(f"{where}.index", f"the template has {len(defined)} buttons", "count from 0")
            continue
        filled.add(index)
        sub_type, takes = _sub_type(defined[index])
        if not takes:
            yield Problem(where, f"button {index} takes no parameters", "leave this component out")
        elif component.sub_type != sub_type:
            yield Problem(
                f"{where}.sub_type", f"button {index} is of type {sub_type}", f"set `sub_type` to {sub_type}"
            )
        elif len(component.parameters) != 1:
            yield Problem(
                where, f"button {index} takes one parameter, {len(component.parameters)} given", "give one"
            )
    for index, button in enumerate(defined):
        if index not in filled and _must_be_filled(button):
            yield Problem(
                path,
                f"button {index} ({button.get('text', '')}) needs its parameter",
                f"add a button component with index {index} and sub_type {_sub_type(button)[0]}",
            )


def _sub_type(button: Definition) -> tuple[str, bool]:
    """Give the sub-type that fills a button, and whether anything does."""
    kind = str(button.get("type", "")).upper()
    if kind == "URL":
        return "url", bool(_variables(str(button.get("url", ""))))
    known = _BUTTONS.get(kind)
    # A phone button takes nothing; of a kind not known here nothing is known either, so Meta decides.
    return (known[0], True) if known is not None else (kind.lower(), kind != "PHONE_NUMBER")


def _must_be_filled(button: Definition) -> bool:
    kind = str(button.get("type", "")).upper()
    if kind == "URL":
        return bool(_variables(str(button.get("url", ""))))
    return _BUTTONS.get(kind, ("", False))[1]


def _offer(part: Definition | None, given: tuple[int, Component] | None, path: str) -> Iterator[Problem]:
    if part is None and given is not None:
        yield Problem(f"{path}.{given[0]}", "the template has no limited time offer", "leave it out")
    offer = part.get("limited_time_offer") if part is not None else None
    expires = isinstance(offer, dict) and offer.get("has_expiration") is True
    if expires and given is None:
        yield Problem(path, "the offer's end is missing", "add a limited_time_offer component")


def _carousel(
    part: Definition | None, given: tuple[int, Component] | None, path: str, named: bool, category: str
) -> Iterator[Problem]:
    cards: list[Definition] = list(part.get("cards") or []) if part is not None else []
    if given is None:
        if cards:
            yield Problem(path, f"the {len(cards)} cards are missing", "add a carousel component")
        return
    place, component = given
    where = f"{path}.{place}.cards"
    found = component.cards or []
    if len(found) != len(cards):
        yield Problem(where, f"the template has {len(cards)} cards, {len(found)} given", "give each of them")
        return
    for order, card in enumerate(found):
        if card.card_index >= len(cards):
            yield Problem(f"{where}.{order}.card_index", f"there are {len(cards)} cards", "count from 0")
            continue
        defined = cards[card.card_index].get("components") or []
        yield from _components(defined, card.components, f"{where}.{order}.components", named, category)


def _variables(text: str) -> list[str]:
    """Give the variables of a text in order, each once."""
    return list(dict.fromkeys(_VARIABLE.findall(text)))


def _tag(parameter: Parameter) -> str:
    return str(parameter.__struct_config__.tag)
