"""`/v1/subscribers` through the whole application: adding, changing, rotating, testing, replaying, retrying."""

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook
from tests import engines
from tests.support import FakeClock
from tests.web.client import OPENED, Client, new_parts
from tests.webhooks.stage import TENANT, Endpoint, Happening, Happenings, Stage, happen, says

from waypost.domain.times import rfc3339, to_ms
from waypost.web import auth
from waypost.web.asgi import application
from waypost.web.parts import Parts
from waypost.web.routes import all_routes
from waypost.webhooks.teller import Teller

BODY = {"url": "https://sink.example/hook", "kinds": ["message.*"], "label": "shop"}


class Bench:
    """The application, a teller beside it, and the endpoint both post to."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.endpoint = Endpoint(self.clock)
        self.parts: Parts = new_parts(folder, clock=self.clock, egress=_Posting(self.endpoint))
        self.teller = Teller(
            self.parts.store, self.clock, self.parts.randomness, self.endpoint, self.parts.config.webhooks
        )
        self.settle = Stage.settle.__get__(self)
        self.run = Stage.run.__get__(self)
        self.call: Client
        self.tenant = ""
        self._count = 0

    async def begin(self) -> None:
        key = await auth.bootstrap(self.parts)
        self.call = Client(application(self.parts, all_routes(self.parts.config)), key)
        self.tenant = (await self.parts.store.read(lambda r: r.one("SELECT id FROM tenants")))[0]

    async def happen(self, *contacts: str) -> list[str]:
        items = tuple(Happening(contact, tenant_id=self.tenant) for contact in contacts)
        self._count += len(items)
        many = Happenings(items, self.clock.now(), self._count)
        return list(await self.parts.store.write(happen, many))


class _Posting:
    def __init__(self, post: Any) -> None:
        self.post = post


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    await made.begin()
    yield made
    await made.teller.drain()
    while OPENED:
        OPENED.pop().close()


async def test_a_subscriber_is_added_listed_shown_changed_and_removed(bench: Bench) -> None:
    added = await bench.call("POST", "/v1/subscribers", BODY)
    assert added.status == 201
    found = added.json
    assert len(base64.b64decode(found["secret"].removeprefix("whsec_"))) == 32
    assert (found["state"], found["kinds"], found["health"]["lag_events"]) == ("active", ["message.*"], 0)
    path = f"/v1/subscribers/{found['id']}"
    shown = (await bench.call("GET", path)).json
    assert "secret" not in shown
    assert (await bench.call("GET", "/v1/subscribers")).json == {"items": [shown], "next_cursor": None}
    changed = await bench.call("PATCH", path, {"kinds": ["inbound.*"], "batch_events_max": 50})
    assert (changed.json["kinds"], changed.json["batch_events_max"]) == (["inbound.*"], 50)
    assert changed.json["url"] == BODY["url"]
    assert (await bench.call("DELETE", path)).status == 204
    for method in ("GET", "DELETE"):
        assert (await bench.call(method, path)).code == "not_found"
    assert (await bench.call("GET", "/v1/subscribers")).json["items"] == []


@pytest.mark.parametrize(
    ("over", "code"),
    [
        ({"url": "http://sink.example/"}, "url_not_https"),
        ({"url": "https://127.0.0.1/"}, "url_not_public"),
        ({"url": "https://user:pass@sink.example/"}, "url_with_user"),
        ({"url": "nonsense"}, "bad_url"),
        ({"kinds": ["message.*", "nothing.happened"]}, "unknown_kind"),
        ({"secret": "whsec_" + base64.b64encode(b"short").decode()}, "bad_secret"),
        ({"secret": "whsec_!!"}, "bad_secret"),
        ({"scheme": "v1a", "secret": "whsec_" + base64.b64encode(b"s" * 32).decode()}, "invalid_request"),
        ({"batch_events_max": 101}, "invalid_request"),
    ],
)
async def test_what_cannot_be_a_subscriber_is_refused(bench: Bench, over: dict[str, Any], code: str) -> None:
    answer = await bench.call("POST", "/v1/subscribers", BODY | over)
    assert (answer.status, answer.code) == (422, code)


async def test_a_replayed_answer_does_not_show_the_secret_again(bench: Bench) -> None:
    headers = {"Idempotency-Key": "once"}
    first = (await bench.call("POST", "/v1/subscribers", BODY, headers=headers)).json
    again = (await bench.call("POST", "/v1/subscribers", BODY, headers=headers)).json
    assert again["id"] == first["id"]
    assert again["secret_already_shown"] == ["secret"]
    assert "secret" not in again
    assert len((await bench.call("GET", "/v1/subscribers")).json["items"]) == 1


def signatures(post: Any, scheme: str) -> list[str]:
    return [one for one in post.headers["webhook-signature"].split() if one.startswith(scheme + ",")]


def fits(secret: str, post: Any, at: Any) -> bool:
    expected = Webhook(secret).sign(post.headers["webhook-id"], at, post.body.decode())
    return expected in signatures(post, "v1")


async def test_after_a_rotation_both_secrets_sign_until_the_overlap_ends(bench: Bench) -> None:
    made = (await bench.call("POST", "/v1/subscribers", BODY)).json
    path = f"/v1/subscribers/{made['id']}"
    rotated = (await bench.call("POST", f"{path}:rotate", {"overlap_hours": 2})).json
    assert rotated["secret"] != made["secret"]
    assert [each["valid_until"] is None for each in rotated["secrets"]] == [True, False]
    await bench.happen("con_a")
    await bench.settle()
    (during,) = bench.endpoint.posts
    assert fits(made["secret"], during, bench.clock.at)
    assert fits(rotated["secret"], during, bench.clock.at)
    bench.clock.advance(2 * 3600)
    await bench.happen("con_a")
    await bench.settle()
    after = bench.endpoint.posts[-1]
    assert not fits(made["secret"], after, bench.clock.at)
    assert fits(rotated["secret"], after, bench.clock.at)
    assert len((await bench.call("GET", path)).json["secrets"]) == 1


async def test_an_ed25519_signature_verifies_with_the_public_key_alone(bench: Bench) -> None:
    made = (await bench.call("POST", "/v1/subscribers", BODY | {"scheme": "v1a"})).json
    assert "secret" not in made
    public = made["secrets"][0]["public_key"]
    await bench.happen("con_a")
    await bench.settle()
    (post,) = bench.endpoint.posts
    (signature,) = signatures(post, "v1a")
    content = f"{post.headers['webhook-id']}.{post.headers['webhook-timestamp']}.".encode() + post.body
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    key.verify(base64.b64decode(signature.removeprefix("v1a,")), content)


async def test_secrets_are_not_readable_in_the_database(bench: Bench) -> None:
    given = b"a secret of the customer, 32 by."
    text = "whsec_" + base64.b64encode(given).decode()
    assert (await bench.call("POST", "/v1/subscribers", BODY | {"secret": text})).json["secret"] == text
    kept = engines.current.all_bytes(bench.parts.store.engine)
    assert b"https://" in kept
    assert given not in kept
    assert text.encode() not in kept


async def test_a_test_event_is_sent_at_once_and_the_answer_shown(bench: Bench) -> None:
    made = (await bench.call("POST", "/v1/subscribers", BODY)).json
    path = f"/v1/subscribers/{made['id']}"
    assert (await bench.call("POST", f"{path}:pause")).json["state"] == "paused"
    good = (await bench.call("POST", f"{path}:test")).json
    assert (good["told"], good["status"], good["fault"]) == (True, 200, None)
    (post,) = bench.endpoint.posts
    assert post.events[0]["type"] == "subscriber.tested"
    assert fits(made["secret"], post, bench.clock.at)
    bench.endpoint.rule = lambda post: says(404)
    bad = (await bench.call("POST", f"{path}:test")).json
    assert (bad["told"], bad["status"], bad["fault"]) == (False, 404, "http_404")
    await bench.call("POST", f"{path}:resume")
    await bench.settle()
    assert len(bench.endpoint.posts) == 2


async def test_events_are_replayed_by_id_and_by_time_under_their_old_ids(bench: Bench) -> None:
    made = (await bench.call("POST", "/v1/subscribers", BODY)).json
    path = f"/v1/subscribers/{made['id']}"
    first = await bench.happen("con_a", "con_b")
    bench.clock.advance(3600)
    second = await bench.happen("con_a", "con_a", "con_c")
    await bench.settle()
    bench.endpoint.posts.clear()
    answer = await bench.call("POST", f"{path}:replay", {"event_ids": [first[1], second[0]]})
    assert (answer.status, answer.json) == (202, {"replayed": 2, "pending": 0})
    await bench.settle()
    assert sorted(bench.endpoint.told_ids) == sorted([first[1], second[0]])
    assert bench.endpoint.posts[0].headers["webhook-id"] in (first[1], second[0])
    bench.endpoint.posts.clear()
    since = rfc3339(to_ms(bench.clock.now() - timedelta(minutes=1)))
    until = rfc3339(to_ms(bench.clock.now() + timedelta(minutes=1)))
    answer = await bench.call("POST", f"{path}:replay", {"since": since, "until": until})
    assert answer.json == {"replayed": 3, "pending": 0}
    await bench.settle(30)
    assert sorted(bench.endpoint.told_ids) == sorted(second)
    mine = [event for event in bench.endpoint.told_ids if event in second[:2]]
    assert mine == second[:2]
    assert (await bench.call("GET", path)).json["health"]["waiting_events"] == 0


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "replay_ambiguous"),
        ({"event_ids": ["evt_t1_1"], "since": "2026-11-22T00:00:00Z"}, 422, "replay_ambiguous"),
        ({"event_ids": ["nonsense"]}, 422, "bad_event_id"),
        ({"event_ids": ["evt_t0_1"]}, 409, "timeline_changed"),
        ({"event_ids": ["evt_t1_0"]}, 404, "not_found"),
        ({"since": "2026-11-22T10:00:00Z", "until": "2026-11-22T09:00:00Z"}, 422, "invalid_request"),
    ],
)
async def test_a_senseless_replay_is_refused(bench: Bench, body: Any, status: int, code: str) -> None:
    made = (await bench.call("POST", "/v1/subscribers", BODY)).json
    answer = await bench.call("POST", f"/v1/subscribers/{made['id']}:replay", body)
    assert (answer.status, answer.code) == (status, code)


async def test_another_tenants_events_cannot_be_replayed(bench: Bench) -> None:
    made = (await bench.call("POST", "/v1/subscribers", BODY)).json
    many = Happenings((Happening("con_z", tenant_id="ten_other"),), bench.clock.now(), 500)
    (foreign,) = await bench.parts.store.write(happen, many)
    answer = await bench.call("POST", f"/v1/subscribers/{made['id']}:replay", {"event_ids": [foreign]})
    assert (answer.status, answer.code) == (404, "not_found")


async def test_a_parked_event_is_listed_and_retried(bench: Bench) -> None:
    made = (await bench.call("POST", "/v1/subscribers", BODY)).json
    path = f"/v1/subscribers/{made['id']}"
    bench.endpoint.rule = lambda post: says(400) if "con_bad" in str(post.events) else None
    (bad, behind, _) = await bench.happen("con_bad", "con_bad", "con_a")
    await bench.run(60, least=5)
    waiting = (await bench.call("GET", f"{path}/events?state=waiting")).json["items"]
    assert [(each["event_id"], each["tries"] > 0) for each in waiting] == [(bad, True), (behind, False)]
    assert (await bench.call("POST", f"{path}/events/{bad}:retry")).code == "event_not_parked"
    await bench.run(2 * 3600 + 60, least=30)
    parked = (await bench.call("GET", f"{path}/events?state=parked")).json
    assert [each["event_id"] for each in parked["items"]] == [bad, behind]
    assert parked["items"][0]["fault"] == "http_400"
    page = (await bench.call("GET", f"{path}/events?limit=1")).json
    assert page["next_cursor"] == bad
    rest = (await bench.call("GET", f"{path}/events?limit=1&cursor={bad}")).json
    assert [each["event_id"] for each in rest["items"]] == [behind]
    health = (await bench.call("GET", path)).json["health"]
    assert (health["parked_events"], health["failures"]) == (2, 0)
    bench.endpoint.rule = lambda post: None
    assert (await bench.call("POST", f"{path}/events/{bad}:retry")).json == {"replayed": 1, "pending": 0}
    await bench.run(5)
    assert bad in bench.endpoint.told_ids
    assert (await bench.call("POST", f"{path}/events/evt_t1_1:retry")).code == "not_found"


async def test_health_tells_of_a_failing_endpoint(bench: Bench) -> None:
    made = (await bench.call("POST", "/v1/subscribers", BODY)).json
    bench.endpoint.rule = lambda post: says(503)
    await bench.happen("con_a", "con_b")
    await bench.run(120, least=5)
    health = (await bench.call("GET", f"/v1/subscribers/{made['id']}")).json["health"]
    assert health["failures"] >= 4
    assert health["failing_since"] is not None
    assert health["next_try_at"] is not None
    assert (health["lag_events"], health["lag_seconds"]) == (2, 120.0)
    changed = await bench.call("PATCH", f"/v1/subscribers/{made['id']}", {"url": "https://new.example/"})
    assert changed.json["health"]["failures"] == 0


async def test_tenants_do_not_see_each_others_subscribers(bench: Bench) -> None:
    stage_tenant = TENANT
    assert bench.tenant != stage_tenant
    from waypost.store import subscribers

    item = subscribers.NewSubscriber(
        tenant_id=stage_tenant,
        url="https://x.example/",
        label="x",
        kinds=(),
        batch_events_max=1,
        from_beginning=False,
        secret=subscribers.NewSecret("v1", b"s" * 32, None),
        actor="operator",
        now=bench.clock.now(),
    )
    foreign = (await bench.parts.store.write(subscribers.add, item)).id
    for method, path, body in [
        ("GET", "", None),
        ("PATCH", "", {"label": "mine"}),
        ("DELETE", "", None),
        ("POST", ":pause", None),
        ("POST", ":rotate", None),
        ("POST", ":test", None),
        ("POST", ":replay", {"event_ids": ["evt_t1_1"]}),
        ("GET", "/events", None),
        ("POST", "/events/evt_t1_1:retry", None),
    ]:
        answer = await bench.call(method, f"/v1/subscribers/{foreign}{path}", body)
        assert (answer.status, answer.code) == (404, "not_found"), path
