"""Media both ways: uploaded and sent, received and kept, and honest about what is not there."""

import base64
import hashlib

import pytest
from tests.journeys.house import House
from tests.processes.harness import until

pytestmark = pytest.mark.asyncio(loop_scope="session")
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


async def test_an_uploaded_image_arrives_on_the_phone(house: House) -> None:
    person = house.person()
    reply = await house.api.call(
        "POST",
        "/v1/media",
        raw=PIXEL,
        query={"number_id": house.number["id"], "filename": "pixel.png"},
        headers={"Content-Type": "image/png"},
    )
    media = reply.ok(201)
    assert media["state"] == "uploaded"
    assert media["sha256"] == hashlib.sha256(PIXEL).hexdigest()
    draft = {"from": house.number["id"], "to": person, "type": "image", "image": {"id": media["id"]}}
    taken = (await house.api.call("POST", "/v1/messages", draft)).ok(202)
    await house.status(taken["id"], "read")
    (shown,) = house.phone(person).chat(house.number["phone_number_id"])
    assert house.emulator.world.media[shown.content["id"]].content == PIXEL


async def test_what_a_customer_photographs_is_fetched_at_once_and_served_to_key_holders_only(
    house: House,
) -> None:
    person = house.person()
    photo = PIXEL + b"photographed"
    said = house.say(
        person, type="image", image={"content_base64": base64.b64encode(photo).decode(), "caption": "look"}
    )
    event = await house.told("inbound.received", provider_message_id=said.wamid)
    stored = await house.told("media.stored", contact_id=event["contact_id"])
    media_id = stored["aggregate_id"]
    reply = await house.api.call("GET", f"/v1/media/{media_id}/content")
    assert reply.ok(200) == photo
    assert reply.headers["Content-Disposition"].startswith("attachment")
    stranger = await house.gateway.caller(["messages:send"])
    try:
        assert (await stranger.call("GET", f"/v1/media/{media_id}/content")).status == 403
    finally:
        await stranger.close()


async def test_media_that_cannot_be_fetched_at_first_is_fetched_again(house: House) -> None:
    person = house.person()
    photo = PIXEL + b"second try"
    with house.trouble(kind="http", http_status=503, edge="media", count=1) as placed:
        said = house.say(person, type="image", image={"content_base64": base64.b64encode(photo).decode()})
        event = await house.told("inbound.received", provider_message_id=said.wamid)

        async def stored() -> bool:
            listed = [one async for one in house.api.pages("/v1/media")]
            return any(
                one["sha256"] == hashlib.sha256(photo).hexdigest() and one["state"] == "stored"
                for one in listed
            )

        await until(stored, 20, "the media is stored", 0.3)
    assert placed.struck == 1
    assert event["data"]["content"]["type"] == "image"


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [(b"", "image/png", 422), (b"MZ\x90\x00 not a picture", "image/png", 422)],
)
async def test_a_file_that_is_not_what_it_says_is_refused(
    house: House, content: bytes, content_type: str, status: int
) -> None:
    reply = await house.api.call(
        "POST",
        "/v1/media",
        raw=content,
        query={"number_id": house.number["id"]},
        headers={"Content-Type": content_type},
    )
    assert reply.status == status, reply.body
