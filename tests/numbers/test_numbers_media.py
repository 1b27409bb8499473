"""Media up and down: typed, bounded, hashed, kept once, tried again, and given up with a name."""

import base64
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.numbers.conftest import MEDIA_BYTES_MAX, TENANT, House

from waypost.domain.errors import InvalidRequest, NotFound, ProviderRefused, TooLarge, WaypostError
from waypost.domain.times import to_ms
from waypost.emulator import DEMO
from waypost.emulator.phone_acts import store_media
from waypost.numbers.media_types import check_size, settled_type
from waypost.store import media
from waypost.store.engine import single
from waypost.store.media import Media
from waypost.store.numbers import Number
from waypost.store.transaction import Transaction

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(200))
PDF = b"%PDF-1.7\n" + b"x" * 300


async def upload(
    house: House, number: Number, content: bytes, told: str | None = None, name: str | None = None
) -> Media:
    media_id, arrival = house.uploads.begin()
    try:
        arrival.write(content[:50])
        arrival.write(content[50:])
        return await house.uploads.finish(media_id, arrival, TENANT, number.id, told, name, "operator")
    finally:
        arrival.discard()


def files(house: House) -> list[Path]:
    return sorted(path for path in house.files.folder.rglob("*") if path.is_file())


async def test_an_upload_is_at_meta_and_on_disk_and_can_be_sent(house: House) -> None:
    number = await house.add()
    kept = await upload(house, number, PNG, "image/png", "a.png")
    at_meta = house.emulator.world.media[kept.provider_media_id or ""]
    assert (at_meta.content, at_meta.mime_type, at_meta.filename) == (PNG, "image/png", "a.png")
    assert house.files.path(kept.sha256 or "").read_bytes() == PNG
    now = house.clock.now()
    found = await house.store.read(media.provider_id_of, TENANT, number.id, kept.id, now)
    assert found == kept.provider_media_id
    assert (await house.kinds())[-1] == "media.uploaded"


async def test_uploaded_media_is_sent_by_its_number_its_tenant_and_for_thirty_days(house: House) -> None:
    number = await house.add()
    kept = await upload(house, number, PNG, "image/png")
    for tenant, number_id, days, error in (
        ("ten_2", number.id, 0, NotFound),
        (TENANT, "num_other", 0, InvalidRequest),
        (TENANT, number.id, 30, InvalidRequest),
    ):
        now = house.clock.advance(days * 86_400)
        with pytest.raises(error):
            await house.store.read(media.provider_id_of, tenant, number_id, kept.id, now)


async def test_the_same_bytes_are_kept_once(house: House) -> None:
    number = await house.add()
    first = await upload(house, number, PDF, "application/pdf", "a.pdf")
    second = await upload(house, number, PDF, "application/pdf", "b.pdf")
    assert (first.id != second.id, first.sha256 == second.sha256) == (True, True)
    assert len(files(house)) == 1


@pytest.mark.parametrize(
    ("content", "told", "name", "error", "field"),
    [
        (PNG, "image/jpeg", None, InvalidRequest, "type"),
        (b"MZ\x90\x00" + b"\x00" * 200, "image/png", None, InvalidRequest, "type"),
        (PNG, "application/pdf", None, InvalidRequest, "type"),
        (PNG, "text/plain", None, InvalidRequest, "type"),
        (b"hello", None, None, InvalidRequest, "type"),
        (b"hello", "nonsense", None, InvalidRequest, "type"),
        (b"", "text/plain", None, InvalidRequest, "file"),
        (PDF + b"x" * MEDIA_BYTES_MAX, "application/pdf", None, TooLarge, "file"),
        (b"RIFF\x24\0\0\0WEBPVP8 " + b"\0" * 150_000, "image/webp", None, TooLarge, "file"),
    ],
)
async def test_what_is_wrong_with_a_file_is_named_and_leaves_nothing(
    house: House, content: bytes, told: str | None, name: str | None, error: type[WaypostError], field: str
) -> None:
    number = await house.add()
    with pytest.raises(error) as caught:
        await upload(house, number, content, told, name)
    assert caught.value.field == field
    assert files(house) == []
    assert house.emulator.world.media == {}


