"""What Meta refuses in an interactive message: structure always, limits when strict."""

from collections.abc import Callable
from typing import Any, Final

from waypost.emulator.errors import GraphError
from waypost.emulator.tables import LIMITS

Wire = dict[str, Any]


def _missing(path: str) -> GraphError:
    return GraphError(131008, f"Required parameter is missing: interactive.{path}")


def _wrong(path: str, why: str) -> GraphError:
    return GraphError(131009, f"Parameter value is not valid: interactive.{path} {why}")


def _within(text: Any, path: str, maximum: int, strict: bool) -> None:
    if strict and len(str(text)) > maximum:
        raise _wrong(path, f"is longer than {maximum} characters")


def _object(holder: Wire, name: str, path: str) -> Wire:
    found = holder.get(name)
    if not isinstance(found, dict):
        raise _missing(path)
    return found


def _list(holder: Wire, name: str, path: str) -> list[Any]:
    found = holder.get(name)
    if not isinstance(found, list) or not found:
        raise _missing(path)
    return found


def _required(holder: Wire, name: str, path: str) -> Any:
    found = holder.get(name)
    if found is None or found == "":
        raise _missing(path)
    return found


def check_interactive(content: Wire, *, strict: bool) -> str:
    """Check the object; gives the text shown in the chat."""
    kind = str(_required(content, "type", "type")).lower()
    check = _KINDS.get(kind)
    if check is None:
        raise _wrong("type", f"{kind!r} is not a kind of interactive message")
    body = content.get("body")
    text = str(body.get("text") or "") if isinstance(body, dict) else ""
    if not text and kind not in _BODY_OPTIONAL:
        raise _missing("body.text")
    _within(text, "body.text", LIMITS["list_body" if kind == "list" else "body"], strict)
    footer = content.get("footer")
    if isinstance(footer, dict):
        if strict and kind in ("carousel", "location_request_message"):
            raise _wrong("footer", "is not allowed here")
        _within(footer.get("text") or "", "footer.text", LIMITS["footer"], strict)
    _header(content.get("header"), kind, strict)
    check(_object(content, "action", "action"), strict)
    return text


def _header(header: Any, kind: str, strict: bool) -> None:
    if header is None:
        if kind == "product_list":
            raise _missing("header")
        return
    if not isinstance(header, dict):
        raise _wrong("header", "must be an object")
    header_kind = str(header.get("type") or "").lower()
    if header_kind == "text" or "text" in header:
        _within(_required(header, "text", "header.text"), "header.text", LIMITS["header_text"], strict)
    if strict and header_kind not in _HEADERS.get(kind, ()):
        raise _wrong("header.type", f"{header_kind!r} is not allowed for {kind}")


def _buttons(action: Wire, strict: bool) -> None:
    buttons = _list(action, "buttons", "action.buttons")
    if len(buttons) > 3:
        raise _wrong("action.buttons", "has more than 3 buttons")
    seen_ids: set[str] = set()
    seen_titles: set[str] = set()
    for place, button in enumerate(buttons):
        path = f"action.buttons[{place}]"
        reply = _object(button if isinstance(button, dict) else {}, "reply", f"{path}.reply")
        button_id = str(_required(reply, "id", f"{path}.reply.id"))
        title = str(_required(reply, "title", f"{path}.reply.title"))
        _within(button_id, f"{path}.reply.id", LIMITS["button_id"], strict)
        _within(title, f"{path}.reply.title", LIMITS["button_title"], strict)
        if button_id in seen_ids or (strict and title in seen_titles):
            raise _wrong(f"{path}.reply", "repeats an id or a title")
        seen_ids.add(button_id)
        seen_titles.add(title)


def _rows(action: Wire, strict: bool) -> None:
    _within(_required(action, "button", "action.button"), "action.button", LIMITS["list_button"], strict)
    sections = _list(action, "sections", "action.sections")
    seen: set[str] = set()
    total = 0
    for place, section in enumerate(sections):
        path = f"action.sections[{place}]"
        if not isinstance(section, dict):
            raise _wrong(path, "must be an object")
        if len(sections) > 1:
            _required(section, "title", f"{path}.title")
        _within(section.get("title") or "", f"{path}.title", LIMITS["section_title"], strict)
        for order, row in enumerate(_list(section, "rows", f"{path}.rows")):
            row_path = f"{path}.rows[{order}]"
            holder = row if isinstance(row, dict) else {}
            row_id = str(_required(holder, "id", f"{row_path}.id"))
            _within(row_id, f"{row_path}.id", LIMITS["row_id"], strict)
            _within(_required(holder, "title", f"{row_path}.title"), row_path, LIMITS["row_title"], strict)
            _within(holder.get("description") or "", row_path, LIMITS["row_description"], strict)
            if row_id in seen:
                raise _wrong(f"{row_path}.id", "is not unique")
            seen.add(row_id)
            total += 1
    if total > 10 or len(sections) > 10:
        raise _wrong("action.sections", "has more than 10 rows in all")


