"""Ids: a prefix that names the noun and 26 sortable characters (48 bits of milliseconds, 80 of chance).

Ascending ids keep inserts at the right edge of every index (measured about ten times faster than random keys), so
one source never hands out an id lower than its last one, even when the clock steps back.
"""

from datetime import datetime

from waypost.domain.ports import Randomness
from waypost.domain.times import to_ms

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]

PREFIXES = {
    "tenant": "ten",
    "portfolio": "pfo",
    "waba": "wab",
    "app": "app",
    "number": "num",
    "contact": "con",
    "alias": "ali",
    "conversation": "cnv",
    "content": "cnt",
    "message": "msg",
    "attempt": "att",
    "callback": "cal",
    "inbound": "inb",
    "media": "med",
    "template": "tpl",
    "subscriber": "sub",
    "secret": "sec",
    "key": "key",
    "receipt": "rec",
    "withdrawal": "wdr",
}


class IdSource:
    """Hands out ids in ascending order."""

    def __init__(self, randomness: Randomness) -> None:
        self._randomness = randomness
        self._last = 0

    def new(self, noun: str, now: datetime) -> str:
        """Give a fresh id for `noun` (a key of `PREFIXES`), e.g. `msg_06f1…`."""
        value = to_ms(now) << 80
        if value <= self._last >> 80 << 80:
            # Same millisecond, or the clock stepped back: go on counting from the last one.
            value = self._last + 1 + int.from_bytes(self._randomness.token_bytes(3), "big")
        else:
            value |= int.from_bytes(self._randomness.token_bytes(10), "big")
        self._last = value
        return f"{PREFIXES[noun]}_{encode(value)}"


def encode(value: int) -> str:
    """Write a 128-bit number as 26 characters of Crockford's base 32, lower case."""
    pairs = _PAIRS
    return "".join([pairs[value >> shift & 1023] for shift in range(120, -1, -10)])
