"""The walk to a live number finds what is still to do, and says how to go back."""

from tests.numbers.conftest import TENANT, House

from waypost.emulator import DEMO
from waypost.numbers.golive import Finding, GoLive
from waypost.store import numbers


async def walked(house: House, public_url: str | None = "https://gw.example.org") -> dict[str, Finding]:
    (number,) = await house.store.read(numbers.page, TENANT, None, 10)
    walk = GoLive(house.store, house.management, house.numbers, TENANT, number.id, public_url)
    results = await walk.walk()
    assert all(result.undo and result.title for result in results)
    return {result.name: result.finding for result in results}


async def test_a_fresh_number_is_told_what_is_to_do(house: House) -> None:
    await house.add()
    found = await walked(house, None)
    todo = {name for name, finding in found.items() if finding.state == "todo"}
    assert todo == {"callback", "heard", "templates"}
    assert all(finding.remedy for finding in found.values() if finding.state != "ok")


async def test_each_step_turns_as_meta_does(house: House) -> None:
    await house.add()
    await house.sync.step()
    at_meta = house.emulator.world.numbers[DEMO.number_id]
    at_meta.status, at_meta.code_verification_status = "PENDING", "NOT_VERIFIED"
    house.emulator.world.wabas[DEMO.waba_id].subscriptions.clear()
    found = await walked(house)
    for name in ("verified", "registered", "subscribed", "health"):
        assert found[name].state == "todo", name
    assert found["templates"].state == "ok"
    assert found["callback"].state == "ok"


async def test_a_dead_token_fails_the_steps_that_need_it(house: House) -> None:
    await house.add()
    house.token.state = "expired"
    found = await walked(house)
    for name in ("token", "number", "registered", "subscribed", "health"):
        assert found[name].state == "failed", name
    assert found["active"].state == "ok"


async def test_plain_http_is_not_reachable_for_meta(house: House) -> None:
    await house.add()
    assert (await walked(house, "http://gw.example.org"))["callback"].state == "todo"


async def test_a_paused_number_is_not_live(house: House) -> None:
    number = await house.add()
    await house.numbers.pause(TENANT, number.id, "not yet", "operator")
    assert "not yet" in (await walked(house))["active"].message
