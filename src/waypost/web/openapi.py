"""The OpenAPI 3.1 document, generated from the types that read and render; and the page that shows it to people."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup

from waypost.domain.errors import (
    Busy,
    Conflict,
    Forbidden,
    InvalidRequest,
    Malformed,
    TooLarge,
    Unauthenticated,
    Unavailable,
    WaypostError,
)
from waypost.domain.errors import NotFound as NotFoundError
from waypost.web.problems import CONTENT_TYPE, TITLES, Problem, UnsupportedMedia
from waypost.web.routing import Answer, Ask, Route, encode

_PARAMETER = re.compile(r"\{(\w+)\}")
_REF = "#/components/schemas/{name}"
_INTRODUCTION = (
    "One API over official WhatsApp numbers. Errors are RFC 9457 problems with a stable `code`. Lists take `cursor`"
    " and `limit`. Times are RFC 3339 in UTC. Send an `Idempotency-Key` with every POST, and repeat it safely."
)
_PAGE_CSP = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


def statuses_of(route: Route) -> dict[int, list[type[WaypostError]]]:
    """Give every problem the route may answer, by status: its own, and those of the framework around it."""
    found: list[type[WaypostError]] = list(route.problems)
    if route.scope is not None:
        # Looking up the key reads the store; a tenant may have too many reads waiting.
        found += [Unauthenticated, Forbidden, InvalidRequest, Unavailable, Busy]
    if route.query is not None:
        found.append(InvalidRequest)
    if _PARAMETER.search(route.path):
        found.append(NotFoundError)
    if route.method in ("POST", "PUT", "PATCH"):
        found += [TooLarge, InvalidRequest, Busy, Unavailable]
        if route.body is not None or route.reads == "stream":
            found += [Malformed, UnsupportedMedia]
    if route.method == "POST" and route.idempotency != "none":
        found.append(Conflict)
    if route.method == "DELETE":
        found += [Busy, Unavailable]
    by_status: dict[int, list[type[WaypostError]]] = {}
    for each in found:
        known = by_status.setdefault(each.status, [])
        if each not in known:
            known.append(each)
    return by_status


def document(routes: Sequence[Route], release: str) -> dict[str, Any]:
    """Generate the document of `routes`."""
    types: list[Any] = [Problem]
    for route in routes:
        types += [each for each in (route.body, route.answer, route.query) if each is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of: dict[int, Any] = {id(each): schema for each, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Waypost",
            "version": release,
            "summary": "A self-hosted WhatsApp gateway.",
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes if route.tag)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "wp_live_… or wp_test_…",
                    "description": "An API key. `X-API-Key: wp_…` works as well.",
                }
            },
        },
    }


def document_routes(routes: Sequence[Route], release: str) -> tuple[Route, ...]:
    """Give the routes `/openapi.json` and `/docs`, which document themselves too."""
    made: dict[str, Answer] = {}

    async def as_json(ask: Ask) -> Answer:
        if "json" not in made:
            made["json"] = Answer(200, encode(document(everything, release)))
        return made["json"]

    async def as_page(ask: Ask) -> Answer:
        if "page" not in made:
            made["page"] = Answer(
                200,
                page(document(everything, release)).encode(),
                (("Content-Security-Policy", _PAGE_CSP),),
                "text/html; charset=utf-8",
            )
        return made["page"]

    own = (
        Route("GET", "/openapi.json", None, "This document", as_json, answer=dict[str, Any], tag="about"),
        Route(
            "GET",
            "/docs",
            None,
            "This document for people",
            as_page,
            answer=str,
            produces="text/html",
            tag="about",
        ),
    )
    everything = (*routes, *own)
    return own


def page(described: dict[str, Any]) -> str:
    """Render the document as one HTML page without a script."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["fields"] = lambda schema: list(_fields(schema, described["components"]["schemas"]))
    environment.filters["as_json"] = lambda value: msgspec.json.format(encode(value), indent=2).decode()
    environment.filters["inline"] = _inline
    source = (Path(__file__).parent / "pages" / "docs.html").read_text("utf-8")
    by_tag: dict[str, list[dict[str, Any]]] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            entry = {"path": path, "method": method.upper(), **operation}
            by_tag.setdefault((operation.get("tags") or ["other"])[0], []).append(entry)
    return environment.from_string(source).render(document=described, by_tag=by_tag)


