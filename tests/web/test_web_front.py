"""The front: hot dispatch, unexpected faults, logs, lifespan, bounded streams."""

from pathlib import Path
from typing import Any

import pytest
from starlette.responses import StreamingResponse
from structlog.testing import capture_logs
from tests.web.client import Client, new_client, new_parts

from waypost.config import Config, Inbox
from waypost.domain.errors import Busy, Unavailable
from waypost.web.asgi import application
from waypost.web.parts import Parts
from waypost.web.routing import Answer, Ask, Caller, Route


async def _echo(ask: Ask) -> Answer:
    return Answer(200, b"%s %s" % (ask.path.get("app_id", "-").encode(), ask.raw), content_type="text/plain")


def _hot(path: str, **over: Any) -> Route:
    given: dict[str, Any] = {"reads": "raw", "hot": True, "idempotency": "none", "body_limit": "callback"}
    return Route("POST", path, None, "Echo", _echo, **(given | over))


async def test_hot_paths_are_found_before_the_router_and_with_their_parameter(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path), (_hot("/calls/{app_id}"), _hot("/hot:batch")))
    assert (await client("POST", "/calls/app_1", raw=b"x")).body == b"app_1 x"
    assert (await client("POST", "/hot:batch", raw=b"y")).body == b"- y"
    assert (await client("POST", "/calls/app_1/more", raw=b"x")).status == 404
    assert (await client("POST", "/calls/", raw=b"x")).status == 404
    wrong = await client("GET", "/hot:batch")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")


async def test_a_hot_route_still_needs_its_scope(tmp_path: Path) -> None:
    route = Route("POST", "/hot", "messages:send", "Echo", _echo, reads="raw", hot=True, idempotency="own")
    client = await new_client(new_parts(tmp_path), (route,))
    made = (await client("POST", "/v1/keys", {"label": "x", "scopes": ["messages:read"]})).json
    assert (await client("POST", "/hot", raw=b"x", key=made["key"])).code == "scope_missing"
    assert (await client("POST", "/hot", raw=b"x", headers={"Authorization": "Bearer x"})).status == 401
    assert (await client("POST", "/hot", raw=b"x")).status == 200


async def test_who_is_not_admitted_is_told_before_the_body_is_read(tmp_path: Path) -> None:
    def nobody(parts: Parts, caller: Caller) -> None:
        raise Busy(f"{caller.tenant_id} had its share")

    route = Route("POST", "/hot", "messages:send", "Echo", _echo, reads="raw", hot=True, admit=nobody)
    client = await new_client(new_parts(tmp_path), (route,))
    assert (await client("POST", "/hot", raw=b"{", headers={"Content-Length": "9999999999"})).status == 429
    assert (await client("POST", "/hot", raw=b"{", key="wp_live_none")).status == 401


async def test_a_route_is_declared_once(tmp_path: Path) -> None:
    route = _hot("/hot")
    with pytest.raises(ValueError, match="twice"):
        application(new_parts(tmp_path), (route, route))


async def test_a_hot_path_has_its_only_parameter_at_its_end(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="hot path"):
        application(new_parts(tmp_path), (_hot("/calls/{app_id}/more"),))


async def test_an_unexpected_fault_tells_its_kind_to_the_log_and_nothing_to_the_caller(
    tmp_path: Path,
) -> None:
    async def run(ask: Ask) -> None:
        raise KeyError("s3cret")

    client = await new_client(new_parts(tmp_path), (Route("GET", "/v1/broken", "keys:read", "Break", run),))
    with capture_logs() as lines:
        reply = await client("GET", "/v1/broken")
    assert (reply.status, reply.code) == (500, "internal")
    (told,) = [line for line in lines if line["event"] == "unexpected"]
    assert told["error"] == "KeyError"
    assert told["request_id"] == reply.headers["x-request-id"]
    assert "s3cret" not in repr(lines) + reply.body.decode()


async def test_a_request_has_one_log_line_with_ids_and_no_secret(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path))
    with capture_logs() as lines:
        reply = await client("POST", "/v1/keys", {"label": "s3cret label", "scopes": ["keys:read"]})
    (line,) = [each for each in lines if each["event"] == "request"]
    assert (line["method"], line["route"], line["status"]) == ("POST", "/v1/keys", 201)
    assert line["request_id"] == reply.headers["x-request-id"]
    assert line["actor"].startswith("key:key_")
    assert reply.json["key"] not in repr(lines)
    assert "s3cret" not in repr(lines)
    assert str(client.key) not in repr(lines)


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (Busy("the queue is full", retry_after_seconds=3), 429, "3"),
        (Busy("the queue is full"), 429, "1"),
        (Unavailable("the disk is full", code="disk_full", retry_after_seconds=5), 503, "5"),
    ],
)
async def test_who_must_wait_is_told_how_long(
    tmp_path: Path, error: Exception, status: int, retry_after: str
) -> None:
    async def run(ask: Ask) -> None:
        raise error

    client = await new_client(new_parts(tmp_path), (Route("GET", "/v1/full", "keys:read", "Wait", run),))
    reply = await client("GET", "/v1/full")
    assert (reply.status, reply.headers["retry-after"]) == (status, retry_after)


async def test_a_stream_in_is_bounded_and_a_stream_out_passes(tmp_path: Path) -> None:
    async def run(ask: Ask) -> StreamingResponse:
        chunks = [chunk async for chunk in ask.request.stream()]
        return StreamingResponse(iter(chunks), media_type="application/octet-stream")

    route = Route(
        "POST", "/v1/stream", "media:write", "Stream", run, reads="stream", body_limit="media",
        consumes=("application/octet-stream",),
    )  # fmt: skip
    parts = new_parts(tmp_path, Config(inbox=Inbox(media_bytes_max=1024)))
    client = await new_client(parts, (route,))
    kind = {"Content-Type": "application/octet-stream"}
    assert (await client("POST", "/v1/stream", chunks=[b"a", b"b"], headers=kind)).body == b"ab"
    large = await client("POST", "/v1/stream", chunks=[b"x" * 60_000] * 2, headers=kind)
    assert (large.status, large.code) == (413, "too_large")
    assert (await client("POST", "/v1/stream", raw=b"{}")).status == 415


async def test_a_head_request_is_answered_as_its_get(tmp_path: Path) -> None:
    assert (await (await new_client(new_parts(tmp_path)))("HEAD", "/healthz")).status == 200


async def test_a_caller_who_leaves_is_not_an_error(tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    client = await new_client(parts)
    told: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        told.append(message)

    headers = [(b"authorization", f"Bearer {client.key}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/keys", "query_string": b"", "headers": headers}
    with capture_logs() as lines:
        await client.app(scope, receive, send)
    assert told == []
    assert [line["status"] for line in lines if line["event"] == "request"] == [499]


async def test_the_server_may_start_and_stop_it(tmp_path: Path) -> None:
    client: Client = await new_client(new_parts(tmp_path))
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    told: list[Any] = []

    async def receive() -> Any:
        return events.pop(0)

    async def send(message: Any) -> None:
        told.append(message["type"])

    await client.app({"type": "lifespan"}, receive, send)
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
