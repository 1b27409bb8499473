"""Drafts: the envelope of a message, strict reading, batches, and errors that name a field but no content."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waypost.domain.drafts import (
    DraftError,
    TextDraft,
    content_of,
    decode_batch,
    decode_draft,
    decode_read_mark,
    decode_typing,
    default_class,
    recipient_of,
)
from waypost.domain.errors import CapabilityMissing, Malformed, WaypostError

BASE: dict[str, Any] = {"from": "num_1", "to": "+4915112345678", "type": "text", "text": {"body": "hello"}}
ONE = json.dumps(BASE).encode()


def body(**fields: Any) -> bytes:
    return json.dumps(BASE | fields).encode()


def test_a_draft_keeps_what_its_caller_asked_for() -> None:
    read = decode_draft(
        body(
            **{"class": "otp"},
            not_before="2026-11-22T10:00:00Z",
            expires_at="2026-11-22T13:00:00+02:00",
            deliver_by="2026-11-22T10:30:00.5Z",
            on_unknown="resend",
            metadata={"order": "7"},
            context={"message_id": "wamid.A"},
            assignee="bot",
        )
    )
    assert isinstance(read, TextDraft)
    assert (read.from_, read.class_, read.on_unknown, read.assignee) == ("num_1", "otp", "resend", "bot")
    assert read.not_before == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert read.expires_at == datetime(2026, 11, 22, 11, tzinfo=UTC)
    assert read.metadata == {"order": "7"}
    assert recipient_of(read).value == "+4915112345678"
    assert json.loads(content_of(read)) == {
        "type": "text",
        "text": {"body": "hello"},
        "context": {"message_id": "wamid.A"},
    }


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"from": ""}, "from"),
        ({"to": 49}, "to"),
        ({"class": "urgent"}, "class"),
        ({"not_before": "2026-11-22T10:00:00"}, "not_before"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"not_before": "2026-11-22T10:00:00Z", "expires_at": "2026-11-22T10:00:00Z"}, "expires_at"),
        ({"not_before": "2026-11-22T10:00:00Z", "deliver_by": "2026-11-22T09:00:00Z"}, "deliver_by"),
        ({"on_unknown": "retry"}, "on_unknown"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: "x"}}, "metadata"),
        ({"metadata": {"k": "x" * 513}}, "metadata.*"),
        ({"metadata": {"k": 1}}, "metadata.*"),
        ({"context": {}}, "context.message_id"),
        ({"assignee": "robot"}, "assignee"),
        ({"messaging_product": "whatsapp"}, "messaging_product"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(DraftError) as caught:
        decode_draft(body(**fields))
    assert (caught.value.field, caught.value.status) == (field, 422)


@pytest.mark.parametrize("missing", ["from", "to", "type", "text"])
def test_a_missing_field_is_named(missing: str) -> None:
    with pytest.raises(DraftError) as caught:
        decode_draft(json.dumps({key: value for key, value in BASE.items() if key != missing}).encode())
    assert caught.value.field == missing


def test_a_reaction_quotes_nothing() -> None:
    reaction = {
        "from": "num_1",
        "to": "+4915112345678",
        "type": "reaction",
        "reaction": {"message_id": "wamid.A", "emoji": ""},
    }
    assert json.loads(content_of(decode_draft(json.dumps(reaction).encode())))["reaction"]["emoji"] == ""
    with pytest.raises(DraftError) as caught:
        decode_draft(json.dumps(reaction | {"context": {"message_id": "wamid.B"}}).encode())
    assert caught.value.field == "context"


@pytest.mark.parametrize("kind", ["pin", "gif", "unsupported"])
def test_content_we_cannot_send_is_a_missing_capability(kind: str) -> None:
    with pytest.raises(CapabilityMissing) as caught:
        decode_draft(body(type=kind))
    assert (caught.value.status, caught.value.field) == (501, "type")


def nested(depth: int) -> bytes:
    return ONE[:-1] + b',"metadata":' + b"[" * depth + b'"[["' + b"]" * depth + b"}"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"\xff", "malformed"),
        (b'{"to":"\xc3\x28"}', "malformed"),
        (ONE + b"x", "malformed"),
        (ONE.replace(b'"hello"', b"NaN"), "malformed"),
        (ONE.replace(b'"hello"', b"9" * 5000), "malformed"),
        (ONE.replace(b'"to"', b'"to":"+15551234567","to"'), "duplicate_key"),
        (ONE.replace(b'"to"', b'"t\\u006f":"+15551234567","to"'), "duplicate_key"),
        (ONE.replace(b'"body"', b'"body":"x","body"'), "duplicate_key"),
        (nested(32), "too_deep"),
        (nested(200_000), "too_deep"),
        (b"[" * 200_000, "too_deep"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_readers_could_disagree_about_is_malformed(raw: bytes, code: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode_draft(raw)
    assert (caught.value.code, caught.value.status) == (code, 400)


def test_brackets_in_text_are_not_depth() -> None:
    assert decode_draft(body(text={"body": '[{"' * 1000}))


@pytest.mark.parametrize("depth", [1, 31])
def test_allowed_depth_fails_for_its_type_and_not_for_its_depth(depth: int) -> None:
    with pytest.raises(DraftError) as caught:
        decode_draft(nested(depth))
    assert caught.value.field == "metadata"


def test_errors_never_repeat_what_the_caller_wrote() -> None:
    secret = "the-secret-words"
    for raw in (
        body(**{"class": secret}),
        body(type=secret),
        body(text={"body": [secret]}),
        body(metadata={"a": [secret]}),
        body(to=[secret]),
        body(not_before=secret),
    ):
        with pytest.raises(WaypostError) as caught:
            decode_draft(raw)
        assert secret not in str(caught.value)
        assert secret not in str(caught.value.field)
        assert secret not in str(caught.value.remedy)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(ANY_JSON)
def test_no_json_makes_it_raise_anything_but_a_named_error(value: Any) -> None:
    with pytest.raises(WaypostError) as caught:
        decode_draft(json.dumps(value).encode())
    assert caught.value.status in (400, 422, 501)
    with pytest.raises(DraftError) as refused:
        decode_draft(json.dumps(BASE | {"text": value}).encode())
    assert (refused.value.field or "").startswith("text")


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise_anything_but_a_named_error(raw: bytes) -> None:
    for read in (decode_draft, decode_batch, decode_typing):
        with pytest.raises(WaypostError):
            read(raw)


def test_one_bad_item_of_a_batch_fails_alone() -> None:
    items = [ONE, b'{"a":1,"a":2}', b"7", body(type="pin"), b" \n" + ONE, nested(40)]
    read = decode_batch(b' { "messages" : [' + b" ,\n".join(items) + b"]}\n")
    kinds = [type(item) for item in read]
    assert kinds == [TextDraft, Malformed, DraftError, CapabilityMissing, TextDraft, Malformed]


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"messages":[]}', "messages"),
        (b'{"messages":[' + b",".join([ONE] * 1001) + b"]}", "messages"),
        (b"{}", "messages"),
        (b'{"messages":{}}', "messages"),
        (b'{"messages":[7],"more":1}', "more"),
    ],
    ids=["empty", "1001", "missing", "object", "more"],
)
def test_a_batch_that_is_wrong_as_a_whole_is_refused(raw: bytes, field: str) -> None:
    with pytest.raises(DraftError) as caught:
        decode_batch(raw)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "raw",
    [
        b'{"messages":[' + ONE + b'],"messages":[' + ONE + b"]}",
        b'{"messages":[' + ONE + b"," + ONE + b'],"messages":[' + ONE + b"]}",
        b'{"messages":[' + ONE + b'],"message\\u0073":[' + ONE + b"]}",
        b'{"messages":[\xff]}',
        b'{"messages":' + b"[" * 100_000,
    ],
    ids=["twice", "longer first", "escaped", "utf-8", "deep"],
)
def test_a_batch_cannot_hide_a_second_one(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode_batch(raw)


def test_a_thousand_messages_fit_a_batch() -> None:
    assert len(decode_batch(b'{"messages":[' + b",".join([ONE] * 1000) + b"]}")) == 1000


def test_free_form_is_a_reply_and_a_template_utility() -> None:
    template = {"name": "a", "language": {"code": "de"}}
    envelope = {"from": "num_1", "to": "US.1", "type": "template", "template": template}
    assert default_class(decode_draft(ONE)) == "reply"
    assert default_class(decode_draft(json.dumps(envelope).encode())) == "utility"


def test_commands_name_their_message() -> None:
    assert decode_read_mark(b'{"message_id":"wamid.A"}').message_id == "wamid.A"
    assert decode_typing(b'{"message_id":"wamid.A"}').message_id == "wamid.A"
    with pytest.raises(DraftError) as caught:
        decode_typing(b"{}")
    assert caught.value.field == "message_id"
