"""`/v1/media`: upload for sending, show, fetch the bytes. Bytes go out as attachments, never to be run by a browser."""

import re
from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import FileResponse

from waypost.domain.errors import (
    CapabilityMissing,
    Conflict,
    InvalidRequest,
    NotFound,
    ProviderRefused,
    TooLarge,
    Unavailable,
)
from waypost.domain.times import rfc3339
from waypost.numbers.media_types import BYTES_MAX
from waypost.store import media
from waypost.store.media import Media
from waypost.web.api.media_form import MediaForm
from waypost.web.routing import Ask, Page, PageQuery, Route, page_of

_TAG = "media"
_FORM = "multipart/form-data"
_RAW = (
    "application/octet-stream", *BYTES_MAX, "application/pdf", "text/plain", "text/csv", "application/zip",
    "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
)  # fmt: skip
_MIME = re.compile(r"[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+_-]*")


class UploadQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """For a raw body: what a form says in its fields."""

    number_id: Annotated[str, Meta(max_length=64, description="The number that will send it.")] | None = None
    type: (
        Annotated[str, Meta(max_length=127, description="MIME type; the Content-Type when absent.")] | None
    ) = None
    filename: Annotated[str, Meta(max_length=240)] | None = None


class UploadForm(Struct, frozen=True):
    """The form of an upload."""

    number_id: Annotated[str, Meta(description="The number that will send it.")]
    file: Annotated[bytes, Meta(description="The file.")]
    type: Annotated[str, Meta(description="MIME type; the part's own when absent.")] | None = None


class MediaShown(Struct, frozen=True, kw_only=True):
    """Media and its state."""

    id: str
    number_id: str
    direction: Annotated[str, Meta(description="`inbound` or `outbound`.")]
    state: Annotated[str, Meta(description="`wanted`, `stored`, `failed`, `expired` or `uploaded`.")]
    mime_type: str
    size_bytes: int | None
    sha256: Annotated[str, Meta(description="Hex.")] | None
    filename: str | None
    fault: Annotated[str, Meta(description="Why it is not here, or why the last try failed.")] | None
    next_try_at: str | None
    expires_at: (
        Annotated[str, Meta(description="Until when Meta keeps it: 30 days for uploads, 7 for inbound.")]
        | None
    )
    created_at: str


def _shown(found: Media) -> MediaShown:
    return MediaShown(
        id=found.id,
        number_id=found.number_id,
        direction=found.direction,
        state=found.state,
        mime_type=found.mime_type,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        filename=found.filename,
        fault=found.fault,
        next_try_at=rfc3339(found.next_try_at),
        expires_at=rfc3339(found.provider_expires_at),
        created_at=rfc3339(found.created_at) or "",
    )


async def _upload(ask: Ask) -> MediaShown:
    uploads = ask.parts.uploads
    if uploads is None:
        raise CapabilityMissing("this gateway was started without a provider", remedy="start `waypost serve`")
    query: UploadQuery = ask.query
    content_type = ask.headers.get("content-type", "")
    number_id, told, filename = query.number_id, query.type, query.filename
    media_id, arrival = uploads.begin()
    try:
        if content_type.partition(";")[0].strip().lower() == _FORM:
            form = MediaForm(content_type, arrival.write)
            await form.read(ask.request.stream())
            number_id = form.fields.get("number_id") or number_id
            told = form.fields.get("type") or told or form.file_type
            filename = filename or form.filename
        else:
            async for chunk in ask.request.stream():
                arrival.write(chunk)
            told = told or content_type
        if not number_id:
            raise InvalidRequest("Which number will send it?", field="number_id", remedy="Name it.")
        name = _plain_name(filename)
        kept = await uploads.finish(
            media_id, arrival, ask.caller.tenant_id, number_id, told, name, ask.caller.actor
        )
    finally:
        arrival.discard()
    return _shown(kept)


def _plain_name(filename: str | None) -> str | None:
    """Give the last part of a file name, without what could mean a path or end a header."""
    if filename is None:
        return None
    name = re.sub(r"[\x00-\x1f\x7f]", "", filename.replace("\\", "/").rsplit("/", 1)[-1]).strip()
    return name[:240] or None


async def _list(ask: Ask) -> Page[MediaShown]:
    query: PageQuery = ask.query
    found = await ask.parts.store.read(media.page, ask.caller.tenant_id, query.cursor, query.limit + 1)
    return page_of([_shown(each) for each in found], query.limit, lambda each: each.id)


async def _show(ask: Ask) -> MediaShown:
    return _shown(await ask.parts.store.read(media.get, ask.caller.tenant_id, ask.path["media_id"]))


async def _content(ask: Ask) -> FileResponse:
    found = await ask.parts.store.read(media.get, ask.caller.tenant_id, ask.path["media_id"])
    files = ask.parts.media_files
    if files is None:
        raise CapabilityMissing("this gateway keeps no media", remedy="start it with `waypost serve`")
    if found.state not in ("stored", "uploaded") or found.sha256 is None:
        raise Conflict(
            f"the media is {found.state}" + (f" ({found.fault})" if found.fault else ""),
            code="media_not_stored",
            remedy="wait for `media.stored`" if found.state == "wanted" else "ask the sender for it again",
        )
    path = files.path(found.sha256)
    if not path.is_file():
        raise Unavailable(
            "the file of this media is not in the media folder",
            code="media_file_missing",
            remedy="restore `inbox.media_dir` beside the database",
        )
    mime_type = found.mime_type.partition(";")[0].strip().lower()
    return FileResponse(
        path,
        media_type=mime_type if _MIME.fullmatch(mime_type) else "application/octet-stream",
        filename=_plain_name(found.filename) or found.id,
        content_disposition_type="attachment",
        headers={
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Cache-Control": "private, no-store",
        },
    )


ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/media", "media:write", "Upload media for sending", _upload, query=UploadQuery,
          body=UploadForm, answer=MediaShown, status=201, reads="stream", body_limit="media",
          consumes=(_FORM, *_RAW),
          problems=(InvalidRequest, NotFound, TooLarge, ProviderRefused), tag=_TAG,
          description="As a form with `file` and `number_id`, or raw with `?number_id=` and its Content-Type. "
          "The id goes into `image.id` and the like, for 30 days."),
    Route("GET", "/v1/media", "media:read", "List media", _list, query=PageQuery, answer=Page[MediaShown], tag=_TAG),
    Route("GET", "/v1/media/{media_id}", "media:read", "Show media", _show, answer=MediaShown,
          problems=(NotFound,), tag=_TAG),
    Route("GET", "/v1/media/{media_id}/content", "media:read", "Fetch the bytes", _content,
          produces="application/octet-stream", statuses=(206,), problems=(NotFound, Conflict, Unavailable), tag=_TAG),
)  # fmt: skip
