"""Templates: kept as Meta lists them, told of in callbacks, and held against a draft before it is accepted."""

from typing import Any

import msgspec
import pytest
from tests.numbers.conftest import TENANT, House

from waypost.domain.content.templates import Template as Content
from waypost.domain.drafts import DraftError, decode_draft
from waypost.domain.errors import ProviderRefused, Unavailable
from waypost.emulator import DEMO
from waypost.numbers.preflight import class_of, preflight
from waypost.numbers.templates import NewTemplate
from waypost.store import number_news, templates
from waypost.store.engine import single
from waypost.store.senders import sending_number
from waypost.store.templates import Template
from waypost.store.transaction import Transaction

BODY = [
    {"type": "BODY", "text": "We expect you on {{1}}, see you then.", "example": {"body_text": [["Monday"]]}}
]


async def listed(house: House) -> dict[str, Template]:
    found = await house.store.read(templates.page, TENANT, None, None, 200)
    return {template.name: template for template in found}


async def test_all_templates_come_from_meta_page_by_page(house: House) -> None:
    for order in range(120):
        await _at_meta(house, f"many_{order:03d}")
    await house.add()
    await house.sync.step()
    found = await listed(house)
    assert len(found) == 127
    assert {"hello_world", "many_119"} <= found.keys()
    assert (await house.kinds()).count("template.synchronised") == 127


async def _at_meta(house: House, name: str) -> Any:
    world = house.emulator.world
    example = next(iter(world.templates.values()))
    made = type(example)(
        id=f"9{len(world.templates)}",
        waba_id=DEMO.waba_id,
        name=name,
        language="en_US",
        category="UTILITY",
        components=BODY,
    )
    world.templates[made.id] = made
    return made


async def test_a_second_synchronisation_writes_what_changed_only(house: House) -> None:
    await house.add()
    await house.sync.step()
    before = len(await house.events())
    await house.sync.step()
    house.clock.advance(3_601)
    await house.sync.step()
    assert len(await house.events()) == before
    world = house.emulator.world
    by_name = {template.name: template for template in world.templates.values()}
    by_name["hello_world"].status = "PAUSED"
    del world.templates[by_name["spring_offer"].id]
    await _at_meta(house, "fresh")
    house.clock.advance(3_601)
    await house.sync.step()
    kinds = [event.kind for event in (await house.events())[before:]]
    assert sorted(kinds) == ["template.removed", "template.synchronised", "template.synchronised"]
    found = await listed(house)
    assert found["hello_world"].status == "PAUSED"
    assert "spring_offer" not in found


@pytest.mark.parametrize("kind", ["html", "truncated", "empty"])
async def test_nonsense_in_place_of_a_list_removes_nothing(house: House, kind: str) -> None:
    await house.add()
    await house.sync.step()
    before = await listed(house)
    house.emulator.faults.add({"kind": kind, "edge": "message_templates", "accepted": False, "count": 1})
    house.clock.advance(3_601)
    await house.sync.step()
    assert await listed(house) == before


async def test_a_failed_synchronisation_is_tried_again_with_growing_distance(house: House) -> None:
    await house.add()
    fault = house.emulator.faults.add({"kind": "http", "http_status": 503, "edge": "message_templates"})
    await house.sync.step()
    await house.sync.step()
    assert fault.struck == 1
    house.clock.advance(61)
    await house.sync.step()
    house.clock.advance(61)
    await house.sync.step()
    assert fault.struck == 2


async def test_a_template_is_created_at_meta_first_and_deleted_there_first(house: House) -> None:
    number = await house.add()
    await house.sync.step()
    waba = await house.store.read(templates.waba_of, TENANT, number.waba_id)
    new = NewTemplate("reminder", "en_US", "UTILITY", BODY)
    made = await house.templates.create(waba, new, "operator")
    assert (made.status, made.name) == ("PENDING", "reminder")
    with pytest.raises(ProviderRefused):
        await house.templates.create(waba, new, "operator")
    house.clock.advance(1)
    await house.sync.synchronise(waba, "operator")
    assert "reminder" in await listed(house)
    gone = await house.templates.delete(made, False, "operator")
    assert gone == [made.id]
    with pytest.raises(ProviderRefused):
        await house.templates.delete(made, False, "operator")
    assert "reminder" not in await listed(house)


