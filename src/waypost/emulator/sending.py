"""POST /{phone}/messages: faults, checks, paces, the accept and its ledger line, the answer or a cut."""

import hashlib
from datetime import timedelta
from functools import partial
from typing import Any

from waypost.emulator.answers import Answer, Cut
from waypost.emulator.envelopes import status_value
from waypost.emulator.errors import GraphError
from waypost.emulator.faults import NONSENSE_KINDS, REFUSAL_KINDS, Fault
from waypost.emulator.journeys import set_out
from waypost.emulator.phone_state import Message, Phone
from waypost.emulator.rules import Checked, check_message
from waypost.emulator.stage import Stage
from waypost.emulator.tables import LIMITS
from waypost.emulator.webhooks import Update
from waypost.emulator.world import Accepted, Number

Wire = dict[str, Any]


def scoped_recipient(body: Wire) -> str | None:
    """The recipient of a request not yet checked, for the scope of faults."""
    to = body.get("to") or body.get("recipient")
    if not isinstance(to, str):
        return None if to is None else str(to)
    return to if "." in to else "".join(filter(str.isdigit, to))


async def before(stage: Stage, number_id: str | None, recipient: str | None, edge: str) -> None:
    """Let the faults strike that come before the request is looked at; latency first, then a refusal."""
    slow = stage.faults.strike(("latency",), phone_number_id=number_id, recipient=recipient, edge=edge)
    if slow is not None:
        await stage.clock.sleep(slow.seconds)
    fault = stage.faults.strike(REFUSAL_KINDS, phone_number_id=number_id, recipient=recipient, edge=edge)
    if fault is not None:
        _refuse(fault)


def _refuse(fault: Fault) -> None:
    headers = {"Retry-After": str(fault.retry_after_seconds)} if fault.retry_after_seconds is not None else {}
    if fault.kind == "drop_before":
        raise Cut
    if fault.kind == "http":
        raise Cut(
            Answer(
                b"<html><body>Sorry, try later.</body></html>", fault.http_status or 503, headers, "text/html"
            )
        )
    if fault.kind in NONSENSE_KINDS:
        raise Cut(nonsense_answer(fault, Answer.of({"messaging_product": "whatsapp", "contacts": []})))
    raise GraphError(
        fault.code, fault.details, subcode=fault.subcode, http_status=fault.http_status, headers=headers
    )


async def send(stage: Stage, number: Number, body: Wire, raw: bytes, *, marketing: bool = False) -> Answer:
    """Answer a POST to the messages edge."""
    recipient = scoped_recipient(body)
    if stage.faults.active:
        await before(stage, number.id, recipient, "messages")
    if (
        body.get("status") is not None
        and body.get("messaging_product") == "whatsapp"
        and "message_id" in body
    ):
        return _read(stage, number, body)
    if number.status != "CONNECTED":
        raise GraphError(133010, "The phone number is not registered.")
    checked = check_message(body, number, stage.world, strict=stage.strict)
    template = checked.rendered.template if checked.rendered else None
    category = template.category if template else None
    if checked.kind == "template" and category is None:
        category = "UTILITY"
    if marketing and category != "MARKETING":
        raise GraphError(134100, "This endpoint takes marketing templates only.")
    if category == "AUTHENTICATION" and "." in checked.recipient:
        raise GraphError(131062, "Authentication templates need a phone number.")
    stage.rates.spend_send(number, checked.recipient, stage.clock.now())
    portfolio_id = stage.world.portfolio_of(number).id
    phone = stage.world.phone_or_new(checked.recipient, portfolio_id)
    _check_identity(body, phone)
    if phone.key in number.blocked:
        raise GraphError(130403, "The business has blocked this user.")
    message = _accept(stage, number, phone, checked, category, raw)
    stage.world.touch()
    return await _answer(stage, number, phone, checked, message, category)


def _check_identity(body: Wire, phone: Phone) -> None:
    wanted = body.get("recipient_identity_key_hash")
    if wanted is not None and wanted != phone.behaviour.identity_key_hash:
        raise GraphError(137000, "The identity key hash of the recipient is another one.")


