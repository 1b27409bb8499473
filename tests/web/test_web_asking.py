"""A request's work is counted to the tenant that asks; the operator's and the unknown's to nobody."""

from pathlib import Path

from tests.web.client import new_client, new_parts

from waypost.web.memory import ASKING
from waypost.web.routing import Ask, Route


async def _whose(ask: Ask) -> dict[str, str]:
    return {"asking": ASKING.get(), "tenant_id": ask.caller.tenant_id}


async def test_work_is_counted_to_the_tenant_whose_key_asks_and_to_nobody_else(tmp_path: Path) -> None:
    routes = (
        Route("GET", "/v1/whose", "keys:read", "Whose", _whose),
        Route("GET", "/whose", None, "Whose", _whose),
    )
    parts = new_parts(tmp_path)
    client = await new_client(parts, routes)
    told = (await client("GET", "/v1/whose")).json
    assert told["asking"] == told["tenant_id"] != ""
    # In the same context as the request before: nothing of it is left.
    assert (await client("GET", "/whose")).json["asking"] == ""


async def test_the_operator_waits_behind_no_tenant(tmp_path: Path) -> None:
    client = await new_client(
        new_parts(tmp_path), (Route("GET", "/v1/whose", "keys:read", "Whose", _whose),), local=True
    )
    told = (await client("GET", "/v1/whose")).json
    assert (told["asking"], told["tenant_id"] != "") == ("", True)
