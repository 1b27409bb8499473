"""Who asks: a key in `Authorization: Bearer` or `X-API-Key`, or the operator on the local socket; and may they?"""

from datetime import datetime

from starlette.types import Scope

from waypost.domain import keys as key_text
from waypost.domain.errors import Forbidden, InvalidRequest, Unauthenticated, Unavailable
from waypost.domain.times import to_ms
from waypost.store import keys
from waypost.web.limits import header
from waypost.web.parts import Parts
from waypost.web.routing import SCOPES, Caller, Route

ANYONE = Caller("", "anyone", frozenset(), "live")
_ALL = frozenset(SCOPES)


async def bootstrap(parts: Parts) -> str | None:
    """Make the tenant `Default` and a key with every scope on a fresh store; gives the key, this once only."""
    text, item = keys.make_bootstrap(parts.randomness, parts.clock.now())
    made = await parts.store.write(keys.begin, item)
    return None if made is None else text


async def caller_of(parts: Parts, scope: Scope, route: Route, now: datetime, local: bool) -> Caller:
    """Give who asks, if they may use the route; raises `Unauthenticated` or `Forbidden`."""
    if route.scope is None:
        return ANYONE
    if local:
        return await _operator(parts, scope)
    key = await _key(parts, _text(scope), now)
    caller = Caller(key.tenant_id, f"key:{key.id}", key.scopes, key.environment)
    if route.scope not in key.scopes:
        raise Forbidden(
            f"This key lacks the scope {route.scope}.",
            code="scope_missing",
            remedy=f"Use a key with {route.scope}, or create one.",
        )
    return caller


async def note_use(parts: Parts, caller: Caller, now: datetime) -> None:
    """Write the key's last use, at most once a minute."""
    kind, _, key_id = caller.actor.partition(":")
    if kind == "key" and parts.key_cache.due_for_touch(key_id, now):
        await parts.store.write(keys.touch, keys.Touch(key_id, now))


def _text(scope: Scope) -> str:
    authorization = header(scope, b"authorization")
    if authorization is not None:
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(
                "This authorization scheme is not known here.",
                code="key_missing",
                remedy="Send Authorization: Bearer wp_…",
            )
        return text.strip()
    text = header(scope, b"x-api-key") or ""
    if not text:
        raise Unauthenticated(
            "This route needs an API key.",
            code="key_missing",
            remedy="Send Authorization: Bearer wp_…; `waypost keys create` makes a key.",
        )
    return text.strip()


async def _key(parts: Parts, text: str, now: datetime) -> keys.Key:
    cache = parts.key_cache
    digest = key_text.digest(text)
    key = cache.find(digest, now)
    if key is None:
        # Only a key not seen lately has its checksum verified: one in the cache had it right.
        key_text.digest_of(text)
        generation = cache.generation
        key = await parts.store.read(keys.by_digest, digest)
        if key is None:
            raise Unauthenticated(
                "This key is not known here.",
                code="key_unknown",
                remedy="Check that it belongs to this gateway, or create one.",
            )
        cache.keep(digest, key, now, generation)
    if key.revoked_at is not None:
        raise Unauthenticated("This key was revoked.", code="key_revoked", remedy="Use another key.")
    if key.expires_at is not None and key.expires_at <= to_ms(now):
        raise Unauthenticated(
            "This key has expired.", code="key_expired", remedy="Use its successor, or create a key."
        )
    return key


async def _operator(parts: Parts, scope: Scope) -> Caller:
    cache = parts.key_cache
    if not cache.tenant_ids:
        cache.tenant_ids = tuple(await parts.store.read(keys.tenants))
    if not cache.tenant_ids:
        raise Unavailable("There is no tenant yet.", remedy="Start the gateway once: it makes the first one.")
    wanted = header(scope, b"x-waypost-tenant")
    if wanted is None:
        return Caller(cache.tenant_ids[0], "operator", _ALL, "local")
    if wanted not in cache.tenant_ids:
        cache.tenant_ids = tuple(await parts.store.read(keys.tenants))
    if wanted not in cache.tenant_ids:
        raise InvalidRequest("There is no such tenant.", field="X-Waypost-Tenant", code="tenant_unknown")
    return Caller(wanted, "operator", _ALL, "local")
