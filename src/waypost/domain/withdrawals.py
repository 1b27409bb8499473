"""Withdrawals: a person said no, to marketing or to everything that nobody asked for."""

from typing import Literal

from msgspec import Struct

Purpose = Literal["marketing", "all"]
Source = Literal["api", "meta", "second_place"]


class Copied(Struct, frozen=True, tag="withdrawal"):
    """A withdrawal as the second place keeps it: no number, name or reason. `aliases` are blind indexes in hex, `at`
    milliseconds since the epoch."""

    id: str
    tenant_id: str
    aliases: tuple[str, ...]
    purpose: Purpose
    at: int


class Heartbeat(Struct, frozen=True, tag="heartbeat"):
    """How far the journal had come at `at` (milliseconds): what a restore from an older backup is missing."""

    timeline: str
    position: int
    at: int
