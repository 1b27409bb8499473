"""Outcomes: each of Meta's codes has its reaction, and no answer that could mean `sent` is called a failure."""

import json
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waypost.domain.outcomes import Failed, Outcome, Reaction, Sent, Unknown
from waypost.transports.cloud_api.error_table import BY_CODE, RULES
from waypost.transports.cloud_api.errors import command_failure, failure_of, outcome_of, rule_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def envelope(code: Any, **more: Any) -> bytes:
    error = {"message": f"(#{code}) Title", "type": "OAuthException", "code": code, "fbtrace_id": "A"} | more
    return json.dumps({"error": error}).encode()


def accepted(**more: Any) -> bytes:
    return json.dumps(
        {
            "messaging_product": "whatsapp",
            "contacts": [{"input": "+4915112345678", "wa_id": "4915112345678"}],
            "messages": [{"id": "wamid.1"} | more],
        }
    ).encode()


def test_every_code_is_in_the_table_once() -> None:
    codes = [rule.code for rule in RULES]
    assert len(codes) == len(set(codes)) == 157
    assert all(rule.title and rule.remedy.endswith(".") for rule in RULES)
    assert {rule.reaction for rule in RULES} == set(get_args(Reaction))


@pytest.mark.parametrize(
    ("codes", "reaction"),
    [
        ([2, 131000, 131016, 133004], "retry"),
        ([130429, 131057, 131048], "wait_number"),
        ([131056], "wait_pair"),
        ([4, 80007, 131064], "wait_account"),
        ([131049], "wait_day"),
        ([0, 10, 190, *range(200, 300), 368, 131005, 131031, 131042, 131045, 133010], "stop_lane"),
        ([131047, 131050, 131062, 131063, 131008, 131009, 131051, 131053, 100], "fail"),
        ([132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132018, 132068], "fail"),
        ([131026, 131030, 131021, 130403, 130472], "fail_contact"),
    ],
)
def test_codes_react_as_decided(codes: list[int], reaction: str) -> None:
    assert {BY_CODE[code].reaction for code in codes} == {reaction}


@pytest.mark.parametrize("code", sorted(BY_CODE))
@pytest.mark.parametrize("status", [400, 429, 500])
def test_the_code_decides_whatever_the_status_is(code: int, status: int) -> None:
    outcome = outcome_of(status, {}, envelope(code))
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.reaction) == (code, BY_CODE[code].reaction)


ANSWERS: list[tuple[int, dict[str, str], bytes, Outcome]] = [
    (200, {}, accepted(), Sent("wamid.1", "4915112345678")),
    (
        200,
        {},
        accepted(message_status="held_for_quality_assessment"),
        Sent("wamid.1", "4915112345678", None, "held_for_quality_assessment"),
    ),
    (
        200,
        {},
        b'{"messages":[{"id":"wamid.2"}],"contacts":[{"user_id":"US.1"}]}',
        Sent("wamid.2", None, "US.1"),
    ),
    (200, {}, b'{"messages":[{"id":"wamid.2"}]}', Sent("wamid.2")),
    (200, {}, b"", Unknown("HTTP 200 without a message id")),
    (200, {}, b"<html>", Unknown("HTTP 200 without a message id")),
    (200, {}, b'{"messages":[]}', Unknown("HTTP 200 without a message id")),
    (202, {}, b'{"messages":[{"id":""}]}', Unknown("HTTP 202 without a message id")),
    (500, {}, b"<html>oops", Unknown("HTTP 500 without Meta's error")),
    (502, {}, b"", Unknown("HTTP 502 without Meta's error")),
    (504, {}, b"{}", Unknown("HTTP 504 without Meta's error")),
    (408, {}, b"", Unknown("HTTP 408 without Meta's error")),
    (500, {}, b"[" * 100_000, Unknown("HTTP 500 without Meta's error")),
    (503, {}, b"", Failed(None, "retry", "HTTP 503", "Unavailable for a moment.")),
    (503, {"Retry-After": "7"}, b"", Failed(None, "retry", "HTTP 503", "Unavailable for a moment.", 7.0)),
    (429, {"retry-after": "9"}, b"slow", Failed(None, "wait_number", "HTTP 429", "Too many requests.", 9.0)),
]


@pytest.mark.parametrize(("status", "headers", "body", "outcome"), ANSWERS)
def test_an_answer_is_read_as(status: int, headers: dict[str, str], body: bytes, outcome: Outcome) -> None:
    assert outcome_of(status, headers, body) == outcome


