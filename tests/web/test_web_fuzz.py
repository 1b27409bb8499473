"""Schemathesis over the served document: no 5xx, no status and no shape that the document does not tell.

The application runs in this process on a real store without a provider behind it; routes that speak to the provider
are fuzzed against the emulator in `journeys`.
"""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.web.client import new_parts
from waypost.config import Config
from waypost.domain.keys import SCOPES
from waypost.store import keys
from waypost.web import openapi
from waypost.web.asgi import application
from waypost.web.routes import all_routes
from waypost.web.routing import Route

# These are here to say 501, which is a 5xx by design.
_NOT_BUILT = {"/v1/campaigns", "/v1/evidence"}
_NOUNS_WITHOUT_PROVIDER = {"keys", "operations", "about"}
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
_ROUTES = all_routes(Config())
_FUZZED = [
    route for route in _ROUTES if route.path not in _NOT_BUILT and route.tag in _NOUNS_WITHOUT_PROVIDER
]


@pytest.mark.parametrize("route", _FUZZED, ids=lambda route: f"{route.method} {route.path}")
def test_whatever_is_sent_the_answer_is_a_documented_one(route: Route, tmp_path: Path) -> None:
    parts = new_parts(tmp_path)
    text, item = keys.make_bootstrap(parts.randomness, parts.clock.now())
    (begun,) = [_written(parts, keys.begin, item)]
    assert begun is not None
    app = application(parts, _ROUTES)
    schema = schemathesis.openapi.from_dict(openapi.document(_ROUTES, "1"))
    schema.app = app
    operation = schema[route.path][route.method]
    headers = {"Authorization": f"Bearer {text}"}
    statuses: set[int] = set()

    @settings(
        max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=st.one_of(operation.as_strategy(), _negative(operation)))
    def fuzz(case: Any) -> None:
        response = case.call(headers=headers)
        statuses.add(response.status_code)
        case.validate_response(response, checks=_CHECKS, headers=headers)

    fuzz()
    assert statuses
    assert set(SCOPES)


def _negative(operation: Any) -> Any:
    try:
        return operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    except Exception:
        return operation.as_strategy()


def _written(parts: Any, operation: Any, item: Any) -> Any:
    from waypost.store.engine import Write

    write = Write(operation, item)
    parts.store.engine.commit_batch([write])
    return write.result
