"""Wire bodies of the Cloud API, pure: bytes in, bytes out. Content is spliced in as it is stored, never re-parsed.

Numbers go with their plus sign: without it Meta puts the business's own country code in front.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from waypost.transports.base import Recipient

ECHO_CHARACTERS_MAX = 512  # biz_opaque_callback_data

_encode = msgspec.json.Encoder().encode


def message_body(content: bytes, to: Recipient, echo: str) -> bytes:
    """Write the body of a send from Meta's message object minus the envelope; receipts bring `echo` back.

    Raises `ValueError` when `content` is no JSON object or `echo` is too long: broken promises of the caller.
    """
    if not content.startswith(b"{") or len(content) < 3 or len(echo) > ECHO_CHARACTERS_MAX:
        raise ValueError("content must be a JSON object, and the echo at most 512 characters")
    key = b"to" if to.kind == "phone" else b"recipient"
    return b'{"messaging_product":"whatsapp","recipient_type":"individual","%b":%b,%b%b,%b' % (
        key,
        _encode(to.value),
        b'"biz_opaque_callback_data":',
        _encode(echo),
        content[1:],
    )


def read_body(provider_message_id: str, typing: bool = False) -> bytes:
    """Write the body that marks an inbound message as read, and shows typing when asked."""
    body: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": provider_message_id,
    }
    if typing:
        body["typing_indicator"] = {"type": "text"}
    return _encode(body)


def register_body(pin: str, data_localization_region: str | None = None) -> bytes:
    """Write the body that registers a number: a six-digit PIN, and where its messages rest (two letters)."""
    body = {"messaging_product": "whatsapp", "pin": pin}
    if data_localization_region is not None:
        body["data_localization_region"] = data_localization_region
    return _encode(body)


def request_code_body(method: Literal["SMS", "VOICE"], language: str) -> bytes:
    """Write the body that asks for a verification code."""
    return _encode({"code_method": method, "language": language})


def verify_code_body(code: str) -> bytes:
    """Write the body that gives the verification code back."""
    return _encode({"code": code})


def pin_body(pin: str) -> bytes:
    """Write the body that sets the two-step PIN of a number."""
    return _encode({"pin": pin})


def subscribe_body(override_callback_uri: str | None = None, verify_token: str | None = None) -> bytes:
    """Write the body that subscribes the app to a WABA, with a callback address of its own when given."""
    body = {"override_callback_uri": override_callback_uri, "verify_token": verify_token}
    return _encode({key: value for key, value in body.items() if value is not None})


def webhook_override_body(override_callback_uri: str, verify_token: str) -> bytes:
    """Write the body that gives one number a callback address of its own; an empty address takes it back."""
    override = {"override_callback_uri": override_callback_uri, "verify_token": verify_token}
    return _encode({"webhook_configuration": override})


def template_body(
    name: str,
    language: str,
    category: Literal["AUTHENTICATION", "MARKETING", "UTILITY"],
    components: Sequence[Mapping[str, Any]],
    parameter_format: Literal["POSITIONAL", "NAMED"] | None = None,
    message_send_ttl_seconds: int | None = None,
) -> bytes:
    """Write the body that creates a template; components as Meta defines them."""
    body: dict[str, Any] = {
        "name": name,
        "language": language,
        "category": category,
        "components": components,
    }
    if parameter_format is not None:
        body["parameter_format"] = parameter_format
    if message_send_ttl_seconds is not None:
        body["message_send_ttl_seconds"] = message_send_ttl_seconds
    return _encode(body)
