"""How a route is declared: `Route`, what its function is asked (`Ask`) and what it answers (`Answer`).

A route's `run` takes an `Ask` and gives a value (rendered as JSON with `status`), `None` (204), an `Answer`, or a
Starlette `Response` for streams. Mistakes are raised from `domain.errors` and become problems. The classes a route
may raise of its own stand in `problems`; the framework adds its own (see `openapi.statuses_of`).

Idempotency of a POST: a change in ONE transaction goes through `await ask.once(run, render)`; its answer is stored
with the change. Any other POST runs and its 2xx answer is stored right after: between the two a crash forgets the
answer, so such a route must be safe to repeat. `idempotency="own"` leaves look-up and keeping to the route (the hot
ones, which do both in their batch).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request

from waypost.domain.errors import WaypostError
from waypost.domain.keys import SCOPES, Environment, Scope
from waypost.store import idempotency
from waypost.store.engine import Operation, single
from waypost.store.transaction import Transaction
from waypost.web.parts import Parts

__all__ = [
    "SCOPES",
    "Answer",
    "Ask",
    "Caller",
    "Environment",
    "Page",
    "PageQuery",
    "Route",
    "Scope",
    "page_of",
]

T = TypeVar("T")
R = TypeVar("R")

encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


class Caller(Struct, frozen=True):
    """Who asks. `actor` is what the journal says: `key:key_…`, or `operator` on the local socket."""

    tenant_id: str
    actor: str
    scopes: frozenset[str]
    environment: Environment


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as bytes. `replayed` marks a stored one."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    replayed: bool = False


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a list."""

    cursor: Annotated[str, Meta(max_length=200, description="`next_cursor` of the page before.")] | None = (
        None
    )
    limit: Annotated[int, Meta(ge=1, le=200, description="Most items of one page.")] = 50


class Page(Struct, Generic[T], frozen=True):
    """One page of a list; `next_cursor` is null on the last one."""

    items: list[T]
    next_cursor: str | None


def page_of(found: Sequence[T], limit: int, id_of: Callable[[T], str]) -> Page[T]:
    """Make a page of up to `limit` + 1 items found: the one too many only says that there is more."""
    items = list(found[:limit])
    return Page(items, id_of(items[-1]) if len(found) > limit else None)


@dataclass(slots=True)
class _Stored:
    """Whether this request's answer is in the store already."""

    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request, authenticated and read.

    `raw` is the body, empty for `reads="stream"`: use `request.stream()` or `request.form()`, bounded as declared.
    `headers` have lower-case names; `claim` is the Idempotency-Key's.
    """

    parts: Parts
    caller: Caller
    now: datetime
    request_id: str
    path: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes
    query: Any
    body: Any
    claim: idempotency.Claim | None
    request: Request
    stored: _Stored = field(default_factory=_Stored)

    async def once(
        self,
        run: Callable[[Transaction], R],
        render: Callable[[R], Any] = lambda result: result,
        status: int = 201,
        secret_fields: Sequence[str] = (),
    ) -> Answer:
        """Make a change in one transaction, at most once per Idempotency-Key, and give its answer.

        `secret_fields` are top-level fields of the answer that are shown once: they are not stored, and a
        replay names them in `secret_already_shown`. Raises what `run` raises; then nothing is changed or stored.
        """
        shown: list[bytes] = []

        def kept(result: R) -> idempotency.Answer:
            shown.append(encode(render(result)))
            return idempotency.Answer(status, _without(shown[-1], secret_fields))

        if self.claim is None:
            await self.parts.store.write(_alone, _Alone(run, kept))
            return Answer(status, shown[-1])
        item = idempotency.Once(self.claim, run, kept, self.now)
        answer: idempotency.Answer = await self.parts.store.write(idempotency.once, item)
        self.stored.done = True
        if answer.replayed:
            return replay(answer)
        return Answer(status, shown[-1])

    async def change(
        self,
        operation: Operation,
        item: Any,
        render: Callable[[Any], Any] = lambda result: result,
        status: int = 201,
        secret_fields: Sequence[str] = (),
    ) -> Answer:
        """As `once`, for a store operation (batch or `@single`) on one item."""
        return await self.once(running(operation, item), render, status, secret_fields)


def running(operation: Operation, item: Any) -> Callable[[Transaction], Any]:
    """Make of an operation and one item a function of the transaction; it raises what the operation says."""

    def run(tx: Transaction) -> Any:
        (result,) = operation(tx, [item])
        if isinstance(result, BaseException):
            raise result
        return result

    return run


def replay(answer: idempotency.Answer) -> Answer:
    """Give a stored answer again, marked as such."""
    return Answer(answer.status, answer.body, (("Idempotent-Replayed", "true"),), replayed=True)


class Kept(Struct, frozen=True):
    """An answer to store after its work was done outside of a transaction."""

    claim: idempotency.Claim
    answer: idempotency.Answer


@single
def keep(tx: Transaction, item: Kept) -> None:
    """Store the answer of a POST whose work was not one transaction."""
    idempotency.keep(tx, item.claim, item.answer)


class _Alone(Struct, frozen=True):
    run: Callable[[Transaction], Any]
    kept: Callable[[Any], Any]


@single
def _alone(tx: Transaction, item: _Alone) -> Any:
    return item.kept(item.run(tx))


def _without(body: bytes, secret_fields: Sequence[str]) -> bytes:
    if not secret_fields:
        return body
    fields = _decode_object(body)
    taken = [name for name in secret_fields if fields.pop(name, None) is not None]
    return encode({**fields, "secret_already_shown": taken}) if taken else body


@dataclass(frozen=True, slots=True)
class Route:
    """One route. `scope` None makes it public, which a test allows for named routes only.

    `body`, `query`, `answer`: msgspec types; the OpenAPI document and the reading both come from them. Structs
    of bodies and queries say `forbid_unknown_fields=True`. `reads`: "json" (strict, decoded into `body`), "raw"
    (bytes in `Ask.raw`, the route decodes; `body` only documents), "stream". `body_limit` names the setting that
    bounds it. `admit` raises what is plain before the body is read. `hot` routes are dispatched before Starlette:
    fixed path, or one `{parameter}` at its end.
    `statuses` are further success statuses; `examples`: name → an example body, shown and fuzzed from.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    scope: Scope | None
    summary: str
    run: Callable[[Ask], Awaitable[Any]]
    body: Any = None
    query: type[Struct] | None = None
    answer: Any = None
    status: int = 200
    problems: tuple[type[WaypostError], ...] = ()
    tag: str = ""
    description: str = ""
    reads: Literal["json", "raw", "stream"] = "json"
    consumes: tuple[str, ...] = ("application/json",)
    produces: str = "application/json"
    body_limit: Literal["request", "callback", "media"] = "request"
    idempotency: Literal["framework", "own", "none"] = "framework"
    body_optional: bool = False
    hot: bool = False
    admit: Callable[[Parts, Caller], None] | None = None
    statuses: tuple[int, ...] = ()
    examples: Mapping[str, Any] = field(default_factory=dict)
