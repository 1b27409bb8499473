"""What the owner of a virtual phone does: writes, taps, reads, reacts, moves. Each becomes a webhook."""

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from waypost.emulator.envelopes import inbound_value, seconds_text
from waypost.emulator.errors import webhook_error
from waypost.emulator.journeys import advance, come_online, tell
from waypost.emulator.phone_state import Message, Phone
from waypost.emulator.stage import Stage
from waypost.emulator.tables import LIMITS
from waypost.emulator.world import Media, Number

Wire = dict[str, Any]

# A one-pixel PNG, for those who send an image without giving one.
_PIXEL: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_MEDIA_TYPES: Final = {
    "image": "image/png",
    "video": "video/mp4",
    "audio": "audio/ogg; codecs=opus",
    "document": "application/pdf",
    "sticker": "image/webp",
}
MESSAGE_TYPES: Final = (
    "text", *_MEDIA_TYPES, "location", "contacts", "reaction", "button", "interactive", "order", "system",
    "edit", "revoke", "request_welcome", "unsupported",
)  # fmt: skip


class BadAct(Exception):
    """The control API asked for something a phone cannot do."""


def write(stage: Stage, number: Number, phone: Phone, wanted: Wire) -> Message:
    """Send a message from the phone to the business.

    `wanted` is {"type", TYPE: {...}} as in Meta's webhooks, with short forms: {"text": "words"}, media
    content as `content_base64`, taps as {"tap": id or title, "of": wamid}. `context_id`, `referral` and
    `forwarded` ride along.
    """
    if "tap" in wanted:
        wanted = _tapped(stage, number, phone, str(wanted["tap"]), wanted.get("of"))
    kind = str(wanted.get("type") or ("text" if "text" in wanted else ""))
    if kind not in MESSAGE_TYPES:
        raise BadAct(f"type must be one of {', '.join(MESSAGE_TYPES)}")
    if phone.behaviour.blocks_business:
        raise BadAct("this phone has blocked the business")
    now = stage.clock.now()
    content = _content(stage, number, phone, kind, wanted)
    message = Message(
        wamid=stage.fresh_wamid(phone.digits or phone.key, outbound=False),
        number_id=number.id,
        phone_key=phone.key,
        direction="in",
        type=kind,
        content=content,
        at=now,
        text=_shown(kind, content),
        context_id=wanted.get("context_id"),
        status="delivered",
    )
    line = _line(message, phone, number, wanted)
    _open_window(stage, number, phone, message)
    stage.rates.spend_number(number, now)
    if phone.key in number.blocked:
        return message  # the business blocked this user: it hears nothing
    tell(
        stage,
        number,
        phone.key,
        "messages",
        inbound_value(number, phone, line, with_contact=kind != "system"),
    )
    return message


def _open_window(stage: Stage, number: Number, phone: Phone, message: Message) -> None:
    if message.type not in ("system", "edit", "revoke"):
        phone.last_inbound_at[number.id] = message.at
    if message.type == "reaction":
        target = stage.world.messages.get(str(message.content.get("message_id")))
        if target is not None:
            target.reactions["customer"] = str(message.content.get("emoji") or "")
    else:
        phone.chat(number.id).append(message)
    stage.world.keep_message(message)
    stage.world.touch()


def _line(message: Message, phone: Phone, number: Number, wanted: Wire) -> Wire:
    line: Wire = {}
    if phone.shown_digits:
        line["from"] = phone.shown_digits
    line["from_user_id"] = phone.user_id
    line |= {"id": message.wamid, "timestamp": seconds_text(message.at), "type": message.type}
    context: Wire = {}
    if message.context_id:
        context |= {"from": number.digits, "id": message.context_id}
    for rider in ("forwarded", "frequently_forwarded", "referred_product"):
        if wanted.get(rider):
            context[rider] = wanted[rider]
    if context:
        line["context"] = context
    for rider in ("referral", "group_id", "origin"):
        if wanted.get(rider):
            line[rider] = wanted[rider]
    if message.type == "unsupported":
        code = int(wanted.get("code", 131051))
        line["errors"] = [webhook_error(code, "The type of this message is not supported.")]
    line[message.type] = message.content
    return line


