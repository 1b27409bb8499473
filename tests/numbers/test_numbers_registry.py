"""A number's life, checked with the emulator: added, refused, paused, its token rotated, registered, removed."""

import msgspec
import pytest
from tests.numbers.conftest import TENANT, House, facts_of

from waypost.domain.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    ProviderRefused,
    Unavailable,
    WaypostError,
)
from waypost.domain.times import to_ms
from waypost.emulator import DEMO
from waypost.emulator.seed import add_number
from waypost.emulator.world import Token
from waypost.store import number_news, numbers
from waypost.store.engine import single
from waypost.store.transaction import Transaction


async def test_an_added_number_is_what_meta_says_of_it(house: House) -> None:
    number = await house.add()
    assert (number.phone, number.verified_name, number.state) == (
        f"+{DEMO.number_digits}",
        "Waypost Demo",
        "active",
    )
    assert (number.throughput_level, number.pace_per_second) == ("STANDARD", 80)
    assert number.messaging_limit == "TIER_2K"
    assert await house.kinds() == ["portfolio.added", "app.added", "waba.added", "number.added"]


async def test_no_secret_is_in_the_journal_or_in_a_repr(house: House) -> None:
    new = house.new_number()
    item = await house.numbers.check(new, "operator")
    await house.numbers.add(new, "operator")
    written = msgspec.json.encode(await house.events()).decode()
    for secret in (DEMO.access_token, DEMO.app_secret, DEMO.verify_token):
        assert secret not in written + repr(new) + repr(item) + repr(item.belongs)
    (row,) = await house.store.read(lambda reading: reading.rows("SELECT token FROM numbers"))
    assert DEMO.access_token.encode() not in row[0]


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"token": "EAAwrong"}, "token"),
        ({"phone_number_id": "999"}, "phone_number_id"),
        ({"waba_id": "999"}, "waba_id"),
        ({"app_id": "123"}, "app_id"),
        ({"app_secret": None}, "app_secret"),
        ({"verify_token": None}, "verify_token"),
        ({"base_url": "ftp://example.org"}, "base_url"),
        ({"base_url": "https://user@example.org"}, "base_url"),
        ({"verify": False}, "app_id"),
    ],
)
async def test_what_is_wrong_with_a_new_number_is_named(
    house: House, over: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await house.add(**over)
    assert caught.value.field == field
    assert await house.kinds() == []


async def test_an_expired_token_is_refused_at_adding(house: House) -> None:
    house.token.state = "expired"
    with pytest.raises(InvalidRequest) as caught:
        await house.add()
    assert (caught.value.field, caught.value.code) == ("token", "token_refused")


async def test_a_number_is_added_once(house: House) -> None:
    await house.add()
    with pytest.raises(Conflict):
        await house.add()


async def test_a_second_number_shares_app_waba_and_portfolio(house: House) -> None:
    first = await house.add()
    _second(house)
    second = await house.add(phone_number_id="777", app_secret=None, verify_token=None)
    assert (first.app_id, first.waba_id, first.portfolio_id) == (
        second.app_id,
        second.waba_id,
        second.portfolio_id,
    )
    assert (await house.kinds()).count("number.added") == 2


def _second(house: House) -> None:
    add_number(house.emulator.world, "777", DEMO.waba_id, "4915550000002", "Second")


async def test_a_new_app_secret_takes_the_place_of_the_old_one(house: House) -> None:
    await house.add()
    _second(house)
    await house.add(phone_number_id="777", app_secret="another-secret")
    assert facts_of(await house.events(), "app.changed") == [{"changed": ["secret"]}]


async def test_without_verifying_nothing_is_asked_of_meta(house: House) -> None:
    await house.emulator.stop()
    number = await house.add(verify=False, app_id=DEMO.app_id, business_id=DEMO.portfolio_id)
    assert number.health_at is None


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "html", "edge": "*", "accepted": False}, WaypostError),
        ({"kind": "drop_before", "edge": "*"}, Unavailable),
        ({"kind": "error", "code": 2, "edge": "*"}, WaypostError),
    ],
)
async def test_a_meta_that_stumbles_adds_nothing(house: House, fault: dict[str, object], error: type) -> None:
    house.emulator.faults.add(fault)
    with pytest.raises(error):
        await house.add()
    assert await house.kinds() == []


