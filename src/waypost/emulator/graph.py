"""The Graph front door: version prefix, token, node, edge. Every edge is a function in a table."""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from waypost.emulator.answers import Answer, Cut
from waypost.emulator.errors import GraphError, unknown_object
from waypost.emulator.sending import before
from waypost.emulator.stage import Stage
from waypost.emulator.world import Token

Wire = dict[str, Any]
_VERSION: Final = re.compile(r"^v\d+(\.\d+)?$")


@dataclass(slots=True)
class Call:
    """One Graph call: who asks, of which node, at which edge, with what."""

    stage: Stage
    request: Request
    method: str
    node: str
    edge: str
    tail: tuple[str, ...]
    query: dict[str, str]
    token: Token
    raw: bytes = b""
    _parameters: Wire | None = field(default=None)

    def fields(self) -> str | None:
        """The projection asked for."""
        return self.query.get("fields")

    async def parameters(self) -> Wire:
        """Query, form and JSON parameters as one object; text that holds JSON is read as such in forms."""
        if self._parameters is None:
            found: Wire = {key: value for key, value in self.query.items() if key != "access_token"}
            kind = self.request.headers.get("content-type", "").lower()
            if kind.startswith("multipart/form-data"):
                form = await self.request.form()
                found.update({key: value for key, value in form.items()})
            else:
                self.raw = await self.request.body()
                found.update(_body_parameters(self.raw, kind))
            self._parameters = found
        return self._parameters


Edge = Callable[[Call], Awaitable[Answer]]


def _body_parameters(raw: bytes, kind: str) -> Wire:
    if not raw:
        return {}
    if "x-www-form-urlencoded" in kind:
        found: Wire = {}
        for key, value in parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True):
            found[key] = _loaded(value) if value[:1] in "[{" else value
        return found
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise GraphError(100, "The body is not valid JSON.", message="(#100) Invalid parameter") from None
    if not isinstance(body, dict):
        raise GraphError(100, "The body must be a JSON object.", message="(#100) Invalid parameter")
    return body


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class Graph:
    """Finds the function of a call and turns refusals into envelopes."""

    def __init__(self, stage: Stage, edges: dict[tuple[str, str, str], Edge]) -> None:
        self._stage = stage
        self._edges = edges

    async def answer(self, request: Request) -> Answer:
        """Answer one request; raises Cut when the connection must be cut."""
        try:
            return await self._route(request)
        except GraphError as refusal:
            return Answer(
                json.dumps(refusal.envelope(self._stage.trace_id())).encode(),
                refusal.http_status,
                {**refusal.headers, "WWW-Authenticate": 'OAuth "Facebook Platform"'}
                if refusal.code == 190
                else refusal.headers,
            )
        except Cut as cut:
            if cut.answer is not None:
                return cut.answer
            raise

    async def _route(self, request: Request) -> Answer:
        parts = [part for part in request.url.path.split("/") if part]
        if parts and _VERSION.match(parts[0]):
            parts = parts[1:]
        query = dict(request.query_params)
        method = request.method
        if not parts:
            raise GraphError(
                2500, http_status=400, message="An active access token must be used to query information"
            )
        node, edge, tail = parts[0], parts[1] if len(parts) > 1 else "", tuple(parts[2:])
        token = self._token(request, query, node)
        call = Call(self._stage, request, method, node, edge, tail, query, token)
        kind = self._kind(node)
        wanted = self._edges.get((method, kind, edge)) or self._edges.get((method, kind, "*"))
        if wanted is None:
            await self._strike(call, kind)
            if kind == "none" and edge != "":
                raise unknown_object(node, method)
            if any(known[1:] == (kind, edge) for known in self._edges):
                raise GraphError(100, message=f"(#100) Unsupported {method.lower()} request", http_status=405)
            raise unknown_object(node, method)
        if (method, edge) != ("POST", "messages"):
            await self._strike(call, kind)
        try:
            return await wanted(call)
        except ClientDisconnect:
            raise Cut from None
        finally:
            await request.close()

    async def _strike(self, call: Call, kind: str) -> None:
        """Faults on other edges; the messages edge strikes for itself, knowing the recipient."""
        if self._stage.faults.active:
            number_id = call.node if kind == "number" else None
            await before(self._stage, number_id, None, call.edge or kind)

    def _kind(self, node: str) -> str:
        world = self._stage.world
        for kind, nodes in (
            ("number", world.numbers),
            ("waba", world.wabas),
            ("app", world.apps),
            ("template", world.templates),
            ("media", world.media),
            ("portfolio", world.portfolios),
            ("upload", world.uploads),
        ):
            if node in nodes:
                return kind
        return f"/{node}" if node in ("debug_token", "oauth", "me", "_media") else "none"

    def _token(self, request: Request, query: dict[str, str], node: str) -> Token:
        text = request.headers.get("authorization", "")
        if text:
            scheme, _, rest = text.partition(" ")
            text = rest.strip() if scheme.lower() in ("bearer", "oauth") else ""
        text = text or request.headers.get("d360-api-key", "") or query.get("access_token", "")
        world = self._stage.world
        if node == "oauth":
            return Token("", query.get("client_id", ""))
        if not text:
            raise GraphError(
                190, http_status=401, message="An access token is required to request this resource."
            )
        app_id, bar, secret = text.partition("|")
        if bar and app_id in world.apps and world.apps[app_id].secret == secret:
            return Token(text, app_id)
        token = world.tokens.get(text)
        if token is None:
            raise GraphError(
                190, http_status=401, message="Invalid OAuth access token - Cannot parse access token"
            )
        if (
            token.state == "valid"
            and token.expires_at is not None
            and token.expires_at <= self._stage.clock.now()
        ):
            token.state = "expired"
        if token.state == "expired":
            raise GraphError(
                190, subcode=463, http_status=401, message="Error validating access token: expired."
            )
        if token.state == "invalidated":
            raise GraphError(
                190, subcode=467, http_status=401, message="Error validating access token: logged out."
            )
        return token
