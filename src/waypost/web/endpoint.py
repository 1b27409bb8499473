"""One route as an ASGI application: authenticate, read, ask, render. The same for hot and cold routes."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import structlog
from msgspec import inspect
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from waypost.domain import strict_json
from waypost.domain.errors import InvalidRequest, Malformed, NotFound, WaypostError
from waypost.store import idempotency
from waypost.web import auth, limits
from waypost.web.memory import ASKING
from waypost.web.parts import Parts
from waypost.web.routing import Answer, Ask, Caller, Kept, Route, encode, keep, replay

_log = structlog.get_logger("waypost.web")
_WITH_BODY = ("POST", "PUT", "PATCH")
_PARAMETERS_MAX = 100


class Endpoint:
    """Serves one route. `local` is the operator's socket: no key, every scope."""

    def __init__(self, route: Route, parts: Parts, local: bool) -> None:
        self.route = route
        self._parts = parts
        self._local = local
        self._limit = limits.bytes_max(route, parts.config)
        self._decoder = (
            msgspec.json.Decoder(route.body) if route.reads == "json" and route.body is not None else None
        )
        self._repeatable = _repeatable(route.query)
        self._retention = timedelta(hours=parts.config.idempotency.retention_hours)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; raises WaypostError for the front to render."""
        route, parts = self.route, self._parts
        now = parts.clock.now()
        path = scope.get("path_params", {})
        for value in path.values():
            # No id of ours looks so, and not every engine takes a NUL in text.
            if not value.isascii() or not value.isprintable():
                raise NotFound("There is nothing of that id.", remedy="Copy the id again.")
        caller = await auth.caller_of(parts, scope, route, now, self._local)
        scope["waypost.caller"] = caller
        if not self._local:
            # The server gives each request a context of its own; it is set anew all the same, for one that would not.
            ASKING.set(caller.tenant_id)
        if route.admit is not None:
            route.admit(parts, caller)
        raw, receive = await self._read(scope, receive)
        query = self._query(scope["query_string"])
        body = self._body(raw)
        claim = self._claim(scope, caller, raw, now)
        ask = Ask(
            parts=parts,
            caller=caller,
            now=now,
            request_id=scope["waypost.request_id"],
            path=path,
            headers=Headers(raw=scope["headers"]),
            raw=raw,
            query=query,
            body=body,
            claim=claim,
            request=Request(scope, receive),
        )
        if claim is None:
            answer = await self._answer(ask)
        else:
            parts.under_way.take(claim.tenant_id, claim.key)
            try:
                answer = await self._answer(ask)
            finally:
                parts.under_way.release(claim.tenant_id, claim.key)
        if isinstance(answer, Answer):
            await send_answer(answer, send)
        else:
            await answer(scope, receive, send)
        if route.scope is not None:
            await self._note_use(caller, now)

    async def _answer(self, ask: Ask) -> Answer | Response:
        claim = ask.claim if self.route.idempotency == "framework" else None
        if claim is not None:
            stored = await self._parts.store.read(idempotency.find, claim, ask.now)
            if stored is not None:
                return replay(stored)
        answer = self._rendered(await self.route.run(ask))
        if (
            claim is not None
            and not ask.stored.done
            and isinstance(answer, Answer)
            and 200 <= answer.status < 300
        ):
            item = Kept(claim, idempotency.Answer(answer.status, answer.body))
            try:
                await self._parts.store.write(keep, item)
            except WaypostError as error:
                # The work is done and can't be undone: its caller must hear so, though a repeat won't be replayed.
                _log.warning("answer_not_kept", request_id=ask.request_id, code=error.code)
        return answer

    def _rendered(self, value: Any) -> Answer | Response:
        if isinstance(value, Answer | Response):
            return value
        if value is None:
            return Answer(204)
        return Answer(self.route.status, encode(value))

    async def _read(self, scope: Scope, receive: Receive) -> tuple[bytes, Receive]:
        route = self.route
        if route.method not in _WITH_BODY:
            return b"", receive
        limits.check_length(scope, self._limit)
        if route.reads == "stream":
            limits.check_content_type(scope, route)
            return b"", limits.bounded(receive, self._limit)
        raw = await limits.read(receive, self._limit)
        if raw and route.body is not None:
            limits.check_content_type(scope, route)
        return raw, receive

    def _body(self, raw: bytes) -> Any:
        route = self.route
        if route.method not in _WITH_BODY or route.reads != "json":
            return None
        if self._decoder is None:
            if raw.strip() not in (b"", b"{}"):
                raise InvalidRequest("This route takes no body.", code="body_unexpected", remedy="Send none.")
            return None
        if not raw:
            if not route.body_optional:
                raise Malformed("The body is missing.", code="body_missing", remedy="Send a JSON object.")
            raw = b"{}"
        return strict_json.decode(self._decoder, raw, InvalidRequest)

    def _query(self, query_string: bytes) -> Any:
        if self.route.query is None:
            if query_string and self.route.scope is not None:
                name = query_string.partition(b"=")[0][:100].decode("latin-1")
                raise InvalidRequest(
                    "This route takes no query.", field=name, code="query_unknown", remedy="Leave it out."
                )
            return None
        values: dict[str, Any] = {}
        if query_string.count(b"&") >= _PARAMETERS_MAX:
            raise InvalidRequest(
                f"More than {_PARAMETERS_MAX} parameters.", code="too_many_parameters", remedy="Send fewer."
            )
        for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
            if "\x00" in value:
                raise InvalidRequest(
                    "This value holds a NUL character.", field=name[:100], remedy="Leave the character out."
                )
            if name in self._repeatable:
                values.setdefault(name, []).append(value)
            elif name in values:
                raise InvalidRequest(
                    "This parameter occurs twice.",
                    field=name[:100],
                    code="duplicate_parameter",
                    remedy="Send it once.",
                )
            else:
                values[name] = value
        try:
            return msgspec.convert(values, self.route.query, strict=False)
        except msgspec.ValidationError as failure:
            raise strict_json.explain(str(failure), InvalidRequest) from None

    def _claim(self, scope: Scope, caller: Caller, raw: bytes, now: datetime) -> idempotency.Claim | None:
        if self.route.method != "POST" or self.route.idempotency == "none":
            return None
        key = limits.header(scope, b"idempotency-key")
        if key is None:
            return None
        path, query = scope["path"], scope["query_string"]
        return idempotency.claim_of(
            caller.tenant_id, key, scope["method"], path, query, raw, now + self._retention
        )

    async def _note_use(self, caller: Caller, now: datetime) -> None:
        try:
            await auth.note_use(self._parts, caller, now)
        except WaypostError as error:
            # The answer is out; with a full disk reading goes on, and the time of last use may wait.
            _log.debug("key_use_not_noted", code=error.code)


async def send_answer(answer: Answer, send: Send) -> None:
    """Send an answer made of bytes."""
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
    if answer.status != 204:
        headers.append((b"content-type", answer.content_type.encode()))
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _repeatable(query: type[msgspec.Struct] | None) -> frozenset[str]:
    """Give the names of the query's list fields: only those may occur more than once."""
    if query is None:
        return frozenset()
    described = inspect.type_info(query)
    assert isinstance(described, inspect.StructType)
    return frozenset(each.encode_name for each in described.fields if _is_list(each.type))


def _is_list(found: inspect.Type) -> bool:
    if isinstance(found, inspect.Metadata):
        return _is_list(found.type)
    if isinstance(found, inspect.UnionType):
        return any(_is_list(each) for each in found.types)
    return isinstance(found, inspect.CollectionType | inspect.VarTupleType)
