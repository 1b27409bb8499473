"""Fuzzing one route of a document: good and bad requests, each answer held to what the document promises."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def send_and_check(case: Any, headers: dict[str, str], statuses: set[int]) -> None:
    """Send one request, note its status, raise on a broken promise."""
    response = case.call(headers=headers)
    statuses.add(response.status_code)
    case.validate_response(response, checks=CHECKS, headers=headers)


def fuzz_route(
    operation: Any, has_input: bool, headers: dict[str, str], examples: int, statuses: set[int]
) -> None:
    """Send `examples` requests made from the route's schema, and from its opposite when it has any input."""
    modes = [operation.as_strategy(generation_mode=GenerationMode.POSITIVE)]
    if has_input:
        modes.append(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(*modes))
    def send(case: Any) -> None:
        send_and_check(case, headers, statuses)

    send()
