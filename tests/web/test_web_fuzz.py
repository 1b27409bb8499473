"""Schemathesis over the served document: no 5xx, no status and no shape that the document does not tell.

The application runs in this process on a real store without a provider behind it; routes that speak to the provider
are fuzzed against the emulator in `journeys`.
"""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
import schemathesis
from schemathesis.core.failures import FailureGroup
from tests.support import seed_number
from tests.web.client import new_parts
from tests.web.fuzzing import fuzz_route, send_and_check

from waypost.config import Config
from waypost.domain.errors import ProviderRefused
from waypost.store import keys
from waypost.store.engine import Write
from waypost.web import openapi
from waypost.web.asgi import application
from waypost.web.problems import MethodNotAllowed
from waypost.web.routes import all_routes
from waypost.web.routing import Ask, Route

# These are here to say 501, which is a 5xx by design.
_NOT_BUILT = {"/v1/campaigns", "/v1/evidence"}
_TAGS_WITHOUT_PROVIDER = {"keys", "operations", "about", "messages", "callbacks"}
_ROUTES = all_routes(Config())
_FUZZED = [
    each
    for each in _ROUTES
    if each.path not in _NOT_BUILT
    and (each.tag in _TAGS_WITHOUT_PROVIDER or each.method == "GET")
    and each.produces != "text/event-stream"
    and not each.path.endswith("/golive")  # asks the provider
]


def _fuzz(folder: Path, routes: tuple[Route, ...], route: Route, examples: int) -> set[int]:
    """Send `examples` good and bad requests to one route; gives the statuses seen, raises on a broken promise."""
    parts = new_parts(folder)
    text, item = keys.make_bootstrap(parts.randomness, parts.clock.now())
    begun = Write(keys.begin, item)
    parts.store.engine.commit_batch([begun])
    # The number of the documented example, so that good drafts are accepted.
    number = {"tenant_id": begun.result.tenant_id, "suffix": "06f1000000000000000000000"}
    asyncio.run(seed_number(parts.store, **number))
    schema = schemathesis.openapi.from_dict(openapi.document(routes, "1"))
    schema.app = application(parts, routes)
    operation = schema[route.path][route.method]
    headers = {"Authorization": f"Bearer {text}"}
    statuses: set[int] = set()
    fuzz_route(operation, route.body is not None or route.query is not None, headers, examples, statuses)
    for body in route.examples.values() if "{" not in route.path else ():
        # What the document shows is not left to chance.
        shown = operation.Case(body=body, media_type="application/json")
        send_and_check(shown, headers, statuses)
    if route.body is not None and "{" not in route.path:
        # Nor is what no document allows.
        strange = operation.Case(body={"surely": "no field of ours"}, media_type="application/json")
        send_and_check(strange, headers, statuses)
    return statuses


@pytest.mark.parametrize("route", _FUZZED, ids=lambda route: f"{route.method} {route.path}")
def test_whatever_is_sent_the_answer_is_a_documented_one(route: Route, tmp_path: Path) -> None:
    statuses = _fuzz(tmp_path, _ROUTES, route, 25)
    assert statuses - {401}
    if route.body is not None and "{" not in route.path and ProviderRefused not in route.problems:
        assert {route.status, 422} <= statuses


class _Shape(msgspec.Struct, frozen=True):
    count: int


async def _breaks(ask: Ask) -> None:
    raise KeyError("x")


async def _tells_another_status(ask: Ask) -> None:
    raise MethodNotAllowed(("GET",))


async def _tells_another_shape(ask: Ask) -> dict[str, str]:
    return {"count": "many"}


@pytest.mark.parametrize("run", [_breaks, _tells_another_status, _tells_another_shape])
def test_a_planted_broken_promise_is_caught(run: Any, tmp_path: Path) -> None:
    planted = Route("GET", "/v1/planted", "keys:read", "Planted", run, answer=_Shape)
    with pytest.raises(FailureGroup):
        _fuzz(tmp_path, (*_ROUTES, planted), planted, 2)
