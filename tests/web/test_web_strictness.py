"""What a body, a path or a header can have wrong, by rows: each its own named problem, none a 5xx."""

from pathlib import Path
from typing import Any

import pytest
from tests.web.client import new_client, new_parts

from waypost.config import Config, Http

GOOD = {"label": "shop", "scopes": ["messages:send"]}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("raw", "headers", "status", "code", "field"),
    [
        (b"", {}, 400, "body_missing", None),
        (b"{", {}, 400, "malformed", None),
        (b"nonsense", {}, 400, "malformed", None),
        (b'{"label": "\xff", "scopes": ["messages:send"]}', {}, 400, "malformed", None),
        (b'{"label": NaN}', {}, 400, "malformed", None),
        (b"[" * 33 + b"]" * 33, {}, 400, "too_deep", None),
        (b"[" * 100_000, {}, 400, "too_deep", None),
        (b'{"label": "a", "label": "b", "scopes": ["messages:send"]}', {}, 400, "duplicate_key", None),
        (b'["label"]', {}, 422, "invalid_request", None),
        (b'{"label": 1, "scopes": ["messages:send"]}', {}, 422, "invalid_request", "label"),
        (b'{"label": "a"}', {}, 422, "invalid_request", "scopes"),
        (b'{"label": "a", "scopes": []}', {}, 422, "invalid_request", "scopes"),
        (b'{"label": "a", "scopes": ["all"]}', {}, 422, "invalid_request", "scopes.0"),
        (b'{"label": "", "scopes": ["messages:send"]}', {}, 422, "invalid_request", "label"),
        (b'{"label": "a", "scopes": ["messages:send"], "admin": true}', {}, 422, "invalid_request", "admin"),
        (
            b'{"label": "a", "scopes": ["messages:send"], "expires_at": "2026-12-01"}',
            {}, 422, "invalid_request", "expires_at",
        ),
        (
            b'{"label": "a", "scopes": ["messages:send"], "expires_at": "2020-01-01T00:00:00Z"}',
            {}, 422, "invalid_request", "expires_at",
        ),
        *(
            (b'{"label": "a", "scopes": ["messages:send"], "expires_at": "%s"}' % time,
             {}, 422, "invalid_request", "expires_at")
            for time in (b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59", b"2036-12-01T00:00:00Z")
        ),
        (b'{"label": "\\ud800", "scopes": ["messages:send"]}', {}, 400, "malformed", None),
        (b'{"label": "\\u0000", "scopes": ["messages:send"]}', {}, 422, "invalid_request", "label"),
        (b"label=a", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_content_type",
         "Content-Type"),
        (b"{}", {"Content-Type": ""}, 415, "unsupported_content_type", "Content-Type"),
        (b"{}", {"Content-Length": "99999999999"}, 413, "too_large", None),
        (b" " * 1_048_577, {}, 413, "too_large", None),
        (b"{}", {"Idempotency-Key": ""}, 422, "bad_idempotency_key", "Idempotency-Key"),
        (b"{}", {"Idempotency-Key": "k" * 256}, 422, "bad_idempotency_key", "Idempotency-Key"),
        (b"{}", {"Idempotency-Key": "caf\u00e9"}, 422, "bad_idempotency_key", "Idempotency-Key"),
        (b"{}", {"Idempotency-Key": "a\tb"}, 422, "bad_idempotency_key", "Idempotency-Key"),
    ],
)  # fmt: skip
async def test_a_bad_body_is_a_named_problem(
    tmp_path: Path, raw: bytes, headers: dict[str, str], status: int, code: str, field: str | None
) -> None:
    client = await new_client(new_parts(tmp_path))
    if code == "bad_idempotency_key":
        raw = b'{"label": "a", "scopes": ["messages:send"]}'
    reply = await client("POST", "/v1/keys", raw=raw, headers=JSON | headers)
    assert (reply.status, reply.code) == (status, code)
    assert reply.json.get("field") == field
    assert reply.json["remedy"]


