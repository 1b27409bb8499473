"""Content: every kind of Meta's message objects is accepted, kept as it goes on the wire, and bounded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from waypost.domain.drafts import DraftError, content_kind, content_of, decode_draft

SAMPLES = Path(__file__).parent.parent / "samples" / "cloud_api"
ACCEPTED: dict[str, dict[str, Any]] = json.loads((SAMPLES / "outbound_content.json").read_text())


def draft(message: dict[str, Any]) -> bytes:
    return json.dumps({"from": "num_1", "to": "+4915112345678", **message}).encode()


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_kind_goes_on_the_wire_as_it_was_given(name: str) -> None:
    message = ACCEPTED[name]
    read = decode_draft(draft(message))
    assert content_kind(read) == message["type"]
    assert json.loads(content_of(read)) == message


@pytest.mark.parametrize("name", ACCEPTED)
def test_content_as_stored_reads_back_as_itself(name: str) -> None:
    stored = content_of(decode_draft(draft(ACCEPTED[name])))
    assert content_of(decode_draft(draft(json.loads(stored)))) == stored


def text(**fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": fields}


def interactive(kind: str, action: Any, **more: Any) -> dict[str, Any]:
    return {
        "type": "interactive",
        "interactive": {"type": kind, "body": {"text": "x"}, "action": action, **more},
    }


def buttons(*replies: tuple[str, str]) -> dict[str, Any]:
    return interactive(
        "button", {"buttons": [{"type": "reply", "reply": {"id": i, "title": t}} for i, t in replies]}
    )


def rows(*counts: int, titles: bool = True) -> dict[str, Any]:
    sections = []
    for section, count in enumerate(counts):
        entries = [{"id": f"{section}.{row}", "title": "t"} for row in range(count)]
        sections.append({"rows": entries} | ({"title": f"s{section}"} if titles else {}))
    return interactive("list", {"button": "Open", "sections": sections})


def media_card(index: int, quick_replies: int = 0, body: str = "b") -> dict[str, Any]:
    reply = {"type": "quick_reply", "quick_reply": {"id": "i", "title": "t"}}
    link = {"name": "cta_url", "parameters": {"display_text": "go", "url": "https://example.com"}}
    return {
        "card_index": index,
        "type": "cta_url",
        "header": {"type": "image", "image": {"link": "https://example.com/a.png"}},
        "body": {"text": body},
        "action": {"buttons": [reply] * quick_replies} if quick_replies else link,
    }


def product_card(index: int, catalog: str = "c") -> dict[str, Any]:
    return {
        "card_index": index,
        "type": "product",
        "action": {"product_retailer_id": str(index), "catalog_id": catalog},
    }


def carousel(*cards: dict[str, Any]) -> dict[str, Any]:
    return interactive("carousel", {"cards": list(cards)})


def template(*components: dict[str, Any], name: str = "order", code: str = "en_US") -> dict[str, Any]:
    return {
        "type": "template",
        "template": {"name": name, "language": {"code": code}, "components": list(components)},
    }


def flow(**parameters: Any) -> dict[str, Any]:
    given = {"flow_message_version": "3", "flow_cta": "Go", "flow_id": "1"} | parameters
    return interactive(
        "flow", {"name": "flow", "parameters": {k: v for k, v in given.items() if v is not None}}
    )


def button_component(**fields: Any) -> dict[str, Any]:
    given = {
        "type": "button",
        "sub_type": "url",
        "index": "0",
        "parameters": [{"type": "text", "text": "x"}],
    } | fields
    return {key: value for key, value in given.items() if value is not None}


CARD = {"name": {"formatted_name": "A", "first_name": "A"}}
TEXT_PARAMETER = {"type": "text", "text": "x"}

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (text(body=""), "text.body", "length >= 1"),
    (text(body="x" * 4097), "text.body", "length <= 4096"),
    (text(body=1), "text.body", "got `int`"),
    (text(body="x", colour="red"), "text.colour", "not known"),
    (text(), "text.body", "missing"),
    ({"type": "text"}, "text", "missing"),
    ({"type": "text", "text": {"body": "x"}, "image": {"id": "1"}}, "image", "not known"),
    ({"type": "image", "image": {}}, "image", "exactly one"),
    ({"type": "image", "image": {"id": "1", "link": "https://x.y"}}, "image", "exactly one"),
    ({"type": "image", "image": {"link": "ftp://x.y"}}, "image.link", "matching"),
    ({"type": "image", "image": {"id": "1", "caption": "x" * 1025}}, "image.caption", "1024"),
    ({"type": "audio", "audio": {"id": "1", "caption": "x"}}, "audio.caption", "not known"),
    ({"type": "sticker", "sticker": {"id": "1", "caption": "x"}}, "sticker.caption", "not known"),
    ({"type": "location", "location": {"latitude": 91, "longitude": 0}}, "location", "Latitude"),
    ({"type": "location", "location": {"latitude": "x", "longitude": 0}}, "location", "number"),
    ({"type": "location", "location": {"latitude": "nan", "longitude": 0}}, "location", "between"),
    ({"type": "location", "location": {"latitude": 1}}, "location.longitude", "missing"),
    ({"type": "reaction", "reaction": {"message_id": "wamid.1"}}, "reaction.emoji", "missing"),
    ({"type": "contacts", "contacts": []}, "contacts", "length >= 1"),
    ({"type": "contacts", "contacts": [CARD] * 258}, "contacts", "length <= 257"),
    (
        {"type": "contacts", "contacts": [{"name": {"formatted_name": "A"}}]},
        "contacts.0.name",
        "one more part",
    ),
    ({"type": "contacts", "contacts": [CARD | {"birthday": "1.2.1990"}]}, "contacts.0.birthday", "matching"),
    ({"type": "contacts", "contacts": [CARD | {"birthday": "1990-02-30"}]}, "contacts.0", "calendar"),
    (interactive("rainbow", {}), "interactive.type", "not one of those"),
    (buttons(), "interactive.action.buttons", "length >= 1"),
    (buttons(("1", "a"), ("2", "b"), ("3", "c"), ("4", "d")), "interactive.action.buttons", "length <= 3"),
    (buttons(("1", "a"), ("1", "b")), "interactive.action", "unique"),
    (buttons(("1", "a"), ("2", "a")), "interactive.action", "unique"),
    (buttons(("1", "a" * 21)), "interactive.action.buttons.0.reply.title", "<= 20"),
    (buttons(("1" * 257, "a")), "interactive.action.buttons.0.reply.id", "<= 256"),
    (rows(6, 5), "interactive.action", "rows in all"),
    (rows(1, 1, titles=False), "interactive.action", "`title`"),
    (rows(*[1] * 11), "interactive.action.sections", "<= 10"),
    (
        rows(1) | {"interactive": rows(1)["interactive"] | {"body": {"text": "x" * 4097}}},
        "interactive.body.text",
        "4096",
    ),
    (
        interactive("button", buttons(("1", "a"))["interactive"]["action"], footer={"text": "x" * 61}),
        "interactive.footer.text",
        "60",
    ),
    (
        interactive("list", rows(1)["interactive"]["action"], header={"type": "image", "image": {"id": "1"}}),
        "interactive.header.type",
        "not one of those",
    ),
    (
        interactive("cta_url", {"name": "cta_url", "parameters": {"display_text": "x"}}),
        "interactive.action.parameters.url",
        "missing",
    ),
    (interactive("location_request_message", {"name": "x"}), "interactive.action.name", "not one of those"),
    (
        interactive("location_request_message", {"name": "send_location"}, footer={"text": "x"}),
        "interactive.footer",
        "not known",
    ),
    (
        interactive("address_message", {"name": "address_message", "parameters": {"country": "DE"}}),
        "interactive.action.parameters.country",
        "not one of those",
    ),
    (
        interactive(
            "address_message",
            {
                "name": "address_message",
                "parameters": {"country": "IN", "values": {"in_pin_code": "1234567"}},
            },
        ),
        "interactive.action.parameters",
        "6 characters",
    ),
    (flow(flow_name="x"), "interactive.action.parameters", "exactly one"),
    (flow(flow_id=None), "interactive.action.parameters", "exactly one"),
    (flow(flow_message_version="2"), "interactive.action.parameters", "must be"),
    (flow(flow_cta="x" * 31), "interactive.action.parameters.flow_cta", "30"),
    (flow(mode="live"), "interactive.action.parameters.mode", "not one of those"),
    (
        interactive(
            "product_list",
            {"catalog_id": "1", "sections": [{"product_items": [{"product_retailer_id": "1"}]}]},
        ),
        "interactive.header",
        "missing",
    ),
    (
        interactive(
            "product_list",
            {
                "catalog_id": "1",
                "sections": [
                    {"title": t, "product_items": [{"product_retailer_id": "1"}] * 16} for t in ("a", "b")
                ],
            },
            header={"type": "text", "text": "x"},
        ),
        "interactive.action",
        "products in all",
    ),
    (carousel(media_card(0)), "interactive.action.cards", "length >= 2"),
    (carousel(media_card(0), media_card(0)), "interactive.action", "unique"),
    (carousel(media_card(0), media_card(1, quick_replies=1)), "interactive.action", "same kind"),
    (carousel(media_card(0, 1), media_card(1, 2)), "interactive.action", "same kind"),
    (carousel(product_card(0), product_card(1, "d")), "interactive.action", "one catalogue"),
    (
        carousel(media_card(0, body="a\nb\nc\nd"), media_card(1)),
        "interactive.action.cards.0.body",
        "line breaks",
    ),
    (carousel(media_card(0, body="x" * 161), media_card(1)), "interactive.action.cards.0.body.text", "160"),
    (
        carousel(product_card(0) | {"type": "cta_url"}, product_card(1)),
        "interactive.action.cards.0",
        "do not agree",
    ),
    (
        interactive("voice_call", {"name": "voice_call", "parameters": {"ttl_minutes": 43201}}),
        "interactive.action.parameters.ttl_minutes",
        "43200",
    ),
    (template(name="Order"), "template.name", "matching"),
    (template(code="english"), "template.language.code", "matching"),
    (template({"type": "tail"}), "template.components.0.type", "not one of those"),
    (template({"type": "body"}, {"type": "BODY"}), "template", "unique"),
    (template(button_component(), button_component()), "template", "unique"),
    (template(button_component(index=None)), "template.components.0", "`index`"),
    (template(button_component(index=10)), "template.components.0", "0 to 9"),
    (template(button_component(sub_type="copy_code")), "template.components.0", "does not fit"),
    (template({"type": "body", "index": 0}), "template.components.0", "button components"),
    (template({"type": "carousel"}), "template.components.0", "`cards`"),
    (
        template({"type": "body", "parameters": [{"type": "image", "image": {"id": "1"}}]}),
        "template.components.0",
        "does not fit",
    ),
    (
        template({"type": "body", "parameters": [TEXT_PARAMETER, {"type": "text"}]}),
        "template.components.0.parameters.1.text",
        "missing",
    ),
]


@pytest.mark.parametrize(("message", "field", "problem"), REFUSED)
def test_what_breaks_a_rule_is_refused_with_its_field(
    message: dict[str, Any], field: str, problem: str
) -> None:
    with pytest.raises(DraftError) as caught:
        decode_draft(draft(message))
    assert caught.value.field == field
    assert problem in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("message", "look", "kept"),
    [
        (
            template({"type": "BODY", "parameters": [TEXT_PARAMETER]}),
            lambda m: m["template"]["components"][0]["type"],
            "body",
        ),
        (
            template(button_component(type="BUTTON", sub_type="URL", index=0)),
            lambda m: [m["template"]["components"][0][key] for key in ("type", "sub_type", "index")],
            ["button", "url", "0"],
        ),
        (
            {
                "type": "template",
                "template": {"name": "a", "language": {"code": "de", "policy": "deterministic"}},
            },
            lambda m: m["template"]["language"],
            {"code": "de"},
        ),
        (
            {"type": "location", "location": {"latitude": "52.5", "longitude": 13}},
            lambda m: (m["location"]["latitude"], m["location"]["longitude"]),
            (52.5, 13.0),
        ),
        (
            flow(flow_message_version=3),
            lambda m: m["interactive"]["action"]["parameters"]["flow_message_version"],
            "3",
        ),
        (
            {"type": "image", "image": {"id": "1", "link": None, "caption": None}},
            lambda m: m["image"],
            {"id": "1"},
        ),
    ],
)
def test_spellings_that_mean_the_same_are_kept_as_one(
    message: dict[str, Any], look: Callable[[dict[str, Any]], Any], kept: Any
) -> None:
    assert look(json.loads(content_of(decode_draft(draft(message))))) == kept
