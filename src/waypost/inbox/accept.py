"""Taking a callback: its signature over the raw bytes is checked, it is stored once, and only then answered.

An app's secrets are opened once and remembered for seconds; a signature that does not fit reads them again, so that
a new secret works at once, but not more than once a second, or forged callbacks could keep the store busy.
"""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from msgspec import Struct

from waypost.domain.errors import Forbidden
from waypost.domain.ports import Clock
from waypost.store.callbacks import AppSecrets, NewCallback, app_secrets, store_callbacks
from waypost.store.database import Store
from waypost.transports.cloud_api.callbacks import verify_signature

_log = structlog.get_logger("waypost.inbox")
_TTL = timedelta(seconds=5)
_RELOAD = timedelta(seconds=1)
_APPS_MAX = 1_000


class _Remembered(Struct, frozen=True):
    secrets: AppSecrets | None
    read_at: datetime


class CallbackInbox:
    """The way in for callbacks. `forged` counts those refused since the start, for a wrong signature or app.

    `check` raises `Unavailable` while nothing more may be taken, such as with a nearly full disk.
    """

    def __init__(self, store: Store, clock: Clock, check: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._clock = clock
        self._check = check
        self._apps: dict[str, _Remembered] = {}
        self.forged = 0

    async def accept(self, app_id: str, signature: str | None, raw: bytes) -> bool:
        """Store a callback durably; False when it was here before.

        `signature` is the header X-Hub-Signature-256. Raises `Forbidden` for a signature that is missing or wrong,
        and whatever keeps the store from writing (`Unavailable`), upon which Meta sends it again.
        """
        now = self._clock.now()
        app = await self._secrets(app_id, now, _TTL)
        signed = app is not None and verify_signature(app.secret, raw, signature)
        if not signed:
            app = await self._secrets(app_id, now, _RELOAD)
            signed = app is not None and verify_signature(app.secret, raw, signature)
        if app is None or not signed:
            raise self._refusal(app_id, signature, raw, app is not None)
        self._check()
        item = NewCallback(app.tenant_id, app_id, hashlib.sha256(raw).digest(), raw, now)
        return bool(await self._store.write(store_callbacks, item))

    async def verify(self, app_id: str, mode: str, token: str, challenge: str) -> str:
        """Answer Meta's handshake: the challenge, for the app's verify token; `Forbidden` otherwise."""
        remembered = await self._secrets(app_id, self._clock.now(), _RELOAD)
        given = token.encode("utf-8", "replace")
        fits = remembered is not None and hmac.compare_digest(remembered.verify_token, given)
        if mode != "subscribe" or not fits:
            self.forged += 1
            _log.warning("handshake_refused", app_id=app_id[:64], app_known=remembered is not None)
            raise Forbidden(
                "The verify token is not this app's.",
                code="handshake_refused",
                field="hub.verify_token",
                remedy="Enter at Meta the verify token that the app was added with.",
            )
        return challenge

    def forget(self, app_id: str | None = None) -> None:
        """Drop what is remembered of an app, or of all: its secret or verify token was replaced."""
        if app_id is None:
            self._apps.clear()
        else:
            self._apps.pop(app_id, None)

    async def _secrets(self, app_id: str, now: datetime, age_max: timedelta) -> AppSecrets | None:
        known = self._apps.get(app_id)
        if known is not None and timedelta(0) <= now - known.read_at < age_max:
            return known.secrets
        secrets = await self._store.read(app_secrets, app_id)
        if len(self._apps) >= _APPS_MAX:
            # Only invented app ids can make so many.
            self._apps.clear()
        self._apps[app_id] = _Remembered(secrets, now)
        return secrets

    def _refusal(self, app_id: str, signature: str | None, raw: bytes, app_known: bool) -> Forbidden:
        self.forged += 1
        _log.warning(
            "callback_refused",
            app_id=app_id[:64],
            app_known=app_known,
            signed=signature is not None,
            size_bytes=len(raw),
        )
        # The same answer for an unknown app: nobody learns which ids exist.
        return Forbidden(
            "The signature does not fit the body.",
            code="callback_forged",
            field="X-Hub-Signature-256",
            remedy="Meta signs with the app's secret: check that the one stored here is the app's present one.",
        )