def _content(stage: Stage, number: Number, phone: Phone, kind: str, wanted: Wire) -> Any:
    given = wanted.get(kind)
    if kind == "text":
        words = given.get("body") if isinstance(given, dict) else given
        if not isinstance(words, str) or not words:
            raise BadAct("text needs words")
        return {"body": words}
    if kind in _MEDIA_TYPES:
        return _media(stage, number, kind, given if isinstance(given, dict) else {})
    if kind == "contacts":
        return given or [{"name": {"formatted_name": phone.name, "first_name": phone.name}, "phones": []}]
    if kind == "location":
        return given or {"latitude": 52.52, "longitude": 13.405, "name": "Berlin"}
    if kind == "unsupported":
        return given or {"type": "unknown"}
    if kind == "interactive" and isinstance(given, dict):
        reply = given.get("nfm_reply")
        if isinstance(reply, dict) and not isinstance(reply.get("response_json"), str):
            reply["response_json"] = json.dumps(reply.get("response_json", {}))
        return given
    if kind == "request_welcome":
        return given or {}
    if not isinstance(given, dict):
        raise BadAct(f"{kind} needs an object of its own name")
    return given


def _media(stage: Stage, number: Number, kind: str, given: Wire) -> Wire:
    mime_type = str(given.get("mime_type") or _MEDIA_TYPES[kind])
    try:
        encoded = given.get("content_base64")
        content = (
            base64.b64decode(encoded, validate=True) if encoded else _PIXEL if kind == "image" else b"media"
        )
    except ValueError:
        raise BadAct("content_base64 is not base64") from None
    media = store_media(stage, number, mime_type, content, days=LIMITS["inbound_media_days"])
    media.filename = given.get("filename")
    shown: Wire = {
        "mime_type": mime_type,
        "sha256": base64.b64encode(bytes.fromhex(media.sha256_hex)).decode(),
        "id": media.id,
        "url": media_url(stage, media),
    }
    for name in ("caption", "filename", "voice", "animated"):
        if name in given:
            shown[name] = given[name]
    if kind == "audio":
        shown.setdefault("voice", False)
    if kind == "sticker":
        shown.setdefault("animated", False)
    return shown


def store_media(stage: Stage, number: Number | None, mime_type: str, content: bytes, *, days: int) -> Media:
    """Keep a file under a fresh id for so many days; uploads by handle belong to no number."""
    now = stage.clock.now()
    media = Media(
        id=stage.fresh_id(),
        number_id=number.id if number is not None else "",
        mime_type=mime_type,
        content=content,
        sha256_hex=hashlib.sha256(content).hexdigest(),
        stored_at=now,
        expires_at=now + timedelta(days=days),
    )
    stage.world.keep_media(media)
    return media


def media_url(stage: Stage, media: Media) -> str:
    """A download URL that lives five minutes."""
    until = int(stage.clock.now().timestamp()) + LIMITS["media_url_seconds"]
    return f"{stage.base_url}/_media/{media.id}?ext={until}&hash={seal_of(media, until)}"


def seal_of(media: Media, until: int) -> str:
    """What makes a download URL unguessable."""
    return hashlib.sha256(f"{media.id}/{media.sha256_hex}/{until}".encode()).hexdigest()[:24]


def _shown(kind: str, content: Any) -> str:
    if kind == "text":
        return str(content["body"])
    if kind == "button":
        return str(content.get("text", ""))
    if kind == "interactive":
        for name in ("button_reply", "list_reply"):
            if isinstance(content.get(name), dict):
                return str(content[name].get("title", ""))
        return "Answered the form"
    if kind == "contacts":
        return ", ".join(str(card.get("name", {}).get("formatted_name", "")) for card in content)
    if isinstance(content, dict):
        return str(
            content.get("caption")
            or content.get("name")
            or content.get("body")
            or content.get("filename")
            or ""
        )
    return ""


