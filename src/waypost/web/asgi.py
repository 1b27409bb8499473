"""The whole HTTP face as one ASGI application.

In front stands a dispatch table for the hot routes, `{(method, path): endpoint}` and a prefix for each hot path that
ends in a parameter; behind it Starlette's router for all routes. Around both: the request id, security headers,
problems for whatever is raised, one log line and one figure per request.
"""

import re
from collections.abc import Sequence

import structlog
from starlette.requests import ClientDisconnect
from starlette.routing import Route as PathRoute
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from waypost.domain.errors import NotFound, WaypostError, places
from waypost.web import problems
from waypost.web.endpoint import Endpoint, send_answer
from waypost.web.limits import header
from waypost.web.parts import Parts
from waypost.web.routing import Route

_log = structlog.get_logger("waypost.web")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
_SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


def application(parts: Parts, routes: Sequence[Route], local: bool = False) -> ASGIApp:
    """Build the application. `local`: for the operator's Unix socket, where no key is asked for."""
    return Front(parts, routes, local)


class Front:
    """What every request passes first and last."""

    def __init__(self, parts: Parts, routes: Sequence[Route], local: bool) -> None:
        self._parts = parts
        self._hot: dict[tuple[str, str], Endpoint] = {}
        self._hot_prefixes: list[tuple[str, str, str, Endpoint]] = []
        paths: dict[str, dict[str, Endpoint]] = {}
        for route in routes:
            endpoint = Endpoint(route, parts, local)
            methods = paths.setdefault(route.path, {})
            if route.method in methods:
                raise ValueError(f"{route.method} {route.path} is declared twice")
            methods[route.method] = endpoint
            if route.hot:
                self._add_hot(route, endpoint)
        ordered = sorted(paths, key=_precedence)
        self._router = Router(
            [PathRoute(path, _Methods(paths[path])) for path in ordered],
            redirect_slashes=False,
            default=_nowhere,
        )

    def _add_hot(self, route: Route, endpoint: Endpoint) -> None:
        prefix, brace, name = route.path.partition("{")
        if not brace:
            self._hot[route.method, route.path] = endpoint
        elif name.endswith("}") and "/" not in name:
            self._hot_prefixes.append((route.method, prefix, name[:-1], endpoint))
        else:
            raise ValueError(f"{route.path}: a hot path is fixed or ends in its only parameter")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of ASGI."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        given = header(scope, b"x-request-id")
        request_id = given if given and _REQUEST_ID.fullmatch(given) else self._new_id()
        scope["waypost.request_id"] = request_id
        started_at = self._parts.clock.now()
        out = _Out(send, request_id)
        await self._guarded(scope, receive, out)
        seconds = (self._parts.clock.now() - started_at).total_seconds()
        self._tell(scope, out.status, seconds)

    async def _guarded(self, scope: Scope, receive: Receive, out: "_Out") -> None:
        request_id = scope["waypost.request_id"]
        try:
            await self._dispatch(scope, receive, out.send)
        except WaypostError as error:
            if out.status:
                # Half an answer is out: the server closes the connection, which is how its caller learns of it.
                _log.warning("broken_off", request_id=request_id, code=error.code)
                return
            await send_answer(problems.render(error, request_id), out.send)
        except ClientDisconnect:
            out.status = out.status or 499
        except Exception as error:
            # The message of an exception may hold what a caller sent, so only its kind and place are told.
            _log.error("unexpected", request_id=request_id, error=type(error).__name__, at=places(error))
            if out.status:
                return
            await send_answer(problems.internal(request_id), out.send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        endpoint = self._hot.get((method, path))
        if endpoint is None:
            for hot_method, prefix, name, found in self._hot_prefixes:
                rest = path[len(prefix) :]
                if method == hot_method and path.startswith(prefix) and rest and "/" not in rest:
                    scope["path_params"] = {name: rest}
                    endpoint = found
                    break
        if endpoint is None:
            await self._router(scope, receive, send)
            return
        scope["waypost.route"] = endpoint.route
        await endpoint(scope, receive, send)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route: Route | None = scope.get("waypost.route")
        path = route.path if route else "unknown"
        method = route.method if route else "other"
        self._parts.metrics.request(method, path, status, seconds)
        caller = scope.get("waypost.caller")
        # Thousands a second on the hot routes: what went well, or was one too many, is told at `debug` only.
        tell = _log.debug if route and route.hot and (status < 400 or status == 429) else _log.info
        tell(
            "request",
            request_id=scope["waypost.request_id"],
            method=method,
            route=path,
            status=status,
            duration_ms=round(seconds * 1000, 2),
            actor=caller.actor if caller else None,
        )

    def _new_id(self) -> str:
        return "req_" + self._parts.randomness.token_bytes(12).hex()


class _Out:
    """The way out: adds the request id and the security headers, remembers the status."""

    __slots__ = ("_request_id", "_send", "status")

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id.encode()
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
            present = {name for name, _ in headers}
            headers.append((b"x-request-id", self._request_id))
            headers.extend(each for each in _SECURITY_HEADERS if each[0] not in present)
            message["headers"] = headers
        await self._send(message)


class _Methods:
    """The endpoints of one path by method; HEAD is answered as GET."""

    def __init__(self, endpoints: dict[str, Endpoint]) -> None:
        self._endpoints = endpoints
        self._allow = tuple(sorted(endpoints))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        endpoint = self._endpoints.get(method)
        if endpoint is None:
            raise problems.MethodNotAllowed(self._allow)
        scope["waypost.route"] = endpoint.route
        await endpoint(scope, receive, send)


def _precedence(path: str) -> list[int]:
    """Order paths: a fixed segment first, then `{id}:verb`, then `{id}`, or the last would swallow the others."""
    return [0 if "{" not in part else 2 if part.endswith("}") else 1 for part in path.split("/")]


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotFound(
        "There is nothing at this path.", code="route_unknown", remedy="See /openapi.json or /docs."
    )


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