def _accept(
    stage: Stage, number: Number, phone: Phone, checked: Checked, category: str | None, raw: bytes
) -> Message:
    now = stage.clock.now()
    world = stage.world
    message = Message(
        wamid=stage.fresh_wamid(phone.digits or phone.key, outbound=True),
        number_id=number.id,
        phone_key=phone.key,
        direction="out",
        type=checked.kind,
        content=checked.content,
        at=now,
        text=checked.text,
        context_id=checked.context_id,
        echo=checked.echo,
        group_id=checked.recipient if checked.group else None,
        rendered=checked.rendered.shown if checked.rendered else None,
    )
    _price(stage, number, message, category)
    world.keep_message(message)
    if checked.kind != "reaction":
        phone.chat(number.id).append(message)
    world.record(
        Accepted(
            seq=world.accepted_count + 1,
            wamid=message.wamid,
            phone_number_id=number.id,
            recipient=checked.recipient,
            type=checked.kind,
            biz_opaque_callback_data=checked.echo,
            body_sha256=hashlib.sha256(raw).hexdigest(),
            at=now,
        )
    )
    return message


def _price(stage: Stage, number: Number, message: Message, category: str | None) -> None:
    """Per-message pricing as of 1 October 2026: free-form messages are billed after a monthly allowance."""
    if category is not None:
        message.pricing_category = category.lower()
        return
    message.pricing_category = "service"
    month = f"{message.at:%Y-%m}"
    used = number.free_form_sends[month] = number.free_form_sends.get(month, 0) + 1
    if used <= LIMITS["service_free_per_month"]:
        message.pricing_type, message.billable = "free_customer_service", False


async def _answer(
    stage: Stage, number: Number, phone: Phone, checked: Checked, message: Message, category: str | None
) -> Answer:
    contact: Wire = {"input": checked.entered}
    if checked.group:
        contact["wa_id"] = checked.recipient
    else:
        if phone.shown_digits:
            contact["wa_id"] = phone.shown_digits
        if "." in checked.recipient or not phone.shown_digits:
            contact["user_id"] = phone.user_id
    line: Wire = {"id": message.wamid}
    if checked.group:
        line["group_id"] = checked.recipient
    if checked.kind == "template":
        template = checked.rendered.template if checked.rendered else None
        line["message_status"] = template.send_status if template else "accepted"
    answer = Answer.of({"messaging_product": "whatsapp", "contacts": [contact], "messages": [line]})
    if not stage.faults.active:
        set_out(stage, number, phone, message, category)
        return answer
    strike = partial(stage.faults.strike, phone_number_id=number.id, recipient=phone.key)
    first = strike(("status_first",))
    if first is not None:
        await _status_first(stage, number, phone, message)
    set_out(stage, number, phone, message, category)
    slow = strike(("latency_after",))
    if slow is not None:
        await stage.clock.sleep(slow.seconds)
    if strike(("drop_after",)) is not None:
        raise Cut
    nonsense = strike(NONSENSE_KINDS, accepted=True)
    return answer if nonsense is None else nonsense_answer(nonsense, answer)


async def _status_first(stage: Stage, number: Number, phone: Phone, message: Message) -> None:
    now = stage.clock.now()
    message.status = "sent"
    message.status_at["sent"] = now
    value = status_value(number, phone, message, "sent", now)
    await stage.webhooks.tell_now(Update(number.waba_id, "messages", value, now), number)


def nonsense_answer(fault: Fault, answer: Answer) -> Answer:
    """What a proxy or a broken front end would say instead of the answer."""
    if fault.kind == "html":
        return Answer(b"<!DOCTYPE html><html><body><h1>It works!</h1></body></html>", 200, {}, "text/html")
    if fault.kind == "empty":
        return Answer(b"", 200, {}, "application/json")
    return Answer(answer.body[: max(1, len(answer.body) // 2)], 200, {}, "application/json")


def _read(stage: Stage, number: Number, body: Wire) -> Answer:
    if body["status"] != "read":
        raise GraphError(131009, "Parameter value is not valid: status must be read")
    message = stage.world.messages.get(str(body["message_id"]))
    if message is None or message.direction != "in" or message.number_id != number.id:
        if stage.strict or (message is not None):
            raise GraphError(131009, "Parameter value is not valid: message_id is not an inbound message")
        return Answer.of({"success": True})
    phone = stage.world.phone(message.phone_key)
    if phone is not None:
        for earlier in phone.chat(number.id):
            if earlier.direction == "in":
                earlier.status = "read"
                earlier.status_at.setdefault("read", stage.clock.now())
            if earlier is message:
                break
        if isinstance(body.get("typing_indicator"), dict):
            _type(stage, number, phone)
        stage.world.touch()
    return Answer.of({"success": True})


def _type(stage: Stage, number: Number, phone: Phone) -> None:
    phone.typing_until[number.id] = stage.clock.now() + timedelta(seconds=25)
    stage.agenda.after(25, stage.world.touch)
