"""The `value` of webhooks: statuses, inbound messages, account events. Pure."""

from datetime import datetime
from typing import Any

from waypost.emulator.errors import webhook_error
from waypost.emulator.phone_state import Message, Phone
from waypost.emulator.world import Number, Template

Wire = dict[str, Any]


def seconds_text(at: datetime) -> str:
    """A timestamp as Meta writes it: seconds, as text."""
    return str(int(at.timestamp()))


def metadata(number: Number) -> Wire:
    """Whose webhook this is."""
    return {"display_phone_number": number.digits, "phone_number_id": number.id}


def contact_of(phone: Phone) -> Wire:
    """The `contacts` entry of a person, with what the person lets be seen."""
    profile: Wire = {"name": phone.name}
    if phone.username:
        profile["username"] = phone.username
    contact: Wire = {"profile": profile}
    if phone.shown_digits:
        contact["wa_id"] = phone.shown_digits
    contact["user_id"] = phone.user_id
    if phone.behaviour.identity_key_hash:
        contact["identity_key_hash"] = phone.behaviour.identity_key_hash
    return contact


def status_value(number: Number, phone: Phone, message: Message, status: str, at: datetime) -> Wire:
    """A value with one status of an outbound message."""
    line: Wire = {"id": message.wamid, "status": status, "timestamp": seconds_text(at)}
    if message.group_id:
        line["recipient_id"] = message.group_id
        line["recipient_type"] = "group"
    else:
        if phone.shown_digits:
            line["recipient_id"] = phone.shown_digits
        line["recipient_user_id"] = phone.user_id
    if message.echo is not None:
        line["biz_opaque_callback_data"] = message.echo
    if status in ("sent", "delivered"):
        line["pricing"] = {
            "billable": message.billable,
            "pricing_model": "PMP",
            "type": message.pricing_type,
            "category": message.pricing_category,
        }
    if status == "failed":
        line["errors"] = [webhook_error(131000 if message.error_code is None else message.error_code)]
    value: Wire = {"messaging_product": "whatsapp", "metadata": metadata(number)}
    if status in ("sent", "delivered", "read") and not message.group_id:
        value["contacts"] = [contact_of(phone)]
    value["statuses"] = [line]
    return value


def inbound_value(number: Number, phone: Phone, message: Wire, *, with_contact: bool = True) -> Wire:
    """A value with one inbound message."""
    value: Wire = {"messaging_product": "whatsapp", "metadata": metadata(number)}
    if with_contact:
        value["contacts"] = [contact_of(phone)]
    value["messages"] = [message]
    return value


def template_status_value(template: Template, event: str, reason: str) -> Wire:
    """The value of message_template_status_update; ids are numbers in webhooks."""
    return {
        "event": event,
        "message_template_id": int(template.id),
        "message_template_name": template.name,
        "message_template_language": template.language,
        "message_template_category": template.category,
        "reason": reason,
    }
