"""The control API of virtual phones: list, write, tap, read, behave, change number."""

from dataclasses import asdict, fields
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from waypost.emulator.control import Refused, asked, body_of, iso, number_of
from waypost.emulator.phone_acts import change_number, options_of, play, read_all, set_online, write
from waypost.emulator.phone_state import Behaviour, Message, Phone
from waypost.emulator.seed import DEMO
from waypost.emulator.stage import Stage
from waypost.emulator.world import Number

Wire = dict[str, Any]
_BEHAVIOURS = {field.name for field in fields(Behaviour)}
_PHONES_SHOWN_MAX = 500


def phone_of(stage: Stage, key: str) -> Phone:
    """A phone by digits or BSUID; one that does not exist yet is made."""
    wanted = key if "." in key else "".join(filter(str.isdigit, key))
    if not wanted:
        raise Refused("no such phone")
    return stage.world.phone_or_new(wanted, DEMO.portfolio_id)


def message_line(message: Message) -> Wire:
    """A message as the control API and the page show it."""
    return {
        "id": message.wamid,
        "direction": message.direction,
        "type": message.type,
        "text": message.text,
        "content": message.content,
        "rendered": message.rendered,
        "status": message.status,
        "at": iso(message.at),
        "status_at": {status: iso(at) for status, at in message.status_at.items()},
        "context_id": message.context_id,
        "error_code": message.error_code,
        "reactions": {who: emoji for who, emoji in message.reactions.items() if emoji},
        "options": [{"id": option_id, "title": title} for option_id, title, _ in options_of(message)],
    }


def phone_line(phone: Phone) -> Wire:
    """A phone as the control API shows it."""
    return {
        "key": phone.key,
        "digits": phone.digits,
        "user_id": phone.user_id,
        "name": phone.name,
        "username": phone.username,
        "behaviour": asdict(phone.behaviour),
        "waiting": len(phone.waiting),
        "chats": {
            number_id: {"messages": len(chat), "last": message_line(chat[-1]) if chat else None}
            for number_id, chat in phone.chats.items()
        },
    }


def behave(stage: Stage, phone: Phone, wanted: Wire) -> None:
    """Set how a phone behaves; unknown names are refused."""
    unknown = set(wanted) - _BEHAVIOURS
    if unknown:
        raise Refused(f"unknown behaviours: {', '.join(sorted(unknown))}")
    if wanted.get("window", "auto") not in ("auto", "open", "closed"):
        raise Refused("window must be auto, open or closed")
    for name, value in wanted.items():
        if name != "online":
            setattr(phone.behaviour, name, value)
    if "online" in wanted:
        set_online(stage, phone, bool(wanted["online"]))
    stage.world.touch()


def _named(stage: Stage, request: Request, body: Wire | None = None) -> tuple[Phone, Number]:
    asked_for = (body or {}).get("phone_number_id") or request.query_params.get("phone_number_id")
    return phone_of(stage, request.path_params["key"]), number_of(stage, asked_for)


def routes(stage: Stage) -> list[Route]:
    """All routes of this part."""
    world = stage.world

    async def show_all(_: Request) -> Wire:
        phones = sorted(world.phones.values(), key=_last_at, reverse=True)[:_PHONES_SHOWN_MAX]
        return {"version": world.version, "data": [phone_line(phone) for phone in phones]}

    async def add(request: Request) -> Wire:
        body = await body_of(request)
        key = str(body.get("user_id") if body.get("digits") is None else body["digits"])
        phone = phone_of(stage, key)
        phone.name = str(body.get("name") or phone.name)
        phone.username = body.get("username") or phone.username
        behave(stage, phone, body.get("behaviour") or {})
        return phone_line(phone)

    async def show(request: Request) -> Wire:
        return phone_line(phone_of(stage, request.path_params["key"]))

    async def chat(request: Request) -> Wire:
        phone, number = _named(stage, request)
        typing_until = phone.typing_until.get(number.id)
        return {
            "version": world.version,
            "phone": phone_line(phone),
            "number": {"id": number.id, "display": number.display, "verified_name": number.verified_name},
            "typing": typing_until is not None and typing_until > stage.clock.now(),
            "messages": [message_line(message) for message in phone.chat(number.id)],
        }

    return [
        Route("/phones", asked(show_all)),
        Route("/phones", asked(add), methods=["POST"]),
        Route("/phones/{key}", asked(show)),
        Route("/phones/{key}/chat", asked(chat)),
        *_act_routes(stage),
    ]


def _act_routes(stage: Stage) -> list[Route]:
    world = stage.world

    async def say(request: Request) -> Wire:
        body = await body_of(request)
        phone, number = _named(stage, request, body)
        return message_line(write(stage, number, phone, body))

    async def read(request: Request) -> Wire:
        phone, number = _named(stage, request, await body_of(request))
        return {"read": read_all(stage, number, phone)}

    async def played(request: Request) -> Wire:
        body = await body_of(request)
        phone, number = _named(stage, request, body)
        message = world.messages.get(str(body.get("message_id")))
        if message is None or message.direction != "out":
            raise Refused("no such message")
        play(stage, number, phone, message)
        return {"success": True}

    async def set_behaviour(request: Request) -> Wire:
        phone = phone_of(stage, request.path_params["key"])
        behave(stage, phone, await body_of(request))
        return phone_line(phone)

    async def move(request: Request) -> Wire:
        body = await body_of(request)
        phone, number = _named(stage, request, body)
        change_number(stage, number, phone, "".join(filter(str.isdigit, str(body["digits"]))))
        return phone_line(phone)

    return [
        Route("/phones/{key}/messages", asked(say), methods=["POST"]),
        Route("/phones/{key}/read", asked(read), methods=["POST"]),
        Route("/phones/{key}/played", asked(played), methods=["POST"]),
        Route("/phones/{key}/behaviour", asked(set_behaviour), methods=["POST"]),
        Route("/phones/{key}/number", asked(move), methods=["POST"]),
    ]


def _last_at(phone: Phone) -> str:
    return max((chat[-1].at.isoformat() for chat in phone.chats.values() if chat), default="")