async def test_a_paused_number_resumes_and_each_step_is_told(house: House) -> None:
    number = await house.add()
    paused = await house.numbers.pause(TENANT, number.id, "holiday", "operator")
    again = await house.numbers.pause(TENANT, number.id, "holiday", "operator")
    resumed = await house.numbers.resume(TENANT, number.id, None, "operator")
    assert [paused.state, paused.state_reason, again.version, resumed.state] == [
        "paused",
        "holiday",
        2,
        "active",
    ]
    assert (await house.kinds())[-2:] == ["number.paused", "number.resumed"]


async def test_a_lane_that_stops_does_not_lift_a_pause(house: House) -> None:
    number = await house.add()
    await house.numbers.pause(TENANT, number.id, "mine", "operator")
    stop = numbers.SetState(TENANT, number.id, "stopped", "190", "gateway", house.clock.now())
    after = await house.store.write(numbers.set_state, stop)
    assert (after.state, after.state_reason) == ("paused", "mine")


async def test_a_rotated_token_is_tried_first_and_used_at_once(house: House) -> None:
    number = await house.add()
    before = await house.access.access_of(number.id)
    with pytest.raises(InvalidRequest):
        await house.numbers.rotate_token(TENANT, number.id, "EAAwrong", "operator")
    assert (await house.access.access_of(number.id)).token == before.token
    house.emulator.world.tokens["EAAnew"] = Token("EAAnew", DEMO.app_id)
    await house.numbers.rotate_token(TENANT, number.id, "EAAnew", "operator")
    assert (await house.access.access_of(number.id)).token == "EAAnew"
    assert facts_of(await house.events(), "number.changed") == [{"changed": ["token"]}]


async def test_a_token_rotated_by_another_process_is_seen_within_seconds(house: House) -> None:
    number = await house.add()
    await house.access.access_of(number.id)
    item = numbers.RotateToken(TENANT, number.id, "EAAother", "operator", house.clock.now())
    await house.store.write(numbers.rotate_token, item)
    assert (await house.access.access_of(number.id)).token == DEMO.access_token
    house.clock.advance(6)
    assert (await house.access.access_of(number.id)).token == "EAAother"


async def test_a_removed_number_has_no_token_and_can_be_added_again(house: House) -> None:
    number = await house.add()
    removed = await house.numbers.remove(TENANT, number.id, "operator")
    assert removed.state == "removed"
    with pytest.raises(NotFound):
        await house.access.access_of(number.id)
    with pytest.raises(Conflict):
        await house.numbers.pause(TENANT, number.id, None, "operator")
    (row,) = await house.store.read(lambda reading: reading.rows("SELECT token FROM numbers"))
    assert row[0] == b""
    assert (await house.add()).id != number.id


async def test_another_tenants_number_is_not_found(house: House) -> None:
    number = await house.add()
    for wanted in (
        house.numbers.pause("ten_2", number.id, None, "operator"),
        house.numbers.remove("ten_2", number.id, "operator"),
        house.numbers.refresh("ten_2", number.id, "operator"),
        house.numbers.rotate_token("ten_2", number.id, "x", "operator"),
    ):
        with pytest.raises(NotFound):
            await wanted
    assert await house.store.read(numbers.page, "ten_2", None, 10) == []


async def test_code_registration_and_its_way_back_reach_meta(house: House) -> None:
    number = await house.add()
    at_meta = house.emulator.world.numbers[DEMO.number_id]
    at_meta.status, at_meta.code_verification_status = "PENDING", "NOT_VERIFIED"
    with pytest.raises(ProviderRefused):
        await house.numbers.register(TENANT, number.id, "123456", None, "operator")
    await house.numbers.request_code(TENANT, number.id, "SMS", "en_US")
    await house.numbers.verify_code(TENANT, number.id, "123456")
    registered = await house.numbers.register(TENANT, number.id, "654321", "DE", "operator")
    assert (at_meta.status, at_meta.pin, at_meta.localization_region) == ("CONNECTED", "654321", "DE")
    assert msgspec.json.decode(registered.health)["status"] == "CONNECTED"
    left = await house.numbers.deregister(TENANT, number.id, "operator")
    assert msgspec.json.decode(left.health)["can_send_message"] == "BLOCKED"


async def test_the_app_is_subscribed_and_unsubscribed(house: House) -> None:
    number = await house.add()
    subscriptions = house.emulator.world.wabas[DEMO.waba_id].subscriptions
    await house.numbers.unsubscribe(TENANT, number.id)
    assert subscriptions == {}
    await house.numbers.subscribe(TENANT, number.id, None)
    assert list(subscriptions) == [DEMO.app_id]
    # Nobody answers the handshake there: Meta refuses the override.
    with pytest.raises(ProviderRefused):
        await house.numbers.subscribe(TENANT, number.id, "http://127.0.0.1:1/callbacks/app")