async def test_a_template_created_while_meta_is_read_is_not_taken_for_gone(house: House) -> None:
    number = await house.add()
    waba = await house.store.read(templates.waba_of, TENANT, number.waba_id)
    listed_at = house.clock.now()
    house.clock.advance(1)
    await house.templates.create(waba, NewTemplate("reminder", "en_US", "UTILITY", BODY), "operator")
    empty = templates.Synchronise(TENANT, number.waba_id, [], listed_at, "gateway", house.clock.now())
    done = await house.store.write(templates.synchronise, empty)
    assert done.removed == 0
    assert "reminder" in await listed(house)


@single
def _tell(tx: Transaction, news: number_news.News) -> bool:
    return templates.apply_change(tx, news.tenant_id, news.meta_waba_id, news.field, news.value, news.now)


@pytest.mark.parametrize(
    ("field", "value", "column", "told"),
    [
        ("message_template_status_update", {"event": "PAUSED", "reason": "NONE"}, "status", "PAUSED"),
        ("message_template_status_update", {"event": "REINSTATED"}, "status", "APPROVED"),
        ("message_template_status_update", {"new_quality_score": "RED"}, "quality", "RED"),
        ("message_template_quality_update", {"new_quality_score": "YELLOW"}, "quality", "YELLOW"),
        ("template_category_update", {"new_category": "MARKETING"}, "category", "MARKETING"),
        ("template_category_update", {"correct_category": "MARKETING"}, "category", "UTILITY"),
        ("message_template_components_update", {"message_template_element": "words"}, "status", "APPROVED"),
    ],
)
async def test_what_meta_tells_of_a_template_is_kept(
    house: House, field: str, value: dict[str, Any], column: str, told: str
) -> None:
    await house.add()
    await house.sync.step()
    template = (await listed(house))["hello_world"]
    named = {"message_template_id": int(template.meta_template_id), "message_template_name": "hello_world"}
    news = number_news.News(TENANT, DEMO.waba_id, field, {**named, **value}, house.clock.now())
    assert await house.store.write(_tell, news)
    assert getattr((await listed(house))["hello_world"], column) == told
    assert "words" not in repr(await house.events())


async def test_news_of_an_unknown_template_makes_its_waba_due(house: House) -> None:
    await house.add()
    await house.sync.step()
    made = await _at_meta(house, "fresh")
    value = {"event": "APPROVED", "message_template_id": int(made.id), "message_template_name": "fresh"}
    news = number_news.News(TENANT, DEMO.waba_id, "message_template_status_update", value, house.clock.now())
    assert await house.store.write(_tell, news)
    await house.sync.step()
    assert "fresh" in await listed(house)


async def test_another_tenants_news_changes_nothing(house: House) -> None:
    await house.add()
    await house.sync.step()
    value = {
        "event": "DISABLED",
        "message_template_name": "hello_world",
        "message_template_language": "en_US",
    }
    news = number_news.News("ten_2", DEMO.waba_id, "message_template_status_update", value, house.clock.now())
    assert not await house.store.write(_tell, news)
    assert (await listed(house))["hello_world"].status == "APPROVED"


def row(components: list[dict[str, Any]], **over: Any) -> Template:
    given: dict[str, Any] = {
        "id": "tpl_1", "tenant_id": TENANT, "waba_id": "wab_1", "meta_template_id": "1", "name": "t",
        "language": "en_US",
        "category": "UTILITY", "status": "APPROVED", "quality": None, "parameter_format": "POSITIONAL",
        "components": msgspec.json.encode(components), "reason": None, "synced_at": 0, "removed_at": None, "version": 1,
    }  # fmt: skip
    return Template(**(given | over))


def filled(components: list[dict[str, Any]]) -> Content:
    wire = {"name": "t", "language": {"code": "en_US"}, "components": components}
    return msgspec.json.decode(msgspec.json.encode(wire), type=Content)