def _tapped(stage: Stage, number: Number, phone: Phone, what: str, wamid: str | None) -> Wire:
    """Find the button, row or quick reply the customer tapped, newest message first."""
    chat = [m for m in phone.chat(number.id) if m.direction == "out" and (wamid is None or m.wamid == wamid)]
    for message in reversed(chat):
        for option_id, title, make in options_of(message):
            if what in (option_id, title):
                return {**make(), "context_id": message.wamid}
    raise BadAct("no such button, row or quick reply in this chat")


def options_of(message: Message) -> list[tuple[str, str, Callable[[], Wire]]]:
    """What can be tapped on a message: id, title, and the answer it makes."""
    found: list[tuple[str, str, Callable[[], Wire]]] = []

    def reply(kind: str, option: Wire) -> Callable[[], Wire]:
        body = {key: option[key] for key in ("id", "title", "description") if option.get(key)}
        return lambda: {"type": "interactive", "interactive": {"type": kind, kind: body}}

    if message.type == "template" and message.rendered:
        for button in message.rendered.get("buttons", []):
            if button.get("type") == "quick_reply":
                payload, text = str(button.get("payload")), str(button.get("text"))
                answer: Wire = {"type": "button", "button": {"payload": payload, "text": text}}
                found.append((payload, text, lambda answer=answer: answer))  # type: ignore[misc]
    if message.type == "interactive" and isinstance(message.content.get("action"), dict):
        action, kind = message.content["action"], str(message.content.get("type")).lower()
        # only what the rules have looked at: other keys may hold anything
        buttons = list(action["buttons"]) if kind == "button" else []
        for card in action["cards"] if kind == "carousel" else []:
            buttons += (card.get("action") or {}).get("buttons") or []
        for button in buttons:
            option = button.get("reply") or button.get("quick_reply") or {}
            found.append((str(option.get("id")), str(option.get("title")), reply("button_reply", option)))
        for section in action["sections"] if kind == "list" else []:
            for row in section.get("rows") or []:
                found.append((str(row.get("id")), str(row.get("title")), reply("list_reply", row)))
    return found


def read_all(stage: Stage, number: Number, phone: Phone) -> int:
    """The customer opens the chat: everything delivered becomes read."""
    count = 0
    for message in list(phone.chat(number.id)):
        if message.direction == "out" and message.status == "delivered":
            advance(stage, number, phone, message, "read")
            count += 1
    return count


def play(stage: Stage, number: Number, phone: Phone, message: Message) -> None:
    """The customer plays a voice message."""
    advance(stage, number, phone, message, "read")
    advance(stage, number, phone, message, "played")


def set_online(stage: Stage, phone: Phone, online: bool) -> None:
    """Switch a phone on or off; what waited arrives."""
    phone.behaviour.online = online
    if online:
        come_online(stage, phone)


def change_number(stage: Stage, number: Number, phone: Phone, digits: str) -> None:
    """The person takes another number: a system message from the old one, then a new BSUID."""
    if stage.world.phone(digits) is not None:
        raise BadAct("another phone has this number")
    old_user_id, old_key = phone.user_id, phone.key
    now = stage.clock.now()
    line: Wire = {"from": phone.digits} if phone.digits else {}
    stage.world.rename_phone(phone, digits, stage.world.portfolio_of(number).id)
    line |= {
        "from_user_id": old_user_id,
        "id": stage.fresh_wamid(old_key, outbound=False),
        "timestamp": seconds_text(now),
        "type": "system",
        "system": {
            "body": f"User {phone.name} changed their phone number",
            "wa_id": digits,
            "user_id": phone.user_id,
            "previous_user_id": old_user_id,
            "type": "user_changed_number",
        },
    }
    for chat in phone.chats.values():
        for message in chat:
            message.phone_key = phone.key
    stage.world.touch()
    tell(stage, number, phone.key, "messages", inbound_value(number, phone, line, with_contact=False))