def _inline(text: str | None) -> Markup:
    """Render `words in backquotes` as code."""
    parts = (text or "").split("`")
    # Escaped by Markup's own formatting: what stands between the tags is never trusted.
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts)
    )


def _operation(route: Route, schema_of: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "parameters": list(_parameters(route, schema_of, components)),
        "responses": _responses(route, schema_of),
    }
    if route.tag:
        operation["tags"] = [route.tag]
    told = [route.description] if route.description else []
    if route.scope is None:
        operation["security"] = []
    else:
        operation["security"] = [{"key": []}]
        operation["x-scope"] = route.scope
        told.append(f"Scope: `{route.scope}`.")
    operation["description"] = " ".join(told)
    if route.method in ("POST", "PUT", "PATCH") and (route.body is not None or route.reads == "stream"):
        operation["requestBody"] = _request_body(route, schema_of)
    return operation


def _request_body(route: Route, schema_of: dict[int, Any]) -> dict[str, Any]:
    schema = schema_of[id(route.body)] if route.body is not None else {"type": "string", "format": "binary"}
    content: dict[str, Any] = {"schema": schema}
    if route.examples:
        content["examples"] = {
            name.replace(" ", "-"): {"summary": name, "value": value}
            for name, value in route.examples.items()
        }
    return {
        "required": not route.body_optional,
        "content": {each: content for each in route.consumes},
    }


def _parameters(
    route: Route, schema_of: dict[int, Any], components: dict[str, Any]
) -> Iterable[dict[str, Any]]:
    for name in _PARAMETER.findall(route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    if route.query is not None:
        schema = _resolved(schema_of[id(route.query)], components)
        for name, each in schema.get("properties", {}).items():
            required = name in schema.get("required", ())
            parameter = {"name": name, "in": "query", "required": required, "schema": _without_null(each)}
            if "description" in each:
                parameter["description"] = each["description"]
            yield parameter
    if route.method == "POST" and route.idempotency != "none":
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "The same key with the same body gives the first answer again.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        }


def _responses(route: Route, schema_of: dict[int, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if route.status < 400:
        for status in (route.status, *route.statuses):
            response: dict[str, Any] = {"description": "Done."}
            if status != 204 and route.answer is not None:
                response["content"] = {route.produces: {"schema": schema_of[id(route.answer)]}}
            responses[str(status)] = response
    reference = {"$ref": _REF.format(name="Problem")}
    for status, errors in sorted(statuses_of(route).items()):
        told = " ".join(dict.fromkeys((each.__doc__ or "").partition("\n")[0] for each in errors))
        response = {
            "description": f"{TITLES.get(status, 'Error')}. {told}".strip(),
            "content": {CONTENT_TYPE: {"schema": reference}},
        }
        if status in (429, 503):
            response["headers"] = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds."}}
        responses[str(status)] = response
    return responses


def _operation_id(route: Route) -> str:
    words = re.sub(r"[^a-zA-Z0-9]+", " ", route.path.removeprefix("/v1")).split()
    return "_".join([route.method.lower(), *words])


def _resolved(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    found: dict[str, Any] = components[reference.rpartition("/")[2]] if reference else schema
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query has no null: an absent parameter is absent."""
    options = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    plain = {key: value for key, value in schema.items() if key not in ("anyOf", "default", "description")}
    if len(options) == 1:
        return {**options[0], **plain}
    if options:
        return {"anyOf": options, **plain}
    return plain if schema.get("default", 0) is None else {**plain, **_default(schema)}


def _default(schema: dict[str, Any]) -> dict[str, Any]:
    return {"default": schema["default"]} if "default" in schema else {}


def _fields(schema: dict[str, Any], components: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """Give the fields of an object schema for the page; of a union, its members' names."""
    schema = _resolved(schema, components)
    for each in schema.get("anyOf", ()):
        if "$ref" in each:
            yield {"name": "one of", "type": each["$ref"].rpartition("/")[2], "required": False, "told": ""}
    for name, each in schema.get("properties", {}).items():
        yield {
            "name": name,
            "type": _type_name(each),
            "required": name in schema.get("required", ()),
            "told": each.get("description", ""),
        }


def _type_name(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return " | ".join(str(each) for each in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_type_name(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type_name(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type", "any"))
