"""What a command shows: tables and colours on a terminal, plain lines elsewhere, JSON on request."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

# What a customer wrote may hold the escapes that move a terminal's cursor or rename its window.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

GOOD, BAD, WARN, DIM = "green", "bold red", "yellow", "dim"
STYLES = {
    "active": GOOD, "sent": GOOD, "delivered": GOOD, "read": GOOD, "played": GOOD, "ok": GOOD, "stored": GOOD,
    "uploaded": GOOD, "APPROVED": GOOD, "AVAILABLE": GOOD,
    "failed": BAD, "stopped": BAD, "refused": BAD, "unresolved": BAD, "fail": BAD, "disabled": BAD,
    "REJECTED": BAD, "revoked": BAD, "expired": BAD,
    "unknown": WARN, "held": WARN, "retrying": WARN, "paused": WARN, "parked": WARN, "warn": WARN, "todo": WARN,
    "expiring": WARN, "PENDING": WARN, "cancelled": WARN,
}  # fmt: skip


def clean(value: object) -> str:
    """Give text as it may be printed: without control characters."""
    return _CONTROLS.sub("�", str(value))


def cell(value: object) -> str:
    """Give a value as one cell: empty for nothing, one line."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(cell(each) for each in value)
    if isinstance(value, dict):
        return clean(json.dumps(value, ensure_ascii=False))
    return re.sub(r"\s*\n\s*", " ", clean(value)).replace("\t", " ")


class Screen:
    """Where a command writes. `as_json`: one JSON document (or one per line while following) and nothing else."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self._out = Console(highlight=False, emoji=False, markup=False)
        self._errors = Console(stderr=True, highlight=False, emoji=False, markup=False)

    @property
    def is_terminal(self) -> bool:
        """Say whether a person looks at it."""
        return self._out.is_terminal

    def document(self, value: Any, *, compact: bool = False) -> None:
        """Print JSON."""
        text = json.dumps(value, ensure_ascii=False, indent=None if compact else 2)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def line(self, text: str = "", style: str = "") -> None:
        """Print one line, or several; nothing when JSON is wanted."""
        if not self.as_json:
            self._out.print(Text(clean(text), style=style), soft_wrap=True)

    def note(self, text: str, style: str = DIM) -> None:
        """Tell the person something beside the result, on standard error."""
        self._errors.print(Text(clean(text), style=style), soft_wrap=True)

    def marked(self, mark: str, text: str) -> None:
        """Print a line that begins with a coloured word."""
        if self.as_json:
            return
        whole = Text()
        whole.append(f"{mark:<5}", style=STYLES.get(mark, "")).append(clean(text))
        self._out.print(whole, soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
        """Print a table on a terminal, else a line per row with tabs between, the names first."""
        if self.as_json:
            return
        cells = [[cell(value) for value in row] for row in rows]
        if not self.is_terminal:
            if title:
                self.line(title)
            sys.stdout.write("".join("\t".join(row) + "\n" for row in [list(columns), *cells]))
            return
        drawn = Table(
            title=title or None, title_justify="left", title_style="bold", header_style="bold", box=None
        )
        for place, column in enumerate(columns):
            # Ids are there to be copied: the first column stays whole, the others are folded, never cut.
            drawn.add_column(column, overflow="fold", no_wrap=place == 0)
        for row in cells:
            drawn.add_row(*(Text(value, style=STYLES.get(value, "")) for value in row))
        self._out.print(drawn)

    def facts(self, values: Mapping[str, object]) -> None:
        """Print names and values below each other; those without a value are left out."""
        if self.as_json:
            return
        shown = {name: cell(value) for name, value in values.items() if cell(value)}
        width = max((len(name) for name in shown), default=0) + 2
        for name, value in shown.items():
            whole = Text()
            whole.append(f"{name:<{width}}", style=DIM).append(value, style=STYLES.get(value, ""))
            self._out.print(whole, soft_wrap=True)

    def problem(self, text: str, *, code: str, field: str | None = None, remedy: str | None = None) -> None:
        """Print an error with its code, the field at fault and what to do, on standard error."""
        where = f" at {field}" if field else ""
        self.note(f"error ({code}{where}): {text}", BAD)
        if remedy:
            self.note(f"  what to do: {remedy}", "")
