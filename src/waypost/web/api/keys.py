"""`/v1/keys`: make, list, show, revoke and rotate API keys. A key's text is in one answer and never again."""

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta, Struct

from waypost.domain import keys as key_text
from waypost.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from waypost.domain.keys import KeyEnvironment, Scope
from waypost.domain.times import rfc3339
from waypost.store import keys
from waypost.web.routing import Answer, Ask, Page, PageQuery, Route, page_of

_TAG = "keys"
_OVERLAP_HOURS_MAX = 720
_LIFETIME_DAYS_MAX = 3653


class CreateKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to make."""

    label: Annotated[
        str,
        Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$", description="What it is for."),
    ]
    scopes: Annotated[
        list[Scope], Meta(min_length=1, max_length=50, description="What it may do; no more than its maker.")
    ]
    environment: Annotated[
        KeyEnvironment, Meta(description="`test` keys use numbers of an emulator on this machine only.")
    ] = "live"
    expires_at: Annotated[datetime, Meta(tz=True, description="When it ends; never by default.")] | None = (
        None
    )


class RotateKey(Struct, frozen=True, forbid_unknown_fields=True):
    """How to rotate a key."""

    overlap_hours: (
        Annotated[
            float,
            Meta(
                ge=0,
                le=_OVERLAP_HOURS_MAX,
                description="How long the old key still works; `keys.rotation_overlap_hours` by default.",
            ),
        ]
        | None
    ) = None


class KeyShown(Struct, frozen=True):
    """A key without its text."""

    id: str
    label: str
    environment: KeyEnvironment
    scopes: list[str]
    state: Annotated[
        str, Meta(description="`active`, `expiring` (rotated, in its overlap), `expired` or `revoked`.")
    ]
    created_at: str
    expires_at: str | None
    last_used_at: Annotated[str, Meta(description="To the minute.")] | None
    revoked_at: str | None
    successor_id: str | None


class KeyMade(KeyShown, frozen=True, omit_defaults=True):
    """A new key with its text, shown once."""

    key: Annotated[str, Meta(description="The key itself: keep it now, it is never shown again.")] | None = (
        None
    )
    secret_already_shown: (
        Annotated[
            list[str], Meta(description="In a replayed answer: the fields left out because shown before.")
        ]
        | None
    ) = None


def _shown(key: keys.Key, now: datetime) -> KeyShown:
    return KeyShown(
        id=key.id,
        label=key.label,
        environment=key.environment,
        scopes=sorted(key.scopes),
        state=key.state(now),
        created_at=rfc3339(key.created_at) or "",
        expires_at=rfc3339(key.expires_at),
        last_used_at=rfc3339(key.last_used_at),
        revoked_at=rfc3339(key.revoked_at),
        successor_id=key.successor_id,
    )


def _made(key: keys.Key, text: str, now: datetime) -> KeyMade:
    shown = _shown(key, now)
    return KeyMade(**{name: getattr(shown, name) for name in KeyShown.__struct_fields__}, key=text)


def _check_reach(ask: Ask, environment: KeyEnvironment, scopes: frozenset[str]) -> None:
    """A caller hands on what it has and no more, or `keys:write` alone would be every scope."""
    if ask.caller.environment == "test" and environment == "live":
        raise Forbidden(
            "A test key cannot act on live keys.", code="test_key_live_key", remedy="Use a live key."
        )
    lacking = sorted(scopes - ask.caller.scopes)
    if lacking:
        raise Forbidden(
            f"The caller lacks {', '.join(lacking)} itself.",
            code="scope_not_held",
            field="scopes",
            remedy="Use a key that has these scopes, or the command line on the gateway's machine.",
        )


async def _create(ask: Ask) -> Answer:
    body: CreateKey = ask.body
    scopes = frozenset[str](body.scopes)
    _check_reach(ask, body.environment, scopes)
    if body.expires_at is not None and body.expires_at <= ask.now:
        raise InvalidRequest(
            "The key would have expired already.", field="expires_at", remedy="Name a time to come."
        )
    if body.expires_at is not None and body.expires_at > ask.now + timedelta(days=_LIFETIME_DAYS_MAX):
        raise InvalidRequest(
            "A key ends within ten years, or never.",
            field="expires_at",
            remedy="Name an earlier time, or none.",
        )
    text = key_text.new_key(body.environment, ask.parts.randomness)
    item = keys.NewKey(
        tenant_id=ask.caller.tenant_id,
        label=body.label,
        environment=body.environment,
        scopes=scopes,
        digest=key_text.digest_of(text),
        expires_at=body.expires_at,
        actor=ask.caller.actor,
        now=ask.now,
    )
    return await ask.change(keys.create, item, lambda key: _made(key, text, ask.now), secret_fields=("key",))


async def _list(ask: Ask) -> Page[KeyShown]:
    query: PageQuery = ask.query
    found = await ask.parts.store.read(keys.newest_first, ask.caller.tenant_id, query.cursor, query.limit + 1)
    return page_of([_shown(key, ask.now) for key in found], query.limit, lambda key: key.id)


async def _show(ask: Ask) -> KeyShown:
    key = await ask.parts.store.read(keys.show, ask.caller.tenant_id, ask.path["key_id"])
    return _shown(key, ask.now)


async def _revoke(ask: Ask) -> KeyShown:
    key = await ask.parts.store.read(keys.show, ask.caller.tenant_id, ask.path["key_id"])
    _check_reach(ask, key.environment, frozenset())
    revoked = await ask.parts.store.write(
        keys.revoke, keys.Revoke(ask.caller.tenant_id, key.id, ask.caller.actor, ask.now)
    )
    ask.parts.key_cache.forget()
    return _shown(revoked, ask.now)


async def _rotate(ask: Ask) -> Answer:
    old = await ask.parts.store.read(keys.show, ask.caller.tenant_id, ask.path["key_id"])
    _check_reach(ask, old.environment, old.scopes)
    body: RotateKey = ask.body
    hours = ask.parts.config.keys.rotation_overlap_hours if body.overlap_hours is None else body.overlap_hours
    text = key_text.new_key(old.environment, ask.parts.randomness)
    item = keys.Rotate(
        tenant_id=ask.caller.tenant_id,
        key_id=old.id,
        digest=key_text.digest_of(text),
        overlap=timedelta(hours=hours),
        actor=ask.caller.actor,
        now=ask.now,
    )
    answer = await ask.change(
        keys.rotate, item, lambda key: _made(key, text, ask.now), secret_fields=("key",)
    )
    ask.parts.key_cache.forget()
    return answer


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/keys",
        "keys:write",
        "Make a key",
        _create,
        body=CreateKey,
        answer=KeyMade,
        status=201,
        tag=_TAG,
        examples={"a sender": {"label": "shop backend", "scopes": ["messages:send", "messages:read"]}},
    ),
    Route(
        "GET", "/v1/keys", "keys:read", "List keys", _list, query=PageQuery, answer=Page[KeyShown], tag=_TAG
    ),
    Route(
        "GET",
        "/v1/keys/{key_id}",
        "keys:read",
        "Show a key",
        _show,
        answer=KeyShown,
        problems=(NotFound,),
        tag=_TAG,
    ),
    Route(
        "DELETE",
        "/v1/keys/{key_id}",
        "keys:write",
        "Revoke a key",
        _revoke,
        answer=KeyShown,
        problems=(NotFound,),
        tag=_TAG,
        description="It stops working at once. Revoking it again changes nothing.",
    ),
    Route(
        "POST",
        "/v1/keys/{key_id}:rotate",
        "keys:write",
        "Rotate a key",
        _rotate,
        body=RotateKey,
        body_optional=True,
        answer=KeyMade,
        status=201,
        problems=(NotFound, Conflict),
        tag=_TAG,
        description="Makes a successor with the same label, scopes and lifetime; both work during the overlap.",
        examples={"at once": {"overlap_hours": 0}},
    ),
)
