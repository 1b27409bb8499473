"""Numbers, templates and media through the HTTP face, with a key, to the emulator."""

import hashlib
from typing import Any

import pytest
from tests.numbers.conftest import House
from tests.support import SeededRandomness
from tests.web.client import Client

from waypost.config import CloudApi, Config
from waypost.domain.ids import IdSource
from waypost.emulator import DEMO
from waypost.web import auth
from waypost.web.api import keys, media, numbers, templates
from waypost.web.asgi import application
from waypost.web.parts import Parts
from waypost.web.routing import Route

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(200))
ADD = {
    "phone_number_id": DEMO.number_id,
    "waba_id": DEMO.waba_id,
    "token": DEMO.access_token,
    "app_secret": DEMO.app_secret,
    "verify_token": DEMO.verify_token,
}
ROUTES: tuple[Route, ...] = (*keys.ROUTES, *numbers.ROUTES, *templates.ROUTES, *media.ROUTES)


def parts_of(house: House) -> Parts:
    randomness = SeededRandomness(3)
    return Parts(
        store=house.store,
        clock=house.clock,
        ids=IdSource(randomness),
        randomness=randomness,
        config=Config(cloud_api=CloudApi(base_url=house.emulator.base_url)),
        numbers=house.numbers,
        templates=house.templates,
        template_sync=house.sync,
        template_book=house.book,
        uploads=house.uploads,
        media_files=house.files,
    )


@pytest.fixture
async def client(house: House) -> Client:
    parts = parts_of(house)
    return Client(application(parts, ROUTES, False), await auth.bootstrap(parts))


async def added(client: Client) -> dict[str, Any]:
    reply = await client("POST", "/v1/numbers", ADD)
    assert reply.status == 201, reply.body
    found: dict[str, Any] = reply.json
    return found


async def test_a_number_is_added_shown_and_listed_without_its_secrets(client: Client) -> None:
    number = await added(client)
    one = await client("GET", f"/v1/numbers/{number['id']}")
    listed = await client("GET", "/v1/numbers?limit=1")
    assert one.json == number
    assert listed.json == {"items": [number], "next_cursor": None}
    for secret in (DEMO.access_token, DEMO.app_secret, DEMO.verify_token):
        assert secret.encode() not in one.body


async def test_adding_twice_with_one_key_adds_once(client: Client) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await client("POST", "/v1/numbers", ADD, headers=headers)
    again = await client("POST", "/v1/numbers", ADD, headers=headers)
    other = await client("POST", "/v1/numbers", ADD)
    assert (first.status, again.status, again.json) == (201, 201, first.json)
    assert (other.status, other.code) == (409, "number_exists")


async def test_commands_change_the_number(client: Client, house: House) -> None:
    number = await added(client)
    path = f"/v1/numbers/{number['id']}"
    paused = await client("POST", f"{path}:pause", {"reason": "holiday"})
    resumed = await client("POST", f"{path}:resume")
    refused = await client("POST", f"{path}:rotate-token", {"token": "EAAwrong"})
    refreshed = await client("POST", f"{path}:refresh")
    assert (paused.json["state"], resumed.json["state"]) == ("paused", "active")
    assert (refused.status, refused.code) == (422, "token_refused")
    assert refreshed.status == 200
    assert (await client("POST", f"{path}:verify-code", {"code": "999999"})).status == 502
    assert (await client("POST", f"{path}:register", {"pin": "123456"})).json["state"] == "active"
    assert (await client("POST", f"{path}:unsubscribe")).status == 204
    assert (await client("POST", f"{path}:subscribe")).status == 204
    gone = await client("DELETE", path)
    assert gone.json["state"] == "removed"
    assert (await client("POST", f"{path}:pause")).code == "number_removed"
    assert (await client("GET", "/v1/numbers/num_none")).status == 404


async def test_templates_are_read_listed_created_and_deleted(client: Client) -> None:
    number = await added(client)
    done = await client("POST", "/v1/templates:sync", {"number_id": number["id"]})
    assert done.json["count"] == 7
    page = await client("GET", f"/v1/templates?waba_id={DEMO.waba_id}&limit=3")
    assert len(page.json["items"]) == 3
    rest = await client("GET", f"/v1/templates?limit=200&cursor={page.json['next_cursor']}")
    assert len(rest.json["items"]) == 4
    body = {
        "waba_id": number["waba_id"], "name": "reminder", "language": "en_US", "category": "UTILITY",
        "components": [{"type": "BODY", "text": "Your appointment is near."}],
    }  # fmt: skip
    made = await client("POST", "/v1/templates", body)
    assert (made.status, made.json["status"]) == (201, "PENDING")
    path = f"/v1/templates/{made.json['id']}"
    assert (await client("GET", path)).json == made.json
    assert (await client("DELETE", path)).json == {"ids": [made.json["id"]]}
    assert (await client("GET", path)).status == 404
    assert (await client("POST", "/v1/templates:sync", {})).json["field"] == "waba_id"


