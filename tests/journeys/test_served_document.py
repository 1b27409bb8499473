"""Schemathesis over the document as it is served, every route, against a gateway process with its provider."""

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.journeys.house import House

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# Say 501 by design; a stream does not end; the story's own number and key stay.
LEFT_OUT = {"/v1/campaigns", "/v1/evidence", "/v1/events/stream"}


def fuzz(base: str, headers: dict[str, str], examples: int) -> dict[str, set[int]]:
    """Send good and bad requests to every route of the served document; gives the statuses seen."""
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json", headers=headers)
    seen: dict[str, set[int]] = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in LEFT_OUT:
            continue
        statuses = seen.setdefault(operation.label, set())
        fuzz_one(operation, headers, examples, statuses)
    return seen


def fuzz_one(operation: Any, headers: dict[str, str], examples: int, statuses: set[int]) -> None:
    """Fuzz one route."""
    modes = [operation.as_strategy(generation_mode=GenerationMode.POSITIVE)]
    if operation.body or operation.query:
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
        response = case.call(headers=headers)
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS, headers=headers)

    send()


@pytest.mark.asyncio(loop_scope="session")
async def test_whatever_is_sent_to_the_served_gateway_is_answered_as_documented(house: House) -> None:
    caller = await house.gateway.caller()
    headers = {"Authorization": caller.http.headers["Authorization"]}
    try:
        seen = await asyncio.to_thread(fuzz, house.gateway.base, headers, 8)
    finally:
        await caller.close()

    assert len(seen) > 50
    everything = set().union(*seen.values())
    assert {200, 201, 404, 422} <= everything
    assert not {status for status in everything if status >= 500 and status != 502}
