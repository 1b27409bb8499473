"""Health, readiness, figures, capabilities, and what isn't there."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support import START, seed_number
from tests.web.client import new_client, new_parts

from waypost.config import Config, Metrics
from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.transaction import Line, Transaction


async def test_it_is_ready_only_when_every_part_is(tmp_path: Path) -> None:
    reasons: list[str | None] = [None, "The token of num_1 was refused."]

    async def first() -> str | None:
        return reasons[0]

    async def second() -> str | None:
        return reasons[1]

    client = await new_client(new_parts(tmp_path, readiness=(first, second)))
    assert (await client("GET", "/healthz")).json == {"status": "ok"}
    reply = await client("GET", "/readyz")
    assert (reply.status, reply.code) == (503, "not_ready")
    assert reply.json["detail"] == reasons[1]
    reasons[1] = None
    assert (await client("GET", "/readyz")).json == {"status": "ready"}


def _figures(text: str) -> dict[str, float]:
    rows = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in rows}


@single
def _put_work(tx: Transaction, item: Any) -> None:
    at = to_ms(START - timedelta(seconds=30))
    for index, (status, rank) in enumerate([("accepted", 0), ("held", 3), ("retrying", 3), ("unknown", 1)]):
        tx.execute(
            "INSERT INTO messages (id, tenant_id, number_id, contact_id, content_id, type, rank, recipient_kind,"
            " recipient, status, on_unknown, attempts, not_before, due_at, expires_at, unknown_since, version,"
            " accepted_at, changed_at) VALUES (?, 'ten_1', 'num_1', 'con_1', 'cnt_1', 'text', ?, 'phone', x'00', ?,"
            " 'wait', 0, ?, ?, ?, ?, 1, ?, ?)",
            (f"msg_{index}", rank, status, at, at, at, at, at, at),
        )
    tx.execute(
        "INSERT INTO lanes VALUES ('num_1', 'ten_1', 'us', 3, ?, ?, NULL, 0)", (at + 60_000, at + 35_000)
    )
    tx.execute(
        "INSERT INTO callbacks VALUES ('cal_1', 'ten_1', 'app_1', x'01', x'00', 'stored', NULL, 0, ?, NULL)",
        (at,),
    )
    tx.execute(
        "INSERT INTO callbacks VALUES ('cal_2', 'ten_1', 'app_1', x'02', x'00', 'parked', 'x', 3, ?, NULL)",
        (at,),
    )
    tx.execute(
        "INSERT INTO subscribers (id, tenant_id, url, label, kinds, batch_events_max, state, position, failures,"
        " next_try_at, version, created_at)"
        " VALUES ('sub_1', 'ten_1', 'https://x', 'x', '[]', 1, 'active', 0, 0, 0, 1, 0)"
    )
    for version, (kind, reason) in enumerate(
        [("message.accepted", None), ("message.sent", None), ("message.failed", "131026"),
         ("message.failed", "131026"), ("message.failed", "settled: the customer called, s3cret")], 1,
    ):  # fmt: skip
        tx.journal(Line("ten_1", kind, "msg_0", version, "gateway", START, reason=reason))


async def test_the_figures_say_what_is_open_and_what_happened(tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    client = await new_client(parts)
    await parts.metrics.begin(parts.store, START)
    await seed_number(parts.store)
    await parts.store.write(_put_work, None)
    parts.metrics.batch(12, 0.004)
    reply = await client("GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    found = _figures(reply.body.decode())
    expected = {
        'waypost_queue_messages{class="otp",status="accepted"}': 1,
        'waypost_queue_messages{class="marketing",status="held"}': 1,
        'waypost_queue_age_seconds{class="marketing",status="retrying"}': 30,
        "waypost_unknown_messages": 1,
        "waypost_unknown_age_seconds": 30,
        'waypost_lane_state{number_id="num_1",state="active"}': 1,
        'waypost_lane_held{number_id="num_1"}': 1,
        'waypost_lane_epoch{number_id="num_1"}': 3,
        'waypost_lane_slow_seconds{number_id="num_1"}': 5,
        "waypost_callbacks_unread": 1,
        "waypost_callback_lag_seconds": 30,
        "waypost_callbacks_parked": 1,
        'waypost_webhook_lag_seconds{subscriber_id="sub_1"}': 0,
        "waypost_accepts_total": 1,
        'waypost_outcomes_total{code="none",outcome="sent"}': 1,
        'waypost_outcomes_total{code="131026",outcome="failed"}': 2,
        'waypost_outcomes_total{code="other",outcome="failed"}': 1,
        'waypost_events_total{kind="message.failed"}': 3,
        "waypost_write_batch_rows_sum": 12,
        "waypost_counting_since_seconds": START.timestamp(),
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found['waypost_webhook_lag_events{subscriber_id="sub_1"}'] == found["waypost_journal_position"]
    assert "s3cret" not in reply.body.decode()


async def test_a_second_look_counts_only_what_is_new(tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    client = await new_client(parts)
    for _ in range(3):
        await client("GET", "/metrics")
    wish = {"label": "x", "scopes": ["keys:read"]}
    await client("POST", "/v1/keys", wish)
    name = 'waypost_events_total{kind="key.created"}'
    assert [_figures((await client("GET", "/metrics")).body.decode())[name] for _ in range(2)] == [1, 1]
    found = _figures((await client("GET", "/metrics")).body.decode())
    assert found['waypost_requests_total{method="POST",route="/v1/keys",status="201"}'] == 1
    await client("GET", "/v1/keys/nobody/else")
    found = _figures((await client("GET", "/metrics")).body.decode())
    assert found['waypost_requests_total{method="other",route="unknown",status="404"}'] == 1


@pytest.mark.parametrize(
    ("config", "with_key", "status"),
    [
        (Metrics(), True, 200),
        (Metrics(), False, 401),
        (Metrics(public=True), False, 200),
        (Metrics(enabled=False), True, 404),
    ],
)
async def test_figures_are_for_those_the_settings_name(
    tmp_path: Path, config: Metrics, with_key: bool, status: int
) -> None:
    client = await new_client(new_parts(tmp_path, Config(metrics=config)))
    if not with_key:
        client.key = None
    assert (await client("GET", "/metrics")).status == status


async def test_capabilities_name_what_is_not_there_with_its_reason(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path))
    told = (await client("GET", "/v1/capabilities")).json
    by_name = {each["name"]: each for each in told["transports"]}
    assert {"text", "template", "interactive", "reaction"} <= set(by_name["cloud"]["content"])
    assert by_name["linked"]["available"] is False
    missing = [each for each in (*told["gateway"], *by_name["cloud"]["features"]) if not each["available"]]
    assert missing
    assert all(each["reason"] for each in (*missing, by_name["linked"]))


@pytest.mark.parametrize("path", ["/v1/campaigns", "/v1/evidence"])
async def test_what_is_designed_and_not_built_says_so(tmp_path: Path, path: str) -> None:
    client = await new_client(new_parts(tmp_path))
    for method, body in [("GET", None), ("POST", {"name": "spring"})]:
        reply = await client(method, path, body)
        assert (reply.status, reply.code) == (501, "capability_missing")