async def test_health_is_refreshed_when_due_and_journalled_on_change_only(house: House) -> None:
    number = await house.add()
    before = await house.kinds()
    await house.health.step()
    house.clock.advance(901)
    await house.health.step()
    assert await house.kinds() == before
    at_meta = house.emulator.world.numbers[DEMO.number_id]
    at_meta.quality_rating, at_meta.throughput = "RED", "HIGH"
    house.emulator.world.portfolios[DEMO.portfolio_id].messaging_limit = "TIER_10K"
    house.clock.advance(901)
    await house.health.step()
    found = await house.store.read(numbers.get, TENANT, number.id)
    assert (found.quality_rating, found.pace_per_second, found.health_at) == (
        "RED",
        1_000,
        to_ms(house.clock.now()),
    )
    assert (await house.kinds())[len(before) :] == ["portfolio.changed", "number.refreshed"]


async def test_a_dead_token_shows_in_health_once(house: House) -> None:
    number = await house.add()
    house.token.state = "expired"
    for _ in range(3):
        house.clock.advance(901)
        await house.health.step()
    found = await house.store.read(numbers.get, TENANT, number.id)
    assert msgspec.json.decode(found.health)["code"] == 190
    assert (await house.kinds()).count("number.refreshed") == 1


async def test_a_meta_outage_leaves_health_as_it_was_and_is_asked_again_later(house: House) -> None:
    await house.add()
    before = await house.kinds()
    fault = house.emulator.faults.add({"kind": "http", "http_status": 503, "edge": "*"})
    house.clock.advance(901)
    await house.health.step()
    await house.health.step()
    assert fault.struck == 1
    house.clock.advance(61)
    await house.health.step()
    assert fault.struck == 2
    assert await house.kinds() == before


@single
def _tell(tx: Transaction, news: number_news.News) -> bool:
    return number_news.apply_change(tx, news.tenant_id, news.meta_waba_id, news.field, news.value, news.now)


@pytest.mark.parametrize(
    ("field", "value", "kinds"),
    [
        (
            "phone_number_quality_update",
            {"display_phone_number": DEMO.number_digits, "event": "THROUGHPUT_UPGRADE"},
            ["number.changed"],
        ),
        (
            "phone_number_quality_update",
            {
                "display_phone_number": "+49 1555 0000001",
                "event": "UPGRADE",
                "max_daily_conversations_per_business": 10_000,
            },
            ["number.changed", "portfolio.changed"],
        ),
        (
            "phone_number_name_update",
            {
                "display_phone_number": DEMO.number_digits,
                "decision": "APPROVED",
                "requested_verified_name": "New",
            },
            ["number.changed"],
        ),
        (
            "account_update",
            {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}},
            ["waba.changed"],
        ),
        (
            "account_alerts",
            {"alert_info": {"alert_type": "X", "alert_description": "words"}},
            ["waba.changed"],
        ),
        (
            "business_capability_update",
            {"max_daily_conversations_per_business": -1},
            ["portfolio.changed", "waba.changed"],
        ),
        (
            "security",
            {"display_phone_number": DEMO.number_digits, "event": "PIN_CHANGED"},
            ["number.changed"],
        ),
        ("phone_number_quality_update", {"display_phone_number": "000", "event": "UPGRADE"}, []),
        ("messages", {}, []),
    ],
)
async def test_what_meta_tells_of_accounts_is_kept(
    house: House, field: str, value: dict[str, object], kinds: list[str]
) -> None:
    await house.add()
    before = len(await house.events())
    news = number_news.News(TENANT, DEMO.waba_id, field, value, house.clock.now())
    assert await house.store.write(_tell, news) is bool(kinds)
    events = (await house.events())[before:]
    assert [event.kind for event in events] == kinds
    assert "words" not in repr(events)


async def test_versions_in_the_journal_are_contiguous(house: House) -> None:
    number = await house.add()
    await house.numbers.pause(TENANT, number.id, None, "operator")
    await house.numbers.resume(TENANT, number.id, None, "operator")
    await house.numbers.remove(TENANT, number.id, "operator")
    versions = [event.version for event in await house.events() if event.aggregate_id == number.id]
    assert versions == [1, 2, 3, 4]