@pytest.mark.parametrize(
    ("status", "reaction"),
    [
        (301, "stop_lane"),
        (401, "stop_lane"),
        (403, "stop_lane"),
        (404, "stop_lane"),
        (400, "fail"),
        (413, "fail"),
        (429, "wait_number"),
    ],
)
def test_a_refusal_without_meta_s_error_goes_by_its_status(status: int, reaction: str) -> None:
    outcome = outcome_of(status, {}, b"<html>")
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.reaction) == (None, reaction)


@pytest.mark.parametrize(
    ("status", "more", "reaction"),
    [
        (400, {}, "fail"),
        (401, {}, "stop_lane"),
        (403, {}, "fail"),
        (429, {}, "wait_number"),
        (500, {}, "retry"),
        (502, {}, "retry"),
        (400, {"is_transient": True}, "retry"),
    ],
)
def test_a_code_not_known_goes_by_its_status(status: int, more: dict[str, Any], reaction: str) -> None:
    outcome = outcome_of(status, {}, envelope(987654, **more))
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.reaction, outcome.title) == (987654, reaction, "OAuthException")
    assert rule_of(987654) is None


def test_an_unknown_object_stops_the_lane_and_another_bad_parameter_does_not() -> None:
    gone = outcome_of(400, {}, envelope(100, error_subcode=33, type="GraphMethodException"))
    wrong = outcome_of(400, {}, envelope(100))
    assert isinstance(gone, Failed)
    assert isinstance(wrong, Failed)
    assert (gone.reaction, wrong.reaction) == ("stop_lane", "fail")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 1.0),
        ({"Retry-After": "30"}, 30.0),
        ({"RETRY-AFTER": " 30 "}, 30.0),
        ({"Retry-After": "Sun, 22 Nov 2026 12:00:40 GMT"}, 40.0),
        ({"Retry-After": "Sun, 22 Nov 2026 11:00:00 GMT"}, 1.0),
        ({"Retry-After": "soon"}, 1.0),
        ({"Retry-After": "9" * 400}, 259_200.0),
        ({"X-Business-Use-Case-Usage": '{"1":[{"estimated_time_to_regain_access":3},{"type":"x"}]}'}, 180.0),
        (
            {
                "X-Business-Use-Case-Usage": '{"1":[{"estimated_time_to_regain_access":3}]}',
                "Retry-After": "200",
            },
            200.0,
        ),
        ({"X-Business-Use-Case-Usage": "nonsense"}, 1.0),
        ({"X-Business-Use-Case-Usage": '{"1":7,"2":[7]}'}, 1.0),
    ],
)
def test_the_wait_that_meta_names_is_honoured(headers: dict[str, str], seconds: float) -> None:
    outcome = outcome_of(400, headers, envelope(130429), NOW)
    assert isinstance(outcome, Failed)
    assert outcome.retry_after_seconds == seconds


def test_a_final_failure_has_no_wait() -> None:
    outcome = outcome_of(400, {"Retry-After": "30"}, envelope(131026))
    assert isinstance(outcome, Failed)
    assert outcome.retry_after_seconds is None


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        ({"code": 131053, "title": "t", "message": "m", "error_data": {"details": "d"}}, 131053, "d"),
        ({"code": 131053, "title": "t", "message": "m"}, 131053, "m"),
        ({"code": "131053", "error_data": "plain"}, 131053, "plain"),
        ({"code": 131053, "error_data": {"details": "d" * 900}}, 131053, "d" * 500),
        ({}, None, ""),
        ("nonsense", None, ""),
    ],
)
def test_a_webhook_s_error_is_read_whatever_is_missing(error: Any, code: int | None, detail: str) -> None:
    failure = failure_of(error)
    assert (failure.code, failure.reaction, failure.detail) == (code, "fail", detail)
    assert failure.title


def test_a_command_may_be_repeated_where_a_message_may_not() -> None:
    assert command_failure(200, {}, b'{"success":true}') is None
    lost = command_failure(502, {}, b"<html>")
    assert lost is not None
    assert lost.reaction == "retry"
    refused = command_failure(400, {}, envelope(133005))
    assert refused is not None
    assert (refused.code, refused.reaction) == (133005, "fail")


@given(st.integers(100, 599), st.dictionaries(st.text(), st.text()), st.binary() | st.just(envelope(1)))
def test_every_answer_has_an_outcome(status: int, headers: dict[str, str], body: bytes) -> None:
    outcome = outcome_of(status, headers, body, NOW)
    assert isinstance(outcome, Failed | Unknown)
    if 200 <= status < 300 and b"error" not in body:
        assert isinstance(outcome, Unknown)
