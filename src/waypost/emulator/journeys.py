"""The life of a message after the accept: sent, delivered, read or failed, as the phone's owner behaves."""

from datetime import timedelta
from typing import Any

from waypost.emulator.envelopes import status_value
from waypost.emulator.faults import UPDATE_KINDS, Fault
from waypost.emulator.phone_state import Message, Phone, country_of
from waypost.emulator.stage import Stage
from waypost.emulator.tables import LIMITS
from waypost.emulator.webhooks import Update
from waypost.emulator.world import Number

Wire = dict[str, Any]
_RANK = {"accepted": 0, "sent": 1, "delivered": 2, "read": 3, "played": 4, "failed": 5}


def window_open(stage: Stage, phone: Phone, number: Number) -> bool:
    """Whether the customer service window with this phone is open."""
    if phone.behaviour.window != "auto":
        return phone.behaviour.window == "open"
    last_at = phone.last_inbound_at.get(number.id)
    return last_at is not None and stage.clock.now() - last_at < timedelta(
        hours=LIMITS["service_window_hours"]
    )


def failure_of(
    stage: Stage, number: Number, phone: Phone, message: Message, template_category: str | None
) -> int | None:
    """The code an accepted message fails with later, None when it goes through."""
    fault = stage.faults.strike(("failed_status",), phone_number_id=number.id, recipient=phone.key)
    if fault is not None:
        return fault.code
    behaviour = phone.behaviour
    if behaviour.failure_code is not None:
        return behaviour.failure_code
    if not behaviour.on_whatsapp:
        return 131026
    if behaviour.blocks_business:
        return 131026  # Meta does not tell a block from an unreachable phone
    if template_category == "MARKETING" and behaviour.stopped_marketing:
        return 131050
    if stage.strict and template_category == "MARKETING" and country_of(phone.digits or "") == "US":
        return 131049  # no marketing templates to US numbers since April 2025
    if message.type == "reaction":
        target = stage.world.messages.get(str(message.content.get("message_id")))
        # placeholders of examples aside, a reaction to the unknown is accepted and fails later
        too_old = timedelta(days=LIMITS["context_target_max_age_days"])
        if target is None or stage.clock.now() - target.at > too_old:
            return 131009
        return None
    if template_category is None and not window_open(stage, phone, number):
        return 131047
    return None


def set_out(
    stage: Stage, number: Number, phone: Phone, message: Message, template_category: str | None
) -> None:
    """Book what becomes of an accepted message."""
    failure = failure_of(stage, number, phone, message, template_category)
    pace = stage.pace
    if failure is not None:
        message.error_code = failure

        def fail() -> None:
            advance(stage, number, phone, message, "failed")

        stage.agenda.after(pace.sent_seconds, fail)
        return

    def sent() -> None:
        advance(stage, number, phone, message, "sent")
        if message.type == "reaction":
            arrive(stage, number, phone, message)
        else:
            stage.agenda.after(pace.delivered_seconds - pace.sent_seconds, delivered)

    def delivered() -> None:
        if phone.behaviour.online:
            arrive(stage, number, phone, message)
        else:
            phone.waiting.append(message)

    stage.agenda.after(pace.sent_seconds, sent)


def arrive(stage: Stage, number: Number, phone: Phone, message: Message) -> None:
    """The message reaches the phone."""
    if message.type == "reaction":
        target = stage.world.messages.get(str(message.content.get("message_id")))
        if target is not None:
            emoji = str(message.content.get("emoji") or "")
            if emoji:
                target.reactions["business"] = emoji
            else:
                target.reactions.pop("business", None)
            stage.world.touch()
        return
    phone.typing_until.pop(number.id, None)
    if stage.faults.strike(("skip_delivered",), phone_number_id=number.id, recipient=phone.key) is None:
        advance(stage, number, phone, message, "delivered")
    if phone.behaviour.auto_read_seconds is not None:

        def read() -> None:
            advance(stage, number, phone, message, "read")

        stage.agenda.after(phone.behaviour.auto_read_seconds, read)


def come_online(stage: Stage, phone: Phone) -> None:
    """What waited for a phone arrives."""
    while phone.waiting:
        message = phone.waiting.popleft()
        arrive(stage, stage.world.numbers[message.number_id], phone, message)


def advance(stage: Stage, number: Number, phone: Phone, message: Message, status: str) -> None:
    """Move a message forward and tell the app; never backward."""
    if _RANK[status] <= _RANK[message.status] or message.status == "failed":
        return
    message.status = status
    message.status_at[status] = stage.clock.now()
    stage.world.touch()
    tell(
        stage,
        number,
        phone.key,
        "messages",
        status_value(number, phone, message, status, stage.clock.now()),
        status,
    )


def tell(
    stage: Stage, number: Number, recipient: str | None, field: str, value: Wire, status: str | None = None
) -> None:
    """Queue an update, unless a fault delays, doubles, swaps, holds or swallows it."""
    update = Update(number.waba_id, field, value, stage.clock.now())
    fault = stage.faults.strike(
        UPDATE_KINDS, phone_number_id=number.id, recipient=recipient, edge=field, status=status
    )
    if fault is None:
        stage.webhooks.tell(update, number)
        return
    _mistell(stage, fault, update, number)


def _mistell(stage: Stage, fault: Fault, update: Update, number: Number) -> None:
    match fault.kind:
        case "webhook_hold":
            fault.held.append((update, number))
            stage.faults.active.setdefault(fault.id, fault)
        case "webhook_duplicate":
            for _ in range(1 + fault.times):
                stage.webhooks.tell(update, number)
        case "webhook_delay":
            stage.agenda.after(fault.seconds, lambda: stage.webhooks.tell(update, number))
        case "webhook_reorder":
            if fault.held:
                stage.webhooks.tell(update, number)
                stage.webhooks.tell(*fault.held.pop())
            else:
                fault.held.append((update, number))
                # a lone update is told in the end: a swap must not become a loss
                stage.agenda.after(fault.seconds or 2.0, lambda: release(stage, fault))
        case _:
            return


def put(stage: Stage, settings: Wire) -> Fault:
    """Put a fault in force; what a hold with an end keeps back is told at that end."""
    fault = stage.faults.add(settings)
    if fault.kind == "webhook_hold" and fault.until_at is not None:
        seconds = (fault.until_at - stage.clock.now()).total_seconds()
        stage.agenda.after(seconds, lambda: release(stage, fault))
    return fault


def release(stage: Stage, fault: Fault) -> None:
    """Tell what a fault held back."""
    while fault.held:
        stage.webhooks.tell(*fault.held.pop(0))
