"""Wire bodies: the envelope is spliced around the stored content, byte for byte."""

import json
from typing import Any

import pytest

from waypost.transports.base import Recipient
from waypost.transports.cloud_api import payloads

PHONE = Recipient("phone", "+4915112345678")
CONTENT = '{"type":"text","text":{"body":"Grüße 👋"},"context":{"message_id":"wamid.A"}}'.encode()


@pytest.mark.parametrize(
    ("to", "named"),
    [(PHONE, {"to": "+4915112345678"}), (Recipient("bsuid", "US.1349"), {"recipient": "US.1349"})],
)
def test_a_message_is_its_content_in_an_envelope(to: Recipient, named: dict[str, str]) -> None:
    body = payloads.message_body(CONTENT, to, 'att_1"\\')
    assert json.loads(body) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **named,
        "biz_opaque_callback_data": 'att_1"\\',
        "type": "text",
        "text": {"body": "Grüße 👋"},
        "context": {"message_id": "wamid.A"},
    }
    assert body.endswith(CONTENT[1:])


@pytest.mark.parametrize(("content", "echo"), [(b"[]", "a"), (b"{}", "a"), (b"", "a"), (CONTENT, "a" * 513)])
def test_a_broken_promise_of_the_caller_is_refused(content: bytes, echo: str) -> None:
    with pytest.raises(ValueError, match="JSON object"):
        payloads.message_body(content, PHONE, echo)


READ = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (payloads.read_body("wamid.A"), READ),
        (payloads.read_body("wamid.A", typing=True), READ | {"typing_indicator": {"type": "text"}}),
        (payloads.register_body("123456"), {"messaging_product": "whatsapp", "pin": "123456"}),
        (
            payloads.register_body("123456", "DE"),
            {"messaging_product": "whatsapp", "pin": "123456", "data_localization_region": "DE"},
        ),
        (payloads.request_code_body("SMS", "en_US"), {"code_method": "SMS", "language": "en_US"}),
        (payloads.verify_code_body("123456"), {"code": "123456"}),
        (payloads.pin_body("123456"), {"pin": "123456"}),
        (payloads.subscribe_body(), {}),
        (
            payloads.subscribe_body("https://x.example", "v"),
            {"override_callback_uri": "https://x.example", "verify_token": "v"},
        ),
        (
            payloads.webhook_override_body("https://x.example", "v"),
            {"webhook_configuration": {"override_callback_uri": "https://x.example", "verify_token": "v"}},
        ),
        (
            payloads.template_body("a", "de", "UTILITY", [{"type": "BODY", "text": "x"}], "NAMED", 600),
            {
                "name": "a",
                "language": "de",
                "category": "UTILITY",
                "components": [{"type": "BODY", "text": "x"}],
                "parameter_format": "NAMED",
                "message_send_ttl_seconds": 600,
            },
        ),
        (
            payloads.template_body("a", "de", "MARKETING", []),
            {"name": "a", "language": "de", "category": "MARKETING", "components": []},
        ),
    ],
)
def test_a_command_s_body_is(body: bytes, expected: dict[str, Any]) -> None:
    assert json.loads(body) == expected
