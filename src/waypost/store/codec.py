"""The seam through which content and secrets pass on their way to and from rows.

Content: one format byte, then the bytes (format 0 is plain; per-contact keys come as format 1 without touching a
caller). Secrets: AES-256-GCM under the installation's key, bound to their row by associated data. Blind indexes:
keyed hashes, so that an alias can be found without being readable.
"""

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from waypost.domain.errors import Unavailable
from waypost.domain.ports import Randomness

_PLAIN = b"\x00"


def _derive(master_key: bytes, purpose: bytes) -> bytes:
    return HKDFExpand(algorithm=SHA256(), length=32, info=b"waypost/" + purpose).derive(master_key)


class Codec:
    """Encodes content, seals secrets, blinds aliases. `master_key`: 32 bytes."""

    def __init__(self, master_key: bytes, randomness: Randomness) -> None:
        if len(master_key) != 32:
            raise ValueError("the master key must be 32 bytes")
        self._seal = AESGCM(_derive(master_key, b"seal"))
        self._blind_key = _derive(master_key, b"blind")
        self._randomness = randomness
        # Tells one master key from another without telling anything about it.
        self.fingerprint = _derive(master_key, b"fingerprint")[:16].hex()

    def encode(self, tenant_id: str, contact_id: str | None, content: bytes) -> bytes:
        """Give the column's bytes for `content` about `contact_id`."""
        return _PLAIN + content

    def decode(self, tenant_id: str, contact_id: str | None, column: bytes) -> bytes:
        """Give the content back; an unknown format is a broken invariant."""
        if column[:1] != _PLAIN:
            raise Unavailable("content in a format this release does not read", code="content_format")
        return column[1:]

    def seal(self, purpose: str, secret: bytes) -> bytes:
        """Encrypt `secret` for the row named by `purpose`, e.g. `number:num_…`."""
        nonce = self._randomness.token_bytes(12)
        return nonce + self._seal.encrypt(nonce, secret, purpose.encode())

    def unseal(self, purpose: str, column: bytes) -> bytes:
        """Decrypt what `seal` made; `Unavailable` when the installation's key is another one."""
        try:
            return self._seal.decrypt(column[:12], column[12:], purpose.encode())
        except InvalidTag:
            raise Unavailable(
                "a stored secret cannot be opened with this master key",
                code="wrong_master_key",
                remedy="start with the key file (or WAYPOST_SECRETS_MASTER_KEY) this database was made with",
            ) from None

    def blind(self, tenant_id: str, kind: str, scope: str, value: str) -> bytes:
        """Give the blind index of an alias: 16 bytes, the same for the same tenant, kind, scope and value."""
        text = f"{tenant_id}\x1f{kind}\x1f{scope}\x1f{value}".encode()
        return hmac.digest(self._blind_key, text, hashlib.sha256)[:16]
