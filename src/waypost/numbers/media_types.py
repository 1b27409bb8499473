"""What a file is: the type its caller names, held against its first bytes and Meta's sizes. Pure."""

import mimetypes

import puremagic

from waypost.domain.errors import InvalidRequest, TooLarge

_KIB, _MIB = 1024, 1024 * 1024
# Meta's types and sizes (Cloud API, 2026). Other documents pass: clients send csv and zip, and Meta takes them.
BYTES_MAX: dict[str, int] = {
    "image/jpeg": 5 * _MIB,
    "image/png": 5 * _MIB,
    "image/webp": 500 * _KIB,
    "audio/aac": 16 * _MIB,
    "audio/amr": 16 * _MIB,
    "audio/mpeg": 16 * _MIB,
    "audio/mp4": 16 * _MIB,
    "audio/ogg": 16 * _MIB,
    "video/mp4": 16 * _MIB,
    "video/3gpp": 16 * _MIB,
}
DOCUMENT_BYTES_MAX = 100 * _MIB
_STATIC_STICKER_BYTES_MAX = 100 * _KIB
# One container, several names: what the first bytes say on the left may stand for what is named on the right.
_SAME: dict[str, frozenset[str]] = {
    "application/ogg": frozenset({"audio/ogg"}),
    "video/ogg": frozenset({"audio/ogg"}),
    "video/mp4": frozenset({"audio/mp4", "video/3gpp"}),
    "audio/mp4": frozenset({"video/mp4"}),
    "audio/x-m4a": frozenset({"audio/mp4"}),
    "audio/m4a": frozenset({"audio/mp4"}),
    "video/quicktime": frozenset({"video/mp4", "audio/mp4"}),
    "video/3gpp": frozenset({"audio/mp4", "video/mp4"}),
    "video/3gpp2": frozenset({"video/3gpp"}),
    "audio/mp3": frozenset({"audio/mpeg"}),
    "audio/x-aac": frozenset({"audio/aac"}),
    "audio/aacp": frozenset({"audio/aac"}),
    "audio/x-hx-aac-adts": frozenset({"audio/aac"}),
}
# Sound without a container often has no telling first bytes.
_UNTELLING = frozenset({"audio/aac", "audio/mpeg", "audio/amr"})
# Two telling bytes rate 0.2 with puremagic: a text may begin with them by chance.
_CERTAIN = 0.3
_UNNAMED = frozenset(
    {"", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded"}
)


def settled_type(told: str | None, filename: str | None, head: bytes) -> str:
    """Give the type to upload as: the one told, when the first bytes do not say otherwise; else what they say.

    Raises `InvalidRequest` with the field `type`.
    """
    named = (told or "").partition(";")[0].strip().lower()
    found = _found(head)
    if named in _UNNAMED:
        by_name = mimetypes.guess_type(filename or "")[0]
        named = next((kind for kind in found if kind in BYTES_MAX), by_name or (found[0] if found else ""))
        if not named:
            raise InvalidRequest(
                "the type of the file is not known", code="media_type_unknown", field="type", remedy="name it"
            )
    if "/" not in named or len(named) > 127:
        raise InvalidRequest("not a MIME type", code="media_type_unknown", field="type")
    stands_for = set(found).union(*(_SAME.get(kind, frozenset()) for kind in found))
    if named in BYTES_MAX:
        sound = named in stands_for or (named in _UNTELLING and not stands_for & BYTES_MAX.keys())
    elif named == "application/pdf":
        sound = b"%PDF-" in head[:1024]
    else:
        # A document of any kind, as long as it is not plainly an image, sound or film.
        certain = set(_found(head, _CERTAIN))
        sound = not (certain & BYTES_MAX.keys() and named not in stands_for)
    if not sound:
        seen = found[0] if found else "something else"
        raise InvalidRequest(
            f"the file is not {named}: its first bytes are those of {seen}",
            code="media_type_mismatch",
            field="type",
            remedy="name the type it is, or convert the file",
        )
    return named


def check_size(mime_type: str, size_bytes: int, head: bytes) -> None:
    """Raise `TooLarge` beyond Meta's size for the type, and `InvalidRequest` for an empty file."""
    if size_bytes == 0:
        raise InvalidRequest("the file is empty", code="media_empty", field="file")
    limit = BYTES_MAX.get(mime_type, DOCUMENT_BYTES_MAX)
    if mime_type == "image/webp" and b"ANIM" not in head[:64]:
        limit = _STATIC_STICKER_BYTES_MAX
    if size_bytes > limit:
        raise TooLarge(
            f"{size_bytes} bytes of {mime_type}: Meta takes {limit}",
            code="media_too_large",
            field="file",
            remedy="make it smaller, or send it as a document (100 MB)",
        )


def _found(head: bytes, confidence: float = 0.0) -> list[str]:
    """Give what the first bytes may be, likeliest first."""
    if not head:
        return []
    try:
        matches = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return []
    return list(
        dict.fromkeys(
            match.mime_type.lower() for match in matches if match.mime_type and match.confidence >= confidence
        )
    )