async def test_a_body_in_chunks_is_bounded_although_no_length_is_announced(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path, Config(http=Http(request_body_bytes_max=1024))))
    chunks = [b'{"label": "', b"x" * 600, b"x" * 600, b'"}']
    reply = await client("POST", "/v1/keys", chunks=chunks, headers=JSON)
    assert (reply.status, reply.code) == (413, "too_large")
    whole = [b'{"label": "a", ', b'"scopes": ["messages:send"]}']
    assert (await client("POST", "/v1/keys", chunks=whole, headers=JSON)).status == 201


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "field"),
    [
        ("GET", "/v2/keys", 404, "route_unknown", None),
        ("GET", "/v1/keys/", 404, "route_unknown", None),
        ("PUT", "/v1/keys", 405, "method_not_allowed", None),
        ("TRACE", "/v1/keys", 405, "method_not_allowed", None),
        ("GET", "/v1/keys?limit=0", 422, "invalid_request", "limit"),
        ("GET", "/v1/keys?limit=201", 422, "invalid_request", "limit"),
        ("GET", "/v1/keys?limit=ten", 422, "invalid_request", "limit"),
        ("GET", "/v1/keys?limit=1&limit=2", 422, "duplicate_parameter", "limit"),
        ("GET", "/v1/keys?page=2", 422, "invalid_request", "page"),
        ("GET", "/v1/keys?" + "&".join(f"a{n}=1" for n in range(101)), 422, "too_many_parameters", None),
        ("GET", "/v1/keys?cursor=%00", 422, "invalid_request", "cursor"),
        ("GET", "/v1/keys?cursor=%ff%zz", 200, None, None),
        ("GET", "/v1/keys/key_\x00", 404, "not_found", None),
        ("GET", "/v1/keys/ключ", 404, "not_found", None),
        ("GET", "/v1/capabilities?verbose=1", 422, "query_unknown", "verbose"),
        ("GET", "/v1/keys/key_nobody", 404, "not_found", None),
        ("DELETE", "/v1/keys/key_nobody", 404, "not_found", None),
        ("POST", "/v1/keys/key_nobody:rotate", 404, "not_found", None),
    ],
)
async def test_a_bad_path_or_query_is_a_named_problem(
    tmp_path: Path, method: str, path: str, status: int, code: str | None, field: str | None
) -> None:
    client = await new_client(new_parts(tmp_path))
    reply = await client(method, path)
    assert reply.status == status
    if code is not None:
        assert reply.code == code
        assert reply.json.get("field") == field


async def test_a_wrong_method_is_told_the_right_ones(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path))
    assert (await client("PUT", "/v1/keys")).headers["allow"] == "GET, POST"


async def test_a_problem_never_repeats_what_the_caller_sent(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path))
    for body in ({"label": ["s3cret"]}, GOOD | {"environment": "s3cret"}, GOOD | {"scopes": ["s3cret"]}):
        reply = await client("POST", "/v1/keys", body)
        assert reply.status == 422
        assert b"s3cret" not in reply.body


async def test_every_answer_has_its_request_id_and_guards_the_browser(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path))
    seen = set()
    for method, path in [("GET", "/healthz"), ("GET", "/v1/keys"), ("GET", "/nowhere"), ("PUT", "/v1/keys")]:
        reply = await client(method, path)
        seen.add(reply.headers["x-request-id"])
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert len(seen) == 4
    given: Any = {"X-Request-Id": "trace-0123456789"}
    assert (await client("GET", "/healthz", headers=given)).headers["x-request-id"] == "trace-0123456789"
    forged = {"X-Request-Id": 'x" level="error'}
    assert (await client("GET", "/healthz", headers=forged)).headers["x-request-id"].startswith("req_")


async def test_an_optional_body_may_be_absent_but_not_wrong(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path))
    made = (await client("POST", "/v1/keys", GOOD)).json
    assert (await client("POST", f"/v1/keys/{made['id']}:rotate", {"overlap_hours": -1})).status == 422
    assert (await client("POST", f"/v1/keys/{made['id']}:rotate")).status == 201
