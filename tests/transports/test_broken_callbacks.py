"""Broken callbacks: what cannot be read is kept, its neighbours are read, and nothing else is ever raised."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from waypost.domain.provider_events import (
    AccountChanged,
    CallbackUnreadable,
    MessageReceived,
    ReceiptReceived,
    UnknownField,
    Unreadable,
)
from waypost.transports.cloud_api.callbacks import parse

CALLBACKS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "samples" / "cloud_api" / "callbacks.json").read_text()
)
WABA, NUMBER = "102290129340398", "106540352242922"


def messages(*items: Any, **value: Any) -> bytes:
    change = {
        "field": "messages",
        "value": {"metadata": {"phone_number_id": NUMBER}, "messages": list(items)} | value,
    }
    return json.dumps({"entry": [{"id": WABA, "changes": [change]}]}).encode()


GOOD = {"id": "wamid.1", "from": "1", "timestamp": "1763800000", "type": "text", "text": {"body": "x"}}
GOOD_RECEIPT = {"id": "wamid.1", "status": "read", "timestamp": "1763800000"}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (7, "not an object"),
        ({}, "without id"),
        (GOOD | {"timestamp": None}, "timestamp"),
        (GOOD | {"timestamp": "soon"}, "timestamp"),
        (GOOD | {"timestamp": "9" * 30}, "timestamp"),
        (GOOD | {"id": ["x"]}, "without id"),
    ],
)
def test_one_broken_message_is_kept_and_the_rest_is_read(bad: Any, reason: str) -> None:
    first, broken, last = parse(messages(GOOD, bad, GOOD))
    assert isinstance(first, MessageReceived)
    assert first == last
    assert isinstance(broken, Unreadable)
    assert (broken.waba_id, broken.field) == (WABA, "messages")
    assert reason in broken.reason
    assert json.loads(broken.raw) == bad


@pytest.mark.parametrize("bad", [7, {}, GOOD_RECEIPT | {"timestamp": "x"}, GOOD_RECEIPT | {"status": 1}])
def test_one_broken_receipt_is_kept_and_the_rest_is_read(bad: Any) -> None:
    first, broken, last = parse(messages(statuses=[GOOD_RECEIPT, bad, GOOD_RECEIPT], messages=None))
    assert isinstance(first, ReceiptReceived)
    assert first == last
    assert isinstance(broken, Unreadable)
    assert json.loads(broken.raw) == bad


@pytest.mark.parametrize(
    ("entry", "kinds"),
    [
        ([7], [Unreadable]),
        ([{"id": WABA}], [Unreadable]),
        (
            [{"id": WABA, "changes": [7, {"field": "account_update", "value": {}}]}],
            [Unreadable, AccountChanged],
        ),
        ([{"id": WABA, "changes": [{"field": "account_update", "value": 7}]}], [Unreadable]),
        ([{"id": WABA, "changes": [{"field": "account_update"}]}], [Unreadable]),
        ([{"id": WABA, "changes": [{"field": "x", "value": 7}]}], [UnknownField]),
        ([{"id": WABA, "changes": [{"field": "messages", "value": {"messages": [GOOD]}}]}], [Unreadable]),
        (
            [{"id": 5, "changes": [{"field": "calls", "value": {"metadata": {"phone_number_id": 6}}}]}],
            [UnknownField],
        ),
        ([], []),
    ],
)
def test_misshapen_parts_are_kept(entry: list[Any], kinds: list[type]) -> None:
    assert [type(event) for event in parse(json.dumps({"entry": entry}).encode())] == kinds


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"7", b"{}", b'{"entry":7}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_callback_at_all_is_unreadable(raw: bytes) -> None:
    with pytest.raises(CallbackUnreadable):
        parse(raw)


def test_half_a_surrogate_pair_does_not_lose_a_callback() -> None:
    event = parse(messages(GOOD).replace(b'"x"', b'"\\ud83d"'))[0]
    assert isinstance(event, MessageReceived)
    assert event.provider_message_id == "wamid.1"


def test_deep_content_does_not_lose_its_neighbours() -> None:
    deep = b'{"id":"2","x":' + b"[" * 900 + b"]" * 900 + b"}"
    events = parse(messages(GOOD, "HERE", GOOD).replace(b'"HERE"', deep))
    assert [type(event) for event in events] == [MessageReceived, Unreadable, MessageReceived]


def test_the_one_known_contact_is_not_given_to_a_stranger() -> None:
    known = {"profile": {"name": "Known"}, "wa_id": "1"}
    first, stranger, shared = parse(
        messages(GOOD, GOOD | {"from": "2"}, GOOD | {"from": None}, contacts=[known])
    )
    assert isinstance(first, MessageReceived)
    assert isinstance(stranger, MessageReceived)
    assert isinstance(shared, MessageReceived)
    assert (first.profile_name, stranger.profile_name, shared.profile_name) == ("Known", None, "Known")


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(sorted({c["entry"][0]["changes"][0]["field"] for c in CALLBACKS.values()}))
ARRAYS = st.sampled_from(
    ["messages", "statuses", "contacts", "errors", "history", "calls", "user_preferences", "message_echoes"]
)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        key: ANY_JSON for key in ("id", "timestamp", "type", "status", "errors", "system", "image", "value")
    },
)


@given(ANY_JSON, FIELDS, st.dictionaries(ARRAYS, st.lists(PARTS, max_size=3) | ANY_JSON), ANY_JSON)
@example({}, "messages", {"messages": [{"id": "1", "timestamp": 1e300}]}, 1e300)
def test_no_json_raises_anything_but_callback_unreadable(
    anything: Any, field: str, value: dict[str, Any], time: Any
) -> None:
    numbered = value | {"metadata": {"phone_number_id": NUMBER}}
    for changes in ([{"field": field, "value": numbered}], [{"field": field, "value": anything}], anything):
        body = json.dumps({"entry": [{"id": WABA, "time": time, "changes": changes}]}).encode()
        assert isinstance(parse(body), list)
    for body in (json.dumps(anything).encode(), json.dumps({"entry": anything}).encode()):
        try:
            events = parse(body)
        except CallbackUnreadable:
            continue
        assert isinstance(events, list)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_callback_unreadable(raw: bytes) -> None:
    with pytest.raises(CallbackUnreadable):
        parse(raw)
