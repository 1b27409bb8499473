"""What Meta refuses in a message, in Meta's order: product, recipient, type, then the object of the type.

Lenient (the default) checks structure and lets placeholders of documentation examples pass; strict checks the
limits too.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from waypost.emulator.errors import GraphError
from waypost.emulator.interactive_rules import check_interactive
from waypost.emulator.tables import LIMITS
from waypost.emulator.template_rules import Rendered, check_template
from waypost.emulator.world import Number, World

Wire = dict[str, Any]

KINDS: Final = (
    "text", "image", "audio", "video", "document", "sticker", "location", "contacts", "reaction", "template",
    "interactive", "pin",
)  # fmt: skip
_MEDIA_KINDS: Final = ("image", "audio", "video", "document", "sticker")
_GROUP_KINDS: Final = ("text", "image", "audio", "video", "document", "template", "pin")
BSUID: Final = re.compile(r"^[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}$")
_DIGITS: Final = re.compile(r"\D+")
_BIRTHDAY: Final = re.compile(r"^\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True, slots=True)
class Checked:
    """A message that may go: who gets it, its kind, the object of its kind."""

    recipient: str
    entered: str
    kind: str
    content: Any
    group: bool
    context_id: str | None
    echo: str | None
    text: str
    rendered: Rendered | None = None


def missing(path: str) -> GraphError:
    """A required field is not there."""
    return GraphError(131008, f"Required parameter is missing: {path}")


def wrong(path: str, why: str) -> GraphError:
    """A field has a value it cannot have."""
    return GraphError(131009, f"Parameter value is not valid: {path} {why}")


def too_long(path: str, maximum: int) -> GraphError:
    """A text is longer than Meta takes."""
    return GraphError(100, f"Param {path} must be at most {maximum} characters long.")


def check_message(body: Wire, number: Number, world: World, *, strict: bool) -> Checked:
    """Check a message as Meta does; raises GraphError with the first fault found."""
    product = body.get("messaging_product")
    if product is None:
        raise GraphError(100, message="(#100) The parameter messaging_product is required.")
    if product != "whatsapp":
        raise GraphError(100, message="(#100) Param messaging_product must be one of {WHATSAPP}.")
    recipient, entered, group = _recipient(body, number, strict=strict)
    kind = _kind(body, strict=strict)
    content: Any = body.get(kind)
    if content is None:
        raise missing(kind)
    if group and kind not in _GROUP_KINDS:
        raise wrong("type", f"{kind} cannot be sent to a group")
    if kind == "contacts":
        if not isinstance(content, list):
            raise wrong("contacts", "must be an array")
    elif not isinstance(content, dict):
        raise GraphError(100, f"Param {kind} must be a JSON object.")
    echo = body.get("biz_opaque_callback_data")
    if echo is not None and (not isinstance(echo, str) or len(echo) > LIMITS["echo"]):
        raise too_long("biz_opaque_callback_data", LIMITS["echo"])
    if kind == "template":
        rendered = check_template(content, world, number.waba_id, strict=strict)
        text = rendered.text
    else:
        rendered = None
        text = (
            _CHECKS[kind](content, number, world, strict) if kind != "pin" else _pin(content, group, strict)
        )
    return Checked(recipient, entered, kind, content, group, _context(body), echo, text, rendered)


def _recipient(body: Wire, number: Number, *, strict: bool) -> tuple[str, str, bool]:
    to, user_id = body.get("to"), body.get("recipient")
    group = str(body.get("recipient_type") or "individual").lower() == "group"
    if strict and body.get("recipient_type") not in (None, "individual", "group"):
        raise GraphError(100, "Param recipient_type must be one of {INDIVIDUAL, GROUP}.")
    if to is None and user_id is None:
        raise GraphError(100, message="(#100) The parameter to is required.")
    if to is None:
        if not isinstance(user_id, str) or not BSUID.match(user_id):
            raise wrong("recipient", "is not a user id")
        return user_id, user_id, False
    entered = str(to)
    if not entered or isinstance(to, dict | list):
        raise GraphError(100, message="(#100) The parameter to is required.")
    if group:
        return entered, entered, True
    if BSUID.match(entered):
        raise wrong("to", "is a user id: use recipient")
    digits = _DIGITS.sub("", entered)
    if strict and not entered.startswith("+") and len(digits) <= 10:
        digits = number.country_code + digits.lstrip("0")
    if len(digits) < 5 or len(digits) > 17:
        if strict or digits:
            raise wrong("to", "is not a phone number")
        digits = "15550000000"  # a placeholder of a documentation example
    if digits == number.digits:
        raise GraphError(131021, "The sender and the recipient are the same number.")
    return digits, entered, False


def _kind(body: Wire, *, strict: bool) -> str:
    kind = body.get("type")
    if kind is None:
        inferred = next((known for known in KINDS if body.get(known) is not None), "text")
        kind = "text" if strict else inferred
    kind = str(kind).lower()
    if kind not in KINDS:
        raise GraphError(100, f"Param type must be one of {{{', '.join(KINDS).upper()}}} - got {kind!r}.")
    return kind


def _context(body: Wire) -> str | None:
    context = body.get("context")
    if context is None:
        return None
    if not isinstance(context, dict) or not isinstance(context.get("message_id"), str):
        raise missing("context.message_id")
    return str(context["message_id"])


def _text(content: Wire, _number: Number, _world: World, strict: bool) -> str:
    words = content.get("body")
    if words is None or words == "":
        raise missing("text.body")
    if not isinstance(words, str):
        if strict:
            raise wrong("text.body", "must be text")
        words = str(words)
    if len(words) > LIMITS["text_body"]:
        raise too_long("text.body", LIMITS["text_body"])
    return words


def _media(kind: str) -> Callable[[Wire, Number, World, bool], str]:
    def check(content: Wire, _number: Number, world: World, strict: bool) -> str:
        return check_media(content, kind, world, strict=strict)

    return check


def check_media(content: Wire, path: str, world: World, *, strict: bool) -> str:
    """An object with `id` or `link`, and a caption where the kind has one."""
    media_id, link = content.get("id"), content.get("link")
    if not media_id and not link:
        raise missing(f"{path}.id or {path}.link")
    if media_id and link and strict:
        raise wrong(path, "takes either id or link")
    if media_id:
        looks_real = str(media_id).isdigit()
        if (looks_real or strict) and str(media_id) not in world.media:
            raise GraphError(100, f"Param {path}['id'] is not an id of a media file of this account.")
    elif strict and not re.match(r"^https?://\S+$", str(link)):
        raise wrong(f"{path}.link", "is not an http(s) URL")
    caption = content.get("caption")
    if strict and caption is not None:
        if path in ("audio", "sticker"):
            raise wrong(f"{path}.caption", "is not allowed for this kind")
        if len(str(caption)) > LIMITS["caption"]:
            raise too_long(f"{path}.caption", LIMITS["caption"])
    return str(caption or content.get("filename") or "")


def _location(content: Wire, _number: Number, _world: World, strict: bool) -> str:
    for name, bound in (("latitude", 90.0), ("longitude", 180.0)):
        if content.get(name) is None:
            raise missing(f"location.{name}")
        try:
            degrees = float(content[name])
        except (TypeError, ValueError):
            raise wrong(f"location.{name}", "is not a number") from None
        if strict and abs(degrees) > bound:
            raise wrong(f"location.{name}", "is out of range")
    return str(content.get("name") or content.get("address") or "")


def _contacts(cards: list[Any], _number: Number, _world: World, strict: bool) -> str:
    if not cards:
        raise missing("contacts")
    if len(cards) > LIMITS["contacts"]:
        raise wrong("contacts", f"has more than {LIMITS['contacts']} cards")
    for place, card in enumerate(cards):
        name = card.get("name") if isinstance(card, dict) else None
        if not isinstance(name, dict) or not name.get("formatted_name"):
            raise missing(f"contacts[{place}].name.formatted_name")
        if strict and not any(name.get(part) for part in name if part != "formatted_name"):
            raise missing(f"contacts[{place}].name needs one more part than formatted_name")
        if strict and card.get("birthday") and not _BIRTHDAY.match(str(card["birthday"])):
            raise wrong(f"contacts[{place}].birthday", "is not YYYY-MM-DD")
    return ", ".join(str(card["name"]["formatted_name"]) for card in cards)


def _reaction(content: Wire, _number: Number, _world: World, strict: bool) -> str:
    if not content.get("message_id"):
        raise missing("reaction.message_id")
    emoji = content.get("emoji")
    if emoji is None and strict:
        raise missing("reaction.emoji")
    return str(emoji or "")


def _pin(content: Wire, group: bool, strict: bool) -> str:
    if not group:
        raise wrong("type", "pin is for groups")
    if str(content.get("type")) not in ("pin", "unpin"):
        raise wrong("pin.type", "must be pin or unpin")
    if not content.get("message_id"):
        raise missing("pin.message_id")
    days = content.get("expiration_days")
    if strict and days is not None and not (isinstance(days, int) and 1 <= days <= 30):
        raise wrong("pin.expiration_days", "must be 1 to 30")
    return str(content["type"])


def _interactive(content: Wire, _number: Number, world: World, strict: bool) -> str:
    header = content.get("header")
    if isinstance(header, dict) and str(header.get("type", "")).lower() in ("image", "video", "document"):
        kind = str(header["type"]).lower()
        if not isinstance(header.get(kind), dict):
            raise missing(f"interactive.header.{kind}")
        check_media(header[kind], kind, world, strict=strict)
    return check_interactive(content, strict=strict)


_CHECKS: Final[dict[str, Callable[[Any, Number, World, bool], str]]] = {
    **{kind: _media(kind) for kind in _MEDIA_KINDS},
    "text": _text,
    "location": _location,
    "contacts": _contacts,
    "reaction": _reaction,
    "interactive": _interactive,
}
