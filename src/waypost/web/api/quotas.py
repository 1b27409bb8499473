"""`/v1/quotas`: how much may be accepted for the tenant as a whole, and for each of its numbers."""

from typing import Annotated

from msgspec import Meta, Struct

from waypost.domain.errors import Forbidden, NotFound
from waypost.domain.times import rfc3339
from waypost.store import quotas
from waypost.store.quotas import QuotaScope
from waypost.web.routing import Ask, Route

_TAG = "quotas"
_PER_SECOND_MAX = 100_000


class SetQuota(Struct, frozen=True, forbid_unknown_fields=True):
    """A quota of acceptance."""

    accepts_per_second: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=_PER_SECOND_MAX,
                description="Messages a second in the long run; null: no longer limited.",
            ),
        ]
        | None
    )
    burst: (
        Annotated[
            int, Meta(ge=1, le=1_000_000, description="At once after a pause; by default a second's worth.")
        ]
        | None
    ) = None


class QuotaShown(Struct, frozen=True):
    """A quota as it stands."""

    scope: QuotaScope
    id: Annotated[str, Meta(description="The tenant's or the number's.")]
    accepts_per_second: int | None
    burst: int
    changed_at: str | None


class QuotaList(Struct, frozen=True):
    """Every quota of the tenant and its numbers; what is not listed has none."""

    items: list[QuotaShown]


def _shown(quota: quotas.Quota) -> QuotaShown:
    return QuotaShown(quota.scope, quota.id, quota.accepts_per_second, quota.burst, rfc3339(quota.changed_at))


async def _list(ask: Ask) -> QuotaList:
    found = await ask.parts.store.read(quotas.of_tenant, ask.caller.tenant_id)
    return QuotaList([_shown(each) for each in found])


def _change(scope: QuotaScope, ask: Ask, whose: str) -> quotas.SetQuota:
    if ask.caller.actor != "operator":
        raise Forbidden(
            "Quotas are set by who runs the gateway.",
            code="operator_only",
            remedy="Use `waypost quotas set` on the gateway's machine.",
        )
    body: SetQuota = ask.body
    return quotas.SetQuota(
        scope,
        whose,
        ask.caller.tenant_id,
        body.accepts_per_second,
        body.burst or body.accepts_per_second or 1,
        ask.caller.actor,
        ask.now,
    )


async def _set_tenant(ask: Ask) -> QuotaShown:
    return _shown(await ask.parts.store.write(quotas.put, _change("tenant", ask, ask.caller.tenant_id)))


async def _set_number(ask: Ask) -> QuotaShown:
    return _shown(await ask.parts.store.write(quotas.put, _change("number", ask, ask.path["number_id"])))


_OPERATOR = "On the operator's socket only: who floods does not raise the dam."

ROUTES = (
    Route(
        "GET",
        "/v1/quotas",
        "operations:read",
        "List quotas",
        _list,
        answer=QuotaList,
        tag=_TAG,
        description="Beyond a quota a draft is refused with 429 `quota_exceeded` and Retry-After.",
    ),
    Route(
        "PUT",
        "/v1/quotas/tenant",
        "operations:write",
        "Set the tenant's quota",
        _set_tenant,
        body=SetQuota,
        answer=QuotaShown,
        problems=(Forbidden,),
        tag=_TAG,
        description=_OPERATOR,
    ),
    Route(
        "PUT",
        "/v1/quotas/numbers/{number_id}",
        "operations:write",
        "Set a number's quota",
        _set_number,
        body=SetQuota,
        answer=QuotaShown,
        problems=(Forbidden, NotFound),
        tag=_TAG,
        description=_OPERATOR,
    ),
)
