"""Media and resumable uploads: store, look up, download with a URL that lives five minutes, delete."""

import base64
import hashlib
import re
from typing import Any

from starlette.datastructures import UploadFile

from waypost.emulator.answers import Answer
from waypost.emulator.errors import GraphError, unknown_object
from waypost.emulator.graph import Call, Edge
from waypost.emulator.phone_acts import media_url, seal_of, store_media
from waypost.emulator.tables import LIMITS
from waypost.emulator.world import Media, Upload

Wire = dict[str, Any]

_RANGE = re.compile(r"^bytes=(\d*)-(\d*)$")
_UPLOADS_MAX = 1_000
_UPLOAD_BYTES_MAX = 110 * 1024 * 1024
_KINDS_BY_NAME = {
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "mp4": "video/mp4",
    "3gp": "video/3gpp", "ogg": "audio/ogg", "mp3": "audio/mpeg", "m4a": "audio/mp4", "aac": "audio/aac",
    "amr": "audio/amr", "pdf": "application/pdf", "txt": "text/plain",
}  # fmt: skip


def _mime_of(told: str, file: UploadFile) -> str:
    """The type: as told, or as the part says, or by the file's name."""
    for candidate in (told, file.content_type or ""):
        if "/" in candidate and candidate != "application/octet-stream":
            return candidate
    extension = (file.filename or "").rsplit(".", 1)[-1].lower()
    return _KINDS_BY_NAME.get(extension, file.content_type or "application/octet-stream")


async def _upload(call: Call) -> Answer:
    given = await call.parameters()
    if given.get("messaging_product") != "whatsapp" and (call.stage.strict or "messaging_product" in given):
        raise GraphError(100, message="(#100) The parameter messaging_product is required.")
    file = given.get("file")
    if not isinstance(file, UploadFile):
        raise GraphError(100, message="(#100) The parameter file is required.")
    content = await file.read()
    mime_type = _mime_of(str(given.get("type") or ""), file)
    allowed: dict[str, int] = LIMITS["media"]
    bare = mime_type.split(";", 1)[0].strip().lower()
    if call.stage.strict and bare not in allowed:
        raise GraphError(100, f"Param file must be a file with one of the allowed types; got {bare}.")
    if not content:
        raise GraphError(131053, "The file is empty.")
    if len(content) > allowed.get(bare, LIMITS["media"]["application/pdf"]):
        raise GraphError(131053, f"The file is larger than {bare} may be.")
    number = call.stage.world.numbers[call.node]
    media = store_media(call.stage, number, mime_type, content, days=LIMITS["uploaded_media_days"])
    media.filename = file.filename
    return Answer.of({"id": media.id})


def _living(call: Call) -> Media:
    media = call.stage.world.media.get(call.node)
    if media is None or media.expires_at <= call.stage.clock.now():
        raise unknown_object(call.node, call.method)
    owner = call.query.get("phone_number_id")
    if owner is not None and owner != media.number_id:
        raise unknown_object(call.node, call.method)
    return media


async def _look_up(call: Call) -> Answer:
    media = _living(call)
    return Answer.of(
        {
            "messaging_product": "whatsapp",
            "url": media_url(call.stage, media),
            "mime_type": media.mime_type,
            "sha256": media.sha256_hex,
            "file_size": len(media.content),
            "id": media.id,
        }
    )


async def _delete(call: Call) -> Answer:
    _living(call)
    call.stage.world.forget_media(call.node)
    return Answer.of({"success": True})


async def _download(call: Call) -> Answer:
    """Any failure is a 404, as Meta's file host does it: fetch a new URL."""
    media = call.stage.world.media.get(call.edge)
    now = call.stage.clock.now()
    until = call.query.get("ext", "")
    if (
        media is None
        or media.expires_at <= now
        or not until.isdigit()
        or int(until) <= now.timestamp()
        or call.query.get("hash") != seal_of(media, int(until))
    ):
        return Answer(b"", 404, {}, "text/plain")
    return file_answer(media, call.request.headers.get("range"))


def file_answer(media: Media, wanted_range: str | None) -> Answer:
    """The bytes of a file, or the range of them that was asked for."""
    content = media.content
    headers = {
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    match = _RANGE.match(wanted_range or "")
    if match is None or match.groups() == ("", ""):
        return Answer(content, 200, headers, media.mime_type)
    first, last = match.groups()
    start = int(first) if first else max(0, len(content) - int(last))
    stop = min(int(last) + 1 if first and last else len(content), len(content))
    if start >= stop:
        return Answer(b"", 416, {"Content-Range": f"bytes */{len(content)}"}, media.mime_type)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
    return Answer(content[start:stop], 206, headers, media.mime_type)


async def _open_upload(call: Call) -> Answer:
    given = await call.parameters()
    try:
        length = int(given.get("file_length", 0))
    except (TypeError, ValueError):
        raise GraphError(100, "Param file_length must be an integer.") from None
    if length <= 0 or length > _UPLOAD_BYTES_MAX or not given.get("file_type"):
        raise GraphError(100, "Params file_length and file_type are required.")
    upload = Upload(
        id="upload:" + base64.urlsafe_b64encode(call.stage.fresh_id().encode()).decode(),
        app_id=call.node,
        file_name=str(given.get("file_name") or "file"),
        file_type=str(given["file_type"]),
        file_length=length,
    )
    uploads = call.stage.world.uploads
    uploads[upload.id] = upload
    while len(uploads) > _UPLOADS_MAX:
        uploads.popitem(last=False)
    return Answer.of({"id": upload.id})


async def _continue_upload(call: Call) -> Answer:
    upload = call.stage.world.uploads[call.node]
    try:
        offset = int(call.request.headers.get("file_offset", "0"))
    except ValueError:
        raise GraphError(100, "Header file_offset must be an integer.") from None
    if offset != len(upload.content):
        raise GraphError(100, f"Header file_offset must be {len(upload.content)}.")
    async for chunk in call.request.stream():
        if len(upload.content) + len(chunk) > upload.file_length:
            raise GraphError(100, "More bytes than file_length says.")
        upload.content += chunk
    if len(upload.content) < upload.file_length:
        return Answer.of({"id": upload.id, "file_offset": len(upload.content)})
    kind = base64.b64encode(upload.file_type.encode()).decode()
    handle = f"4::{kind}:{hashlib.sha256(upload.content).hexdigest()}"
    days = LIMITS["uploaded_media_days"]
    media = store_media(call.stage, None, upload.file_type, bytes(upload.content), days=days)
    handles = call.stage.world.handles
    handles[handle] = media.id
    while len(handles) > _UPLOADS_MAX:
        handles.popitem(last=False)
    return Answer.of({"h": handle})


async def _upload_state(call: Call) -> Answer:
    upload = call.stage.world.uploads[call.node]
    return Answer.of({"id": upload.id, "file_offset": len(upload.content)})


EDGES: dict[tuple[str, str, str], Edge] = {
    ("POST", "number", "media"): _upload,
    ("GET", "media", ""): _look_up,
    ("DELETE", "media", ""): _delete,
    ("GET", "/_media", "*"): _download,
    ("POST", "app", "uploads"): _open_upload,
    ("POST", "upload", ""): _continue_upload,
    ("GET", "upload", ""): _upload_state,
}