def texts(*words: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": word} for word in words]


def button(index: int, sub_type: str, *parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "button", "sub_type": sub_type, "index": index, "parameters": list(parameters)}


ORDER = [
    {"type": "HEADER", "format": "IMAGE"},
    {"type": "BODY", "text": "Hi {{1}}, order {{2}} is here, {{1}}."},
    {
        "type": "BUTTONS",
        "buttons": [
            {"type": "URL", "text": "Track", "url": "https://shop.example/{{1}}"},
            {"type": "QUICK_REPLY", "text": "Stop"},
            {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+49"},
            {"type": "COPY_CODE", "text": "Copy"},
        ],
    },
]
IMAGE = {"type": "header", "parameters": [{"type": "image", "image": {"id": "1"}}]}
GOOD = [
    IMAGE,
    {"type": "body", "parameters": texts("Ada", "A-1")},
    button(0, "url", *texts("A-1")),
    button(3, "copy_code", {"type": "coupon_code", "coupon_code": "SAVE"}),
]
NAMED = [{"type": "BODY", "text": "Dear {{first_name}}, on {{day}}."}]
PAYLOAD = {"type": "payload", "payload": "x"}
CLIP = {"type": "header", "parameters": [{"type": "video", "video": {"id": "1"}}]}
NEWLINE = {"type": "body", "parameters": texts("a\nb", "c")}
CARDS = [
    {"type": "BODY", "text": "Look"},
    {"type": "CAROUSEL", "cards": [{"components": [{"type": "HEADER", "format": "IMAGE"}]}] * 2},
]


def card(index: int, *components: dict[str, Any]) -> dict[str, Any]:
    return {"card_index": index, "components": list(components)}


FAR = {"type": "carousel", "cards": [card(0, IMAGE), card(5, IMAGE)]}


@pytest.mark.parametrize(
    ("components", "given"),
    [
        (ORDER, GOOD),
        (ORDER, [*GOOD, button(1, "quick_reply", {"type": "payload", "payload": "stop"})]),
        ([{"type": "BODY", "text": "plain"}], []),
        ([{"type": "HEADER", "format": "GIF"}], [CLIP]),
        (CARDS, [{"type": "carousel", "cards": [card(0, IMAGE), card(1, IMAGE)]}]),
        ([{"type": "BODY", "text": "x"}, {"type": "BUTTONS", "buttons": [{"type": "NEW_KIND"}]}], []),
    ],
)  # fmt: skip
def test_a_fitting_message_has_no_problem(
    components: list[dict[str, Any]], given: list[dict[str, Any]]
) -> None:
    assert preflight(row(components), filled(given)) == []


def without(index: int) -> list[dict[str, Any]]:
    return GOOD[:index] + GOOD[index + 1 :]


@pytest.mark.parametrize(
    ("components", "given", "field"),
    [
        (ORDER, without(0), "template.components"),
        (ORDER, without(1), "template.components"),
        (ORDER, without(2), "template.components"),
        (ORDER, without(3), "template.components"),
        (ORDER, [{"type": "header", "parameters": texts("x")}, *without(0)], "template.components.0"),
        (ORDER, [*without(1), {"type": "body", "parameters": texts("Ada")}], "template.components.3"),
        (ORDER, [*without(1), NEWLINE], "template.components.3.parameters.0.text"),
        (ORDER, [*GOOD, button(2, "quick_reply", PAYLOAD)], "template.components.4"),
        (ORDER, [*GOOD, button(7, "quick_reply", PAYLOAD)], "template.components.4.index"),
        (ORDER, [*without(2), button(0, "quick_reply", PAYLOAD)], "template.components.3.sub_type"),
        (ORDER, [*without(2), button(0, "url")], "template.components.3"),
        ([{"type": "BODY", "text": "plain"}], [{"type": "body", "parameters": texts("x")}], "template.components.0"),
        ([{"type": "BODY", "text": "plain"}], [{"type": "header", "parameters": texts("x")}], "template.components.0"),
        (CARDS, [], "template.components"),
        (CARDS, [{"type": "carousel", "cards": [card(n, IMAGE) for n in range(3)]}], "template.components.0.cards"),
        (CARDS, [{"type": "carousel", "cards": [card(0, IMAGE), card(1)]}], "template.components.0.cards.1.components"),
        (CARDS, [FAR], "template.components.0.cards.1.card_index"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(
    components: list[dict[str, Any]], given: list[dict[str, Any]], field: str
) -> None:
    problems = preflight(row(components), filled(given))
    assert [problem.field for problem in problems] == [field]
    assert problems[0].remedy


@pytest.mark.parametrize(
    ("names", "count"),
    [(("first_name", "day"), 0), (("day", "first_name"), 0), (("first_name", "month"), 1), ((None, None), 1)],
)
def test_named_variables_are_matched_by_name(names: tuple[str | None, str | None], count: int) -> None:
    parameters = [
        {"type": "text", "text": "x"} | ({"parameter_name": name} if name is not None else {})
        for name in names
    ]
    given = filled([{"type": "body", "parameters": parameters}])
    assert len(preflight(row(NAMED, parameter_format="NAMED"), given)) == count


def test_numbered_variables_take_no_names() -> None:
    given = filled([{"type": "body", "parameters": [{"type": "text", "text": "x", "parameter_name": "a"}]}])
    (problem,) = preflight(row([{"type": "BODY", "text": "Hi {{1}} there"}]), given)
    assert "parameter_name" in problem.remedy


@pytest.mark.parametrize("status", ["PENDING", "REJECTED", "PAUSED", "DISABLED", "ARCHIVED", "SOMETHING_NEW"])
def test_a_template_that_may_not_be_sent_says_what_to_do(status: str) -> None:
    (problem,) = preflight(row(ORDER, status=status), filled(GOOD))
    assert problem.field == "template.name"
    assert status in problem.message
    assert problem.remedy


def test_an_authentication_template_without_text_takes_its_code() -> None:
    defined = row(
        [{"type": "BODY"}, {"type": "BUTTONS", "buttons": [{"type": "OTP", "text": "Copy"}]}],
        category="AUTHENTICATION",
    )
    good = [{"type": "body", "parameters": texts("123456")}, button(0, "url", *texts("123456"))]
    assert preflight(defined, filled(good)) == []
    assert len(preflight(defined, filled([]))) == 2


@pytest.mark.parametrize(
    ("category", "wanted"),
    [("AUTHENTICATION", "otp"), ("UTILITY", "utility"), ("MARKETING", "marketing"), ("NEW", "marketing")],
)
def test_a_category_stands_for_a_class(category: str, wanted: str) -> None:
    assert class_of(category) == wanted


def draft(name: str, language: str = "en_US", components: list[dict[str, Any]] | None = None) -> Any:
    wire = {
        "type": "template", "from": "num_1", "to": "+4915112345678",
        "template": {"name": name, "language": {"code": language}, "components": components or []},
    }  # fmt: skip
    return decode_draft(msgspec.json.encode(wire))


async def test_acceptance_asks_and_hears_the_class_or_the_field(house: House) -> None:
    number = await house.add()
    sender = await house.store.read(sending_number, TENANT, number.id)
    assert sender is not None
    # Before the first synchronisation nothing is known: Meta decides.
    assert await house.preflight.template(sender, draft("unheard_of")) == "utility"
    await house.sync.step()
    house.book.forget()
    assert await house.preflight.template(sender, draft("hello_world")) == "utility"
    for wrong, field in (
        (draft("unheard_of"), "template.name"),
        (draft("hello_world", "de"), "template.language.code"),
        (draft("order_update"), "template.components"),
    ):
        with pytest.raises(DraftError) as caught:
            await house.preflight.template(sender, wrong)
        assert caught.value.field == field


async def test_a_change_told_by_meta_reaches_acceptance_within_seconds(house: House) -> None:
    number = await house.add()
    await house.sync.step()
    sender = await house.store.read(sending_number, TENANT, number.id)
    assert sender is not None
    await house.preflight.template(sender, draft("hello_world"))
    template = (await listed(house))["hello_world"]
    value = {"event": "PAUSED", "message_template_id": int(template.meta_template_id)}
    news = number_news.News(TENANT, DEMO.waba_id, "message_template_status_update", value, house.clock.now())
    await house.store.write(_tell, news)
    house.clock.advance(5)
    with pytest.raises(DraftError, match="PAUSED"):
        await house.preflight.template(sender, draft("hello_world"))


async def test_an_unreachable_meta_is_told_as_such(house: House) -> None:
    number = await house.add()
    waba = await house.store.read(templates.waba_of, TENANT, number.waba_id)
    await house.emulator.stop()
    with pytest.raises(Unavailable):
        await house.sync.synchronise(waba, "operator")
