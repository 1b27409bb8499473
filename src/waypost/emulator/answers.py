"""Graph answers as plain bytes, the cut that is no answer at all, field projection and cursors."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from waypost.emulator.errors import GraphError

Wire = dict[str, Any]
PAGE_DEFAULT = 25
PAGE_MAX = 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json; charset=UTF-8"

    @classmethod
    def of(cls, wire: Any, status: int = 200) -> "Answer":
        """A JSON answer."""
        return cls(json.dumps(wire, separators=(",", ":")).encode(), status)


class Cut(Exception):
    """The connection is cut without an answer, or a front end answers in Graph's place."""

    def __init__(self, answer: Answer | None = None) -> None:
        super().__init__("cut")
        self.answer = answer


def parse_fields(text: str) -> dict[str, Any]:
    """`fields=a,b{c,d}` as a tree; parameters such as `a.limit(5)` are read past."""
    tree: dict[str, Any] = {}
    word, depth, start = "", 0, 0
    for place, char in enumerate(text):
        if char == "{":
            if depth == 0:
                start = place + 1
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                tree[_bare(word)] = parse_fields(text[start:place])
                word = ""
        elif depth == 0 and char == ",":
            if word:
                tree[_bare(word)] = {}
            word = ""
        elif depth == 0:
            word += char
    if word:
        tree[_bare(word)] = {}
    return tree


def _bare(word: str) -> str:
    return word.strip().split(".", 1)[0].split("(", 1)[0]


def project(wire: Wire, fields: str | None, default: tuple[str, ...] | None = None) -> Wire:
    """Keep the fields asked for; `id` is always there. Without `fields`, the defaults (or all)."""
    if fields is None or not fields.strip():
        return wire if default is None else {k: v for k, v in wire.items() if k in default or k == "id"}
    return _keep(wire, parse_fields(fields))


def _keep(wire: Wire, tree: dict[str, Any]) -> Wire:
    kept: Wire = {}
    for name, inner in tree.items():
        if name not in wire:
            continue
        found = wire[name]
        if inner and isinstance(found, dict):
            found = _keep(found, inner)
        elif inner and isinstance(found, list):
            found = [_keep(item, inner) if isinstance(item, dict) else item for item in found]
        kept[name] = found
    if "id" in wire:
        kept.setdefault("id", wire["id"])
    return kept


def page(rows: list[Wire], query: dict[str, str], here: str) -> Wire:
    """A page of rows with cursors; `next` only when there is more. Raises 131059 on a bad cursor."""
    try:
        limit = max(1, min(int(query.get("limit") or PAGE_DEFAULT), PAGE_MAX))
    except ValueError:
        raise GraphError(100, "Param limit must be an integer.") from None
    start, stop = 0, None
    if query.get("after"):
        start = _place(query["after"]) + 1
    elif query.get("before"):
        stop = _place(query["before"])
        start = max(0, stop - limit)
    chosen = rows[start : min(start + limit, stop if stop is not None else len(rows))]
    answer: Wire = {"data": chosen}
    if chosen:
        answer["paging"] = {"cursors": {"before": _cursor(start), "after": _cursor(start + len(chosen) - 1)}}
        more = [
            f"{key}={value}" for key, value in query.items() if key not in ("after", "before", "access_token")
        ]
        if start + len(chosen) < len(rows):
            answer["paging"]["next"] = (
                f"{here}?{'&'.join([*more, 'after=' + _cursor(start + len(chosen) - 1)])}"
            )
        if start > 0:
            answer["paging"]["previous"] = f"{here}?{'&'.join([*more, 'before=' + _cursor(start)])}"
    return answer


def _cursor(place: int) -> str:
    return base64.urlsafe_b64encode(f"c{place}".encode()).decode().rstrip("=")


def _place(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        if not text.startswith("c"):
            raise ValueError
        return int(text[1:])
    except (ValueError, UnicodeDecodeError):
        raise GraphError(131059, "The cursor is not valid or has expired.") from None