@pytest.mark.parametrize(
    ("head", "told", "name", "settled"),
    [
        (PNG, None, None, "image/png"),
        (PNG, "application/octet-stream", "x.bin", "image/png"),
        (PNG, "IMAGE/PNG; charset=binary", None, "image/png"),
        (b"OggS\0\2" + b"\0" * 22 + b"\x01\x13OpusHead", "audio/ogg; codecs=opus", None, "audio/ogg"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + b"\0" * 60, "video/mp4", None, "video/mp4"),
        (b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom" + b"\0" * 60, "audio/mp4", None, "audio/mp4"),
        (b"#!AMR\n" + b"\x3c" * 50, "audio/amr", None, "audio/amr"),
        (b"\xff\xfb\x90\x44" + b"\0" * 100, "audio/mpeg", None, "audio/mpeg"),
        (b"a,b\n1,2\n", "text/csv", None, "text/csv"),
        (b"a,b\n1,2\n", None, "x.csv", "text/csv"),
        (PDF, "application/pdf", None, "application/pdf"),
        (PNG, "image/x-unheard", None, None),
    ],
)
def test_a_type_is_settled_by_name_and_first_bytes(
    head: bytes, told: str | None, name: str | None, settled: str | None
) -> None:
    if settled is None:
        with pytest.raises(InvalidRequest):
            settled_type(told, name, head)
    else:
        assert settled_type(told, name, head) == settled


def test_sizes_are_metas_by_type() -> None:
    check_size("image/jpeg", 5 * 1024 * 1024, b"")
    check_size("image/webp", 400_000, b"RIFF....WEBPVP8X..........ANIM")
    for kind, size in (
        ("image/jpeg", 5 * 1024 * 1024 + 1),
        ("image/webp", 400_000),
        ("video/mp4", 17_000_000),
    ):
        with pytest.raises(TooLarge):
            check_size(kind, size, b"")


async def test_an_upload_that_meta_refuses_has_no_row(house: House) -> None:
    number = await house.add()
    house.emulator.faults.add({"kind": "error", "code": 131053, "edge": "media"})
    with pytest.raises(ProviderRefused):
        await upload(house, number, PNG, "image/png")
    assert "media.uploaded" not in await house.kinds()


# --- inbound ---


@single
def _want(tx: Transaction, item: media.Want) -> str:
    return media.want(tx, item)


async def wanted(house: House, content: bytes = PNG, sha256: str | None = None, **over: Any) -> str:
    """A customer's media at Meta, and the row the inbox makes of its callback."""
    number = await house.add()
    at_meta = store_media(
        house.emulator.stage, house.emulator.world.numbers[DEMO.number_id], "image/png", content, days=7
    )
    given = {
        "tenant_id": TENANT, "number_id": number.id, "contact_id": "con_1", "provider_media_id": at_meta.id,
        "mime_type": "image/png", "sha256": sha256 or hashlib.sha256(content).hexdigest(), "filename": "cat.png",
        "now": house.clock.now(),
    }  # fmt: skip
    made: str = await house.store.write(_want, media.Want(**(given | over)))
    return made


async def row_of(house: House, media_id: str) -> Media:
    return await house.store.read(media.get, TENANT, media_id)


async def test_inbound_media_is_fetched_at_once(house: House) -> None:
    media_id = await wanted(house)
    await house.fetcher.step()
    row = await row_of(house, media_id)
    assert (row.state, row.size_bytes, row.filename, row.tries) == ("stored", len(PNG), "cat.png", 1)
    assert house.files.path(row.sha256 or "").read_bytes() == PNG
    assert [kind for kind in await house.kinds() if kind.startswith("media.")] == [
        "media.wanted",
        "media.stored",
    ]
    assert files(house) == [house.files.path(row.sha256 or "")]


async def test_the_hash_of_a_callback_is_base64_and_is_checked(house: House) -> None:
    good = base64.b64encode(hashlib.sha256(PNG).digest()).decode()
    media_id = await wanted(house, sha256=good)
    await house.fetcher.step()
    assert (await row_of(house, media_id)).state == "stored"
    assert media.hex_of("nonsense") is None


async def test_bytes_that_are_not_what_was_announced_fail_after_their_tries(house: House) -> None:
    media_id = await wanted(house, sha256=hashlib.sha256(b"else").hexdigest())
    for _ in range(3):
        await house.fetcher.step()
        house.clock.advance(4_000)
    row = await row_of(house, media_id)
    assert (row.state, row.fault, row.tries) == ("failed", "hash_mismatch", 3)
    assert files(house) == []
    assert (await house.kinds())[-1] == "media.failed"


async def test_oversized_media_fails_at_once_and_leaves_nothing(house: House) -> None:
    media_id = await wanted(house, content=PNG + b"x" * MEDIA_BYTES_MAX)
    await house.fetcher.step()
    row = await row_of(house, media_id)
    assert (row.state, row.fault, files(house)) == ("failed", "too_large", [])


def _outage(house: House) -> None:
    house.emulator.faults.add({"kind": "http", "http_status": 503, "edge": "*"})


def _dead_token(house: House) -> None:
    house.token.state = "expired"


@pytest.mark.parametrize("trouble", [_outage, _dead_token])
async def test_trouble_at_meta_uses_up_no_tries_until_meta_drops_the_media(
    house: House, trouble: Callable[[House], None]
) -> None:
    media_id = await wanted(house)
    trouble(house)
    for _ in range(30):
        await house.fetcher.step()
        house.clock.advance(3_601)
    row = await row_of(house, media_id)
    assert (row.state, row.tries) == ("wanted", 0)
    house.clock.advance(7 * 86_400)
    await house.fetcher.step()
    assert (await row_of(house, media_id)).state == "expired"
    assert (await house.kinds())[-1] == "media.failed"


async def test_media_comes_once_the_trouble_is_over(house: House) -> None:
    media_id = await wanted(house)
    fault = house.emulator.faults.add({"kind": "drop_before", "edge": "*"})
    await house.fetcher.step()
    waits = await house.fetcher.step()
    assert 0 < waits <= 5
    house.emulator.faults.remove(fault.id)
    house.clock.advance(waits)
    await house.fetcher.step()
    assert (await row_of(house, media_id)).state == "stored"


async def test_media_unknown_at_meta_fails_with_its_name(house: House) -> None:
    media_id = await wanted(house, provider_media_id="123")
    for _ in range(3):
        await house.fetcher.step()
        house.clock.advance(4_000)
    row = await row_of(house, media_id)
    assert (row.state, row.fault) == ("failed", "unknown_at_provider")


async def test_media_of_a_removed_number_fails(house: House) -> None:
    media_id = await wanted(house)
    await house.numbers.remove(TENANT, (await row_of(house, media_id)).number_id, "operator")
    await house.fetcher.step()
    assert (await row_of(house, media_id)).fault == "number_removed"


async def test_one_media_is_tried_by_one_fetcher_at_a_time(house: House) -> None:
    media_id = await wanted(house)
    row = await row_of(house, media_id)
    until = house.clock.now()
    first = await house.store.write(media.claim, media.Claim(row, until))
    second = await house.store.write(media.claim, media.Claim(row, until))
    assert first is not None
    assert second is None
    assert first.next_try_at == to_ms(until)


async def test_a_folder_that_cannot_be_written_leaves_media_wanted(house: House) -> None:
    media_id = await wanted(house)
    house.files.folder.write_bytes(b"a file stands where the folder should be")
    await house.fetcher.step()
    row = await row_of(house, media_id)
    assert (row.state, row.fault) == ("wanted", "media_unwritable")
    os.unlink(house.files.folder)
    house.clock.advance(60)
    await house.fetcher.step()
    assert (await row_of(house, media_id)).state == "stored"


async def test_what_a_killed_process_left_is_cleared_at_the_start(house: House) -> None:
    arrival = house.files.arrive("med_half")
    arrival.write(b"half")
    arrival.flush()
    assert house.files.clear_incoming() == 1
    arrival.discard()
    assert files(house) == []