def _named(name: str, *needed: str) -> Callable[[Wire, bool], None]:
    def check(action: Wire, strict: bool) -> None:
        if strict and action.get("name") != name:
            raise _wrong("action.name", f"must be {name}")
        if needed:
            parameters = _object(action, "parameters", "action.parameters")
            for field in needed:
                _required(parameters, field, f"action.parameters.{field}")
            _within(parameters.get("display_text") or "", "action.parameters.display_text", 20, strict)

    return check


def _flow(action: Wire, strict: bool) -> None:
    parameters = _object(action, "parameters", "action.parameters")
    version = _required(parameters, "flow_message_version", "action.parameters.flow_message_version")
    if strict and str(version) != "3":
        raise _wrong("action.parameters.flow_message_version", "must be 3")
    if not parameters.get("flow_id") and not parameters.get("flow_name"):
        raise _missing("action.parameters.flow_id or flow_name")
    label = _required(parameters, "flow_cta", "action.parameters.flow_cta")
    _within(label, "action.parameters.flow_cta", LIMITS["flow_cta"], strict)
    if strict and parameters.get("mode", "published") not in ("draft", "published"):
        raise _wrong("action.parameters.mode", "must be draft or published")


def _product(action: Wire, _strict: bool) -> None:
    _required(action, "catalog_id", "action.catalog_id")
    _required(action, "product_retailer_id", "action.product_retailer_id")


def _product_list(action: Wire, strict: bool) -> None:
    _required(action, "catalog_id", "action.catalog_id")
    sections = _list(action, "sections", "action.sections")
    total = 0
    for place, section in enumerate(sections):
        path = f"action.sections[{place}].product_items"
        total += len(_list(section if isinstance(section, dict) else {}, "product_items", path))
    if strict and (total > 30 or len(sections) > 10):
        raise _wrong("action.sections", "has more than 30 products or 10 sections")


def _carousel(action: Wire, strict: bool) -> None:
    cards = _list(action, "cards", "action.cards")
    if len(cards) < 2 or len(cards) > 10:
        raise _wrong("action.cards", "must have 2 to 10 cards")
    kinds: set[str] = set()
    for place, card in enumerate(cards):
        path = f"action.cards[{place}]"
        inner = _object(card if isinstance(card, dict) else {}, "action", f"{path}.action")
        kinds.add(str(card.get("type", "")))
        text = card["body"].get("text", "") if isinstance(card.get("body"), dict) else ""
        _within(text, f"{path}.body.text", LIMITS["card_body"], strict)
        if "product_retailer_id" in inner:
            _product(inner, strict)
        elif isinstance(inner.get("buttons"), list):
            for button in inner["buttons"]:
                holder = button if isinstance(button, dict) else {}
                reply = holder.get("quick_reply") or holder.get("reply")
                if not isinstance(reply, dict):
                    raise _missing(f"{path}.action.buttons.quick_reply")
                _required(reply, "id", f"{path}.action.buttons.quick_reply.id")
        else:
            parameters = _object(inner, "parameters", f"{path}.action.parameters")
            _required(parameters, "url", f"{path}.action.parameters.url")
    if strict and len(kinds) > 1:
        raise _wrong("action.cards", "must all be of one type")


def _voice_call(action: Wire, strict: bool) -> None:
    parameters = action.get("parameters")
    if parameters is None:
        return
    if not isinstance(parameters, dict):
        raise _wrong("action.parameters", "must be an object")
    minutes = parameters.get("ttl_minutes")
    if strict and minutes is not None and not (isinstance(minutes, int) and 1 <= minutes <= 43200):
        raise _wrong("action.parameters.ttl_minutes", "must be 1 to 43200")
    _within(parameters.get("display_text") or "", "action.parameters.display_text", 20, strict)
    _within(
        parameters.get("payload") or "", "action.parameters.payload", LIMITS["voice_call_payload"], strict
    )


_KINDS: Final[dict[str, Callable[[Wire, bool], None]]] = {
    "button": _buttons,
    "list": _rows,
    "cta_url": _named("cta_url", "display_text", "url"),
    "location_request_message": _named("send_location"),
    "address_message": _named("address_message", "country"),
    "flow": _flow,
    "product": _product,
    "product_list": _product_list,
    "catalog_message": _named("catalog_message"),
    "carousel": _carousel,
    "voice_call": _voice_call,
    "call_permission_request": _named("call_permission_request"),
    "request_contact_info": _named("request_contact_info"),
    "order_details": _named("review_and_pay", "reference_id"),
    "order_status": _named("review_order", "reference_id"),
}
_BODY_OPTIONAL: Final = frozenset({"product", "call_permission_request", "voice_call"})
_MEDIA_HEADERS: Final = ("text", "image", "video", "document")
_HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "button": _MEDIA_HEADERS,
    "list": ("text",),
    "cta_url": _MEDIA_HEADERS,
    "flow": _MEDIA_HEADERS,
    "product_list": ("text",),
    "order_details": _MEDIA_HEADERS,
}
