"""The OpenAPI document is the routes: every route in it, every scope declared, every status told."""

import re
from pathlib import Path

import jsonschema_rs
import pytest
from tests.web.client import new_client, new_parts

from waypost.config import Config
from waypost.domain.errors import WaypostError
from waypost.domain.keys import SCOPES
from waypost.web import openapi
from waypost.web.problems import TITLES
from waypost.web.routes import PUBLIC, all_routes
from waypost.web.routing import Route

ROUTES = all_routes(Config())


def _id(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("route", ROUTES, ids=_id)
async def test_a_route_declares_its_scope_or_is_named_as_public(route: Route, tmp_path: Path) -> None:
    if route.path in PUBLIC:
        assert route.scope is None
        return
    assert route.scope in SCOPES
    client = await new_client(new_parts(tmp_path))
    client.key = None
    path = re.sub(r"\{\w+\}", "x", route.path)
    reply = await client(route.method, path, raw=b"{}" if route.method in ("POST", "PUT", "PATCH") else None)
    assert (reply.status, reply.code) == (401, "key_missing")


@pytest.mark.parametrize("route", ROUTES, ids=_id)
def test_a_route_is_documented_with_every_status_it_may_answer(route: Route) -> None:
    described = openapi.document(ROUTES, "1")
    operation = described["paths"][route.path][route.method.lower()]
    assert operation["summary"] == route.summary
    told = {int(status) for status in operation["responses"]}
    assert {each.status for each in route.problems} <= told
    if route.scope:
        assert {401, 403, 422, 503} <= told
        assert operation["security"] == [{"key": []}]
    if route.method in ("POST", "PUT", "PATCH"):
        assert {413, 422, 429, 503} <= told
    if "{" in route.path:
        assert 404 in told
    assert {each["name"] for each in operation["parameters"] if each["in"] == "path"} == set(
        re.findall(r"\{(\w+)\}", route.path)
    )


def test_the_hot_routes_are_declared_like_the_others() -> None:
    hot = {f"{route.method} {route.path}" for route in ROUTES if route.hot}
    assert hot == {"POST /v1/messages", "POST /v1/messages:batch", "POST /callbacks/{app_id}"}


def test_operations_have_names_of_their_own() -> None:
    described = openapi.document(ROUTES, "1")
    names = [each["operationId"] for methods in described["paths"].values() for each in methods.values()]
    assert len(names) == len(set(names))
    assert len(names) == len(ROUTES)


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    described = openapi.document(ROUTES, "1")
    schemas = described["components"]["schemas"]
    references = set(re.findall(r"'#/components/schemas/([^']+)'", repr(described)))
    assert references <= set(schemas)
    for name in schemas:
        root = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        jsonschema_rs.Draft202012Validator(root)


def test_every_example_is_one_that_its_schema_allows() -> None:
    described = openapi.document(ROUTES, "1")
    seen = 0
    for methods in described["paths"].values():
        for operation in methods.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                validator = jsonschema_rs.Draft202012Validator(
                    {**content["schema"], "components": described["components"]}
                )
                for example in content.get("examples", {}).values():
                    validator.validate(example["value"])
                    seen += 1
    assert seen >= 2


def _tree(root: type[WaypostError]) -> list[type[WaypostError]]:
    return [root, *(each for child in root.__subclasses__() for each in _tree(child))]


def test_every_error_has_a_status_with_a_title() -> None:
    assert {each.status for each in _tree(WaypostError)} <= set(TITLES)


async def test_the_page_for_people_shows_every_route_and_runs_no_script(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path))
    client.key = None
    page = await client("GET", "/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src" not in page.headers["content-security-policy"]
    text = page.body.decode()
    assert all(f"<code>{route.path}</code>" in text for route in ROUTES)
    assert "<script" not in text
    assert "http://" not in text
    assert "https://" not in text


async def test_the_document_is_served_as_generated(tmp_path: Path) -> None:
    client = await new_client(new_parts(tmp_path))
    client.key = None
    told = (await client("GET", "/openapi.json")).json
    assert told["openapi"] == "3.1.0"
    assert set(told["paths"]) == {route.path for route in ROUTES}
    assert told["paths"]["/v1/keys"]["post"]["x-scope"] == "keys:write"
