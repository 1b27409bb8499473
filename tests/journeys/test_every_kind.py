"""Every kind of Meta's own examples goes out through `/v1/messages` and is taken at the other end.

The samples have the shape of the examples in Meta's OpenAPI file, placeholders included; here the placeholders are
given values, as a user would.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.journeys.house import House

from waypost.emulator import DEMO
from waypost.emulator.world import Template

SAMPLES = {
    case["name"]: case["body"]
    for case in json.loads((Path(__file__).parents[1] / "samples" / "meta_requests.json").read_text())
}
COMMANDS = {"read and typing"}
TEXT = {"type": "BODY", "text": "Hi {{1}}, {{2}} until {{3}}."}
HEADER = {"type": "HEADER", "format": "IMAGE"}
REPLIES = {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": str(n)} for n in range(3)]}
FLOW = {"type": "BUTTONS", "buttons": [{"type": "FLOW", "text": "Open"}]}
TEMPLATES: dict[str, list[dict[str, Any]]] = {
    "template with text parts": [TEXT],
    "template with a picture": [HEADER, TEXT],
    "template with quick replies": [HEADER, TEXT, REPLIES],
    "template with a flow": [{"type": "BODY", "text": "Please open."}, FLOW],
}


def plain(value: Any) -> Any:
    """Give placeholders a value."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, bool) and value:
        return value
    if isinstance(value, str):
        if value.startswith("http(s)"):
            return "https://files.example.org/file"
        if value.startswith("wamid."):
            return "wamid.HBgNNDkxNTU1MDAwMTExMRUCABEYEjAwMDAwMDAwMDAwMDAwMDAwMAA="
        if value == "<HEADER_TYPE>":
            return "text"
        return value.strip("<>{}") if value[:1] in "<{" else value
    return value


def as_draft(name: str, house: House, person: str, files: dict[str, str]) -> dict[str, Any]:
    body = plain(SAMPLES[name])
    for key in ("messaging_product", "recipient_type", "to", "recipient"):
        body.pop(key, None)
    kind = body.setdefault("type", "text")
    if kind in ("image", "audio", "video", "document", "sticker") and "id" in body[kind]:
        body[kind]["id"] = files[kind]
    if kind == "template":
        if name in TEMPLATES:
            body["template"]["name"] = name.replace(" ", "_")
            body["template"]["language"] = {"code": "en_US"}
        for component in body["template"].get("components", []):
            for parameter in component.get("parameters", []):
                if parameter.get("text") is True:
                    parameter["text"] = "true"
    return {"from": house.number["id"], "to": person, **body}


# The first bytes of a file of each kind: enough for whoever looks at what it is.
FILES = {
    "image": (
        "image/png",
        bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"),
    ),
    "audio": ("audio/mpeg", b"ID3\x04\x00\x00\x00\x00\x00\x00" + bytes(64)),
    "video": ("video/mp4", bytes.fromhex("0000001866747970") + b"mp42\x00\x00\x00\x00mp42isom" + bytes(64)),
    "document": ("application/pdf", b"%PDF-1.4\n%%EOF\n"),
    "sticker": ("image/webp", b"RIFF\x1a\x00\x00\x00WEBPVP8L" + bytes(18)),
}


async def upload(house: House) -> dict[str, str]:
    """Upload one file of each kind; gives our ids."""
    found: dict[str, str] = {}
    for kind, (mime_type, content) in FILES.items():
        reply = await house.api.call(
            "POST",
            "/v1/media",
            raw=content,
            query={"number_id": house.number["id"]},
            headers={"Content-Type": mime_type},
        )
        found[kind] = reply.ok(201)["id"]
    return found


async def define_templates(house: House) -> None:
    for order, (name, components) in enumerate(TEMPLATES.items(), start=900):
        template_id = str(594000000000000 + order)
        house.emulator.world.templates[template_id] = Template(
            id=template_id,
            waba_id=DEMO.waba_id,
            name=name.replace(" ", "_"),
            language="en_US",
            category="UTILITY",
            components=components,
            parameter_format="POSITIONAL",
            quality="GREEN",
        )
    await house.api.post("/v1/templates:sync", {"number_id": house.number["id"]})


@pytest.mark.asyncio(loop_scope="session")
async def test_every_kind_of_metas_examples_can_be_sent(house: House) -> None:
    await define_templates(house)
    files = await upload(house)
    outcomes: dict[str, str] = {}
    for name in sorted(SAMPLES.keys() - COMMANDS):
        person = house.person()
        draft = as_draft(name, house, person, files)
        if name == "reaction":
            draft["reaction"]["message_id"] = await house.send(person)
            await house.status(draft["reaction"]["message_id"], "read")
        reply = await house.api.call("POST", "/v1/messages", draft)
        if reply.status != 202:
            outcomes[name] = f"{reply.status} {reply.body}"
            continue
        detail = await house.status(
            reply.body["id"], "sent", "delivered", "read", "failed", "refused", "retrying", "unknown"
        )
        message = detail["message"]
        if message["status"] not in ("sent", "delivered", "read"):
            outcomes[name] = f"{message['status']} {message['failure']}"

    assert outcomes == {}
