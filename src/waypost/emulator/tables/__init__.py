"""Facts of the Cloud API as tables: error codes with their HTTP status, and limits. Loaded once."""

import json
from importlib.resources import files
from typing import Any, Final, TypedDict


class ErrorRow(TypedDict):
    """One error code of the Cloud API."""

    title: str
    http_status: int
    surface: str
    transient: bool


def _load(name: str) -> Any:
    return json.loads(files(__name__).joinpath(name).read_text(encoding="utf-8"))


ERRORS: Final[dict[int, ErrorRow]] = {int(code): row for code, row in _load("errors.json").items()}
LIMITS: Final[dict[str, Any]] = _load("limits.json")


def error_row(code: int) -> ErrorRow:
    """The table's row of a code; a code Meta has not published gets a plain 400 row."""
    row = ERRORS.get(code)
    if row is None and 200 <= code <= 299:
        row = ERRORS[200]
    return row or ErrorRow(title="Unknown error", http_status=400, surface="both", transient=False)
