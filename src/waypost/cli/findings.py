"""What a check found: ok, worth a look, or wrong; with what to do."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `waypost doctor`."""

    state: Literal["ok", "warn", "fail"]
    topic: str
    message: str
    remedy: str | None = None