def form(number_id: str | None, content: bytes = PNG, name: str = "file") -> bytes:
    head = b"" if number_id is None else (
        b'--B\r\ncontent-disposition: form-data; name="number_id"\r\n\r\n' + number_id.encode() + b"\r\n"
    )  # fmt: skip
    disposition = f'--B\r\ncontent-disposition: form-data; name="{name}"; filename="../x/cat.png"\r\n'
    return head + disposition.encode() + b"content-type: image/png\r\n\r\n" + content + b"\r\n--B--\r\n"


FORM = {"content-type": "multipart/form-data; boundary=B"}


async def test_a_form_upload_is_stored_and_served_as_an_attachment(client: Client) -> None:
    number = await added(client)
    raw = form(number["id"])
    reply = await client("POST", "/v1/media", chunks=[raw[:77], raw[77:150], raw[150:]], headers=FORM)
    assert reply.status == 201, reply.body
    made = reply.json
    assert (made["state"], made["mime_type"], made["filename"]) == ("uploaded", "image/png", "cat.png")
    assert made["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert (await client("GET", f"/v1/media/{made['id']}")).json == made
    served = await client("GET", f"/v1/media/{made['id']}/content")
    assert (served.status, served.body) == (200, PNG)
    assert served.headers["x-content-type-options"] == "nosniff"
    assert served.headers["content-disposition"].startswith("attachment;")
    part = await client("GET", f"/v1/media/{made['id']}/content", headers={"Range": "bytes=1-3"})
    assert (part.status, part.body) == (206, b"PNG")


async def test_a_raw_upload_takes_its_type_from_the_header(client: Client) -> None:
    number = await added(client)
    path = f"/v1/media?number_id={number['id']}&filename=a.png"
    reply = await client("POST", path, raw=PNG, headers={"content-type": "image/png"})
    assert (reply.status, reply.json["mime_type"], reply.json["size_bytes"]) == (201, "image/png", len(PNG))


@pytest.mark.parametrize(
    ("raw", "status", "field"),
    [
        (form(None), 422, "number_id"),
        (form("num_none"), 404, None),
        (form("num_none", name="picture"), 422, "picture"),
        (form("num_none")[:-6], 400, None),
        (b"--B--\r\n", 422, "file"),
        (b"nonsense", 400, None),
        (form("num_none", PNG * 2_000), 413, "file"),
    ],
)
async def test_a_bad_form_is_refused_and_leaves_nothing(
    client: Client, house: House, raw: bytes, status: int, field: str | None
) -> None:
    reply = await client("POST", "/v1/media", raw=raw, headers=FORM)
    assert (reply.status, reply.json.get("field")) == (status, field)
    assert not [path for path in house.files.folder.rglob("*") if path.is_file()]


async def test_media_that_is_not_here_says_so(client: Client, house: House) -> None:
    assert (await client("GET", "/v1/media/med_none/content")).status == 404
    number = await added(client)
    reply = await client(
        "POST", f"/v1/media?number_id={number['id']}", raw=PNG, headers={"content-type": "image/png"}
    )
    house.files.path(reply.json["sha256"]).unlink()
    gone = await client("GET", f"/v1/media/{reply.json['id']}/content")
    assert (gone.status, gone.code) == (503, "media_file_missing")


async def test_a_test_key_does_not_touch_live_numbers(client: Client) -> None:
    made = await client(
        "POST",
        "/v1/keys",
        {"label": "t", "scopes": ["numbers:write", "templates:write"], "environment": "test"},
    )
    live = ADD | {"base_url": "https://graph.facebook.com"}
    refused = await client("POST", "/v1/numbers", live, key=made.json["key"])
    assert (refused.status, refused.code) == (403, "test_key_on_live_number")
    # The emulator's number is a test key's own ground.
    assert (await client("POST", "/v1/numbers", ADD, key=made.json["key"])).status == 201
