"""Reading JSON strictly: duplicate keys, bad UTF-8 and deep nesting are refused, and errors name their field.

msgspec keeps the last of two equal keys without a word, so two readers of one body could disagree about it.
Messages never repeat the caller's values.
"""

import json
import re
from typing import Any, Protocol, TypeVar

import msgspec

from waypost.domain.errors import Malformed, WaypostError

NESTING_MAX = 32

T = TypeVar("T")


class ErrorMaker(Protocol):
    """Makes the error for one wrong field; any `WaypostError` class does."""

    def __call__(self, message: str, /, *, field: str | None, remedy: str) -> WaypostError:
        """Give the error to raise."""
        ...


_AT = re.compile(r"(.*) - at `(?:key` in `)?\$(.*)`", re.DOTALL)
_QUOTED = re.compile(r"`([^`]*)`")
_INDEX = re.compile(r"\[(\d+|\.\.\.)\]")
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def decode(decoder: msgspec.json.Decoder[T], raw: bytes, error: ErrorMaker) -> T:
    """Read one body with `decoder`. Raises `Malformed`, or what `error` makes for the field at fault."""
    check_json(raw)
    return decode_unchecked(decoder, raw, error)


def decode_unchecked(decoder: msgspec.json.Decoder[T], raw: bytes, error: ErrorMaker) -> T:
    """As `decode`, leaving duplicate keys and depth to the caller (a batch checks each item by itself)."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as failure:
        raise explain(str(failure), error) from None
    except msgspec.DecodeError as failure:
        raise _malformed(str(failure)) from None
    except UnicodeDecodeError:
        raise _malformed("bad UTF-8") from None
    except RecursionError:
        raise _too_deep() from None


def check_json(raw: bytes) -> None:
    """Raise `Malformed` for duplicate keys, bad UTF-8, nesting beyond 32, or what is not JSON at all."""
    if raw.count(b"{") + raw.count(b"[") > NESTING_MAX and _depth(raw) > NESTING_MAX:
        raise _too_deep()
    try:
        _walk(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise _malformed("bad UTF-8") from None
    except json.JSONDecodeError as failure:
        raise _malformed(f"{failure.msg} at character {failure.pos}") from None
    except ValueError:  # a whole number of more than 4,300 digits (Python's guard)
        raise _malformed("a number is too long") from None


def explain(text: str, error: ErrorMaker) -> WaypostError:
    """Turn msgspec's message into an error that names the field as a dotted path, e.g. `contacts.0.name`."""
    found = _AT.fullmatch(text)
    problem, path = (found[1], found[2]) if found else (text, "")
    dotted = _INDEX.sub(lambda index: ".*" if index[1] == "..." else f".{index[1]}", path).lstrip(".")
    named = _QUOTED.search(problem)
    remedy = "See the API reference for this field."
    if problem.startswith("Object missing required field") and named:
        problem, remedy, dotted = "A required field is missing.", "Add it.", _join(dotted, named[1])
    elif problem.startswith("Object contains unknown field") and named:
        problem, dotted = "This field is not known here.", _join(dotted, named[1][:100])
        remedy = "Remove it, or check its spelling and its place."
    elif problem.startswith("Invalid "):
        # msgspec repeats the value here, which is the caller's content.
        problem = "The value is not one of those allowed."
        remedy = "See the API reference for the allowed values."
    elif problem.startswith("Expected `datetime`"):
        remedy = "Write the time with its zone, as in 2026-11-22T22:40:07Z."
    elif not dotted and named and not problem.startswith("Expected"):
        dotted = named[1]  # a rule over several fields of the outermost object names the first in backquotes
    return error(_sentence(problem), field=dotted or None, remedy=remedy)


def _sentence(problem: str) -> str:
    return problem[:1].upper() + problem[1:].rstrip(".") + "."


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise Malformed(
            "A key occurs twice in one object.",
            code="duplicate_key",
            remedy="Send every key once: readers disagree about which of two counts.",
        )


_walk = json.JSONDecoder(object_pairs_hook=_refuse_duplicates).decode


def _depth(raw: bytes) -> int:
    depth = deepest = 0
    for token in _TOKENS.findall(raw):
        if token in (b"{", b"["):
            depth += 1
            deepest = max(deepest, depth)
        elif token in (b"}", b"]"):
            depth -= 1
    return deepest


def _malformed(detail: str) -> Malformed:
    return Malformed(f"The body is not JSON: {detail}.", remedy="Send one JSON object, in UTF-8.")


def _too_deep() -> Malformed:
    return Malformed(
        f"The body is nested deeper than {NESTING_MAX} levels.",
        code="too_deep",
        remedy="Send a flatter body.",
    )
