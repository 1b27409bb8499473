"""What becomes of a queue's message, whatever the broker: a plain list stands in for one."""

import json
from datetime import timedelta

import pytest
from tests.queues.house import LIMITS, furnish

from waypost.domain.errors import Busy, CapabilityMissing, ProviderRefused, Unavailable, WaypostError
from waypost.queues.base import Received
from waypost.queues.ingress import Limits, ascii_json
from waypost.store import keys


class Tray:
    """A queue in memory: what is given back comes again."""

    def __init__(self) -> None:
        self.waiting: list[Received] = []
        self.dead: list[tuple[Received, dict]] = []
        self.delays: list[float] = []

    def put(self, body: bytes, key: str | None = "k") -> None:
        self.waiting.append(Received(body, key, f"tray:{len(self.waiting)}", None))

    async def receive(self, limit, wait_seconds):
        found, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return found

    async def done(self, received):
        pass

    async def later(self, received, delay_seconds):
        self.waiting.append(received)
        self.delays.append(delay_seconds)

    async def bury(self, received, problem):
        self.dead.append((received, json.loads(problem)))

    async def close(self):
        pass


@pytest.fixture
async def house(tmp_path):
    return await furnish(tmp_path)


async def test_what_cannot_be_taken_now_waits_as_long_as_it_was_told(house):
    tray = Tray()
    ingress = house.ingress(tray)
    tray.put(house.draft("a"))
    house.faults = [Unavailable("no"), Busy("full", retry_after_seconds=7)] + [Unavailable("no")] * 20
    assert [await ingress.step() for _ in range(22)] == [1.0, 7.0] + [1.0] * 20
    assert tray.delays[:2] == [1.0, 7.0]
    assert await ingress.step() == 0.0
    assert await house.texts() == ["a"]
    assert ingress.counts == {"taken": 1, "repeated": 0, "later": 22, "buried": 0}


@pytest.mark.parametrize("fault", [ProviderRefused("Meta said no"), WaypostError("a bug")])
async def test_a_fault_of_no_reason_of_its_own_is_tried_ten_times_and_then_a_dead_letter(house, fault):
    tray = Tray()
    ingress = house.ingress(tray)
    tray.put(house.draft("a"))
    house.faults = [fault] * 10
    for _ in range(10):
        await ingress.step()
    assert ingress.counts == {"taken": 0, "repeated": 0, "later": 9, "buried": 1}
    assert [problem["code"] for _, problem in tray.dead] == [fault.code]


async def test_an_unexpected_exception_tells_nothing_of_its_inside(house):
    async def take(draft, who, claim):
        raise RuntimeError("+4915550001111 said hello")

    tray = Tray()
    ingress = house.ingress(tray, take=take)
    tray.put(house.draft("a"))
    for _ in range(10):
        await ingress.step()
    ((_, problem),) = tray.dead
    assert problem["code"] == "internal"
    assert "hello" not in json.dumps(problem)


async def test_one_refusal_holds_up_none_of_its_batch(house):
    tray = Tray()
    ingress = house.ingress(tray)
    for index in range(5):
        tray.put(house.draft(f"text {index}"), f"k{index}")
    house.faults = [CapabilityMissing("not here")]
    await ingress.step()
    assert (await house.texts(), len(tray.dead)) == ([f"text {index}" for index in range(1, 5)], 1)


CASES = (
    (b"{}", None, LIMITS, "message_key_missing"),
    (b"{}", "", LIMITS, "bad_idempotency_key"),
    (b" " * 101, "k", Limits(10, 100, timedelta(hours=1)), "too_large"),
)


@pytest.mark.parametrize(("body", "key", "limits", "code"), CASES)
async def test_what_can_never_be_taken_is_a_dead_letter(house, body, key, limits, code):
    tray = Tray()
    tray.put(body, key)
    await house.ingress(tray, limits).step()
    assert [problem["code"] for _, problem in tray.dead] == [code]


async def test_a_key_of_the_queue_and_of_a_request_is_the_same_key(house):
    from waypost.store.idempotency import claim_of

    claims = []

    async def take(draft, who, claim):
        claims.append(claim)
        raise Busy("later")

    tray, body = Tray(), house.draft("a")
    tray.put(body, "same")
    await house.ingress(tray, take=take).step()
    expires_at = house.clock.now() + LIMITS.retention
    assert claims == [claim_of("ten_1", "same", "POST", "/v1/messages", b"", body, expires_at)]


async def test_a_revoked_key_stops_the_source_and_buries_nothing(house):
    tray = Tray()
    tray.put(house.draft("a"))
    ingress = house.ingress(tray)
    await house.store.write(keys.revoke, keys.Revoke("ten_1", house.key_id, "operator", house.clock.now()))
    with pytest.raises(Unavailable) as caught:
        await ingress.step()
    assert caught.value.code == "queue_key_unusable"
    assert (len(tray.waiting), tray.dead) == (1, [])


async def test_a_key_without_the_scope_stops_the_source(tmp_path):
    house = await furnish(tmp_path, scopes=("events:read",))
    with pytest.raises(Unavailable) as caught:
        await house.ingress(Tray()).step()
    assert caught.value.code == "queue_key_lacks_scope"


async def test_a_rotated_key_is_followed_to_its_successor(house):
    item = keys.Rotate("ten_1", house.key_id, b"e" * 32, timedelta(hours=1), "operator", house.clock.now())
    await house.store.write(keys.rotate, item)
    house.clock.advance(7200)
    tray = Tray()
    tray.put(house.draft("a"))
    await house.ingress(tray).step()
    assert await house.texts() == ["a"]


def test_a_problem_fits_a_header_whatever_it_says():
    value = {"detail": "caf\u00e9 \U0001f600\r\nX: y"}
    text = ascii_json(value)
    assert text.isascii()
    assert b"\n" not in text
    assert json.loads(text) == value
