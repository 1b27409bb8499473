"""API keys as text: `wp_live_` or `wp_test_`, 30 characters of chance, 6 of checksum; and the scopes they may carry.

The checksum (CRC-32, base 62, as GitHub's tokens have it since April 2021) tells a mistyped or truncated key from an
unknown one without a look-up, and lets scanners of leaked secrets be sure of a find.
"""

import ipaddress
import zlib
from hashlib import sha256
from typing import Literal, get_args
from urllib.parse import urlsplit

from waypost.domain.errors import Forbidden, Unauthenticated
from waypost.domain.ports import Randomness

KeyEnvironment = Literal["live", "test"]
Environment = Literal["live", "test", "local"]
Scope = Literal[
    "messages:send",
    "messages:read",
    "conversations:read",
    "conversations:write",
    "contacts:read",
    "numbers:read",
    "numbers:write",
    "templates:read",
    "templates:write",
    "media:read",
    "media:write",
    "subscribers:read",
    "subscribers:write",
    "events:read",
    "keys:read",
    "keys:write",
    "operations:read",
    "operations:write",
]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX_LENGTH = len("wp_live_")
_CHANCE_BYTES = 22  # 176 bits, which fit 30 characters of base 62
_CHANCE_LENGTH = 30
_CHECKSUM_LENGTH = 6


def new_key(environment: KeyEnvironment, randomness: Randomness) -> str:
    """Make a key: to be shown once and kept only as its digest."""
    chance = int.from_bytes(randomness.token_bytes(_CHANCE_BYTES), "big")
    stem = f"wp_{environment}_{_base62(chance, _CHANCE_LENGTH)}"
    return stem + _checksum(stem)


def digest_of(key: str) -> bytes:
    """Give the SHA-256 of a well-formed key; raises `Unauthenticated` for one that cannot be a key of ours.

    A plain hash is enough: 176 bits of chance cannot be guessed, so slowness would only cost the caller.
    """
    stem = key[:-_CHECKSUM_LENGTH]
    if (
        len(key) != _PREFIX_LENGTH + _CHANCE_LENGTH + _CHECKSUM_LENGTH
        or not key.isascii()
        or key[:_PREFIX_LENGTH] not in ("wp_live_", "wp_test_")
        or key[-_CHECKSUM_LENGTH:] != _checksum(stem)
    ):
        raise Unauthenticated(
            "This is not a whole API key: its checksum does not fit.",
            code="key_malformed",
            remedy="Copy the key again, all of it: wp_live_ or wp_test_ and 36 characters.",
        )
    return digest(key)


def digest(text: str) -> bytes:
    """Give the SHA-256 that a key is stored and found by."""
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def check_number(environment: Environment, base_url: str) -> None:
    """Raise `Forbidden` when a test key would speak through a number that is not an emulator on this machine."""
    if environment == "test" and not _is_loopback(base_url):
        raise Forbidden(
            "A test key cannot use a number that reaches the real provider.",
            code="test_key_live_number",
            remedy="Use a live key, or a number whose base URL is an emulator on this machine.",
        )


def _is_loopback(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checksum(stem: str) -> str:
    return _base62(zlib.crc32(stem.encode("utf-8", "replace")), _CHECKSUM_LENGTH)


def _base62(value: int, length: int) -> str:
    digits: list[str] = []
    for _ in range(length):
        value, digit = divmod(value, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
