"""Signs webhooks as Standard Webhooks says: `v1` by HMAC-SHA256, `v1a` by Ed25519, with several keys in a rotation."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from waypost.domain.errors import InvalidRequest
from waypost.domain.ports import Randomness
from waypost.domain.times import to_ms
from waypost.store.subscribers import NewSecret, Scheme, SigningKey

SECRET_PREFIX = "whsec_"  # noqa: S105 - how secrets begin, not one
PUBLIC_PREFIX = "whpk_"
# Standard Webhooks: between 24 and 64 bytes.
_SECRET_BYTES_MIN, _SECRET_BYTES_MAX = 24, 64
_NEW_SECRET_BYTES = 32


def new_secret(scheme: Scheme, randomness: Randomness) -> NewSecret:
    """Make a secret of 32 bytes; for `v1a` it is the seed of an Ed25519 key."""
    secret = randomness.token_bytes(_NEW_SECRET_BYTES)
    return NewSecret(scheme, secret, None if scheme == "v1" else public_key_of(secret))


def given_secret(text: str) -> NewSecret:
    """Read a `v1` secret that a subscriber has already; raises `InvalidRequest` when it is none."""
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not text.startswith(SECRET_PREFIX) or not _SECRET_BYTES_MIN <= len(secret) <= _SECRET_BYTES_MAX:
        raise InvalidRequest(
            f"A secret is {SECRET_PREFIX} and {_SECRET_BYTES_MIN} to {_SECRET_BYTES_MAX} bytes in base64.",
            code="bad_secret",
            field="secret",
            remedy="Leave it out to get a new one.",
        )
    return NewSecret("v1", secret, None)


def shown_secret(new: NewSecret) -> str | None:
    """Give a `v1` secret as its subscriber needs it; `v1a` has nothing to show but its public key."""
    return SECRET_PREFIX + _base64(new.secret) if new.scheme == "v1" else None


def public_key_of(seed: bytes) -> str:
    """Give the public key of an Ed25519 seed, `whpk_…`."""
    return PUBLIC_PREFIX + _base64(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


def signed_headers(webhook_id: str, body: bytes, keys: Sequence[SigningKey], now: datetime) -> dict[str, str]:
    """Give the headers of one webhook: id, time, and a signature of each key that is still valid."""
    now_ms = to_ms(now)
    timestamp = str(now_ms // 1000)
    content = f"{webhook_id}.{timestamp}.".encode() + body
    valid = [key for key in keys if key.valid_until is None or key.valid_until > now_ms]
    return {
        "Content-Type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(key, content) for key in valid),
    }


def _signature(key: SigningKey, content: bytes) -> str:
    if key.scheme == "v1":
        return "v1," + _base64(hmac.digest(key.secret, content, hashlib.sha256))
    return "v1a," + _base64(Ed25519PrivateKey.from_private_bytes(key.secret).sign(content))


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
