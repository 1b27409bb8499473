"""Bodies and answers of `/v1/numbers`."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from waypost.domain.times import rfc3339
from waypost.store.numbers import Number

MetaId = Annotated[str, Meta(min_length=1, max_length=40, pattern="^[0-9]+$")]
Secret = Annotated[str, Meta(min_length=1, max_length=2_000, pattern="^[!-~]+$")]


class AddNumber(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A number to add."""

    phone_number_id: Annotated[MetaId, Meta(description="Meta's id of the number (not the phone number).")]
    waba_id: Annotated[MetaId, Meta(description="Meta's id of its WhatsApp Business Account.")]
    token: Annotated[Secret, Meta(description="Access token; kept encrypted, never shown.")]
    label: Annotated[str, Meta(max_length=100, description="Your name for it.")] = ""
    app_id: Annotated[MetaId, Meta(description="Meta's app id; the token's own when absent.")] | None = None
    app_secret: (
        Annotated[
            Secret, Meta(description="Needed for the first number of an app: callbacks are signed with it.")
        ]
        | None
    ) = None
    verify_token: (
        Annotated[
            Secret,
            Meta(description="A word of your choice for Meta's handshake; for the first number of an app."),
        ]
        | None
    ) = None
    business_id: (
        Annotated[
            MetaId, Meta(description="Meta's id of the business portfolio; read from Meta when absent.")
        ]
        | None
    ) = None
    base_url: (
        Annotated[
            str,
            Meta(max_length=300, pattern="^https?://", description="`cloud_api.base_url` when absent."),
        ]
        | None
    ) = None
    graph_version: (
        Annotated[
            str,
            Meta(
                pattern=r"^(v\d{1,3}\.\d|flat)?$",
                description="Such as `v26.0`; empty: none in paths; `flat`: neither that nor the number.",
            ),
        ]
        | None
    ) = None
    auth_header: Annotated[
        str,
        Meta(
            max_length=100,
            pattern=r"^[A-Za-z0-9-]+(: ?[A-Za-z0-9-]+)?$",
            description="Header and scheme before the token, or a header alone such as `D360-API-KEY`.",
        ),
    ] = "Authorization: Bearer"
    verify: Annotated[bool, Meta(description="Read number, WABA and token at Meta before adding.")] = True

    def __repr__(self) -> str:
        return f"AddNumber({self.phone_number_id})"


class RotateToken(Struct, frozen=True, forbid_unknown_fields=True):
    """A token to put in the place of the old one."""

    token: Secret
    verify: Annotated[bool, Meta(description="Try the new token at Meta before the old one goes.")] = True

    def __repr__(self) -> str:
        return "RotateToken()"


class RequestCode(Struct, frozen=True, forbid_unknown_fields=True):
    """How the verification code shall come."""

    method: Literal["SMS", "VOICE"] = "SMS"
    language: Annotated[str, Meta(pattern="^[a-z]{2,3}(_[A-Z]{2})?$", description="Of the text or call.")] = (
        "en_US"
    )


class VerifyCode(Struct, frozen=True, forbid_unknown_fields=True):
    """The verification code that came."""

    code: Annotated[str, Meta(pattern="^[0-9]{3}-?[0-9]{3}$", description="Six digits.")]


class Register(Struct, frozen=True, forbid_unknown_fields=True):
    """What registering takes."""

    pin: Annotated[
        str, Meta(pattern="^[0-9]{6}$", description="Two-step PIN: the present one, or a new one.")
    ]
    data_localization_region: (
        Annotated[str, Meta(pattern="^[A-Z]{2}$", description="Where messages rest at Meta, e.g. `DE`.")]
        | None
    ) = None

    def __repr__(self) -> str:
        return "Register()"


class Subscribe(Struct, frozen=True, forbid_unknown_fields=True):
    """Where callbacks shall come."""

    callback_uri: (
        Annotated[
            str,
            Meta(
                pattern="^https?://",
                max_length=200,
                description="In place of the app's own address. Meta calls it at once for the handshake.",
            ),
        ]
        | None
    ) = None


class NumberShown(Struct, frozen=True, kw_only=True):
    """A number without its token."""

    id: str
    kind: str
    label: str
    phone: str | None
    phone_number_id: str
    waba_id: Annotated[str, Meta(description="Our id of the WABA.")]
    app_id: Annotated[
        str, Meta(description="Our id of the app: its callbacks come to `/callbacks/{app_id}`.")
    ]
    portfolio_id: str
    base_url: str
    graph_version: str
    auth_header: str
    state: Literal["active", "paused", "stopped", "removed"]
    state_reason: str | None
    pace_per_second: int
    verified_name: str | None
    quality_rating: str | None
    throughput_level: str | None
    messaging_limit: str | None
    health: Annotated[dict[str, Any], Meta(description="As Meta tells it.")]
    health_at: str | None
    created_at: str
    removed_at: str | None


def shown(number: Number) -> NumberShown:
    """Render a number."""
    return NumberShown(
        id=number.id,
        kind=number.kind,
        label=number.label,
        phone=number.phone,
        phone_number_id=number.phone_number_id,
        waba_id=number.waba_id,
        app_id=number.app_id,
        portfolio_id=number.portfolio_id,
        base_url=number.base_url,
        graph_version=number.graph_version,
        auth_header=number.auth_header,
        state=number.state,
        state_reason=number.state_reason,
        pace_per_second=number.pace_per_second,
        verified_name=number.verified_name,
        quality_rating=number.quality_rating,
        throughput_level=number.throughput_level,
        messaging_limit=number.messaging_limit,
        health=msgspec.json.decode(number.health, type=dict[str, Any]),
        health_at=rfc3339(number.health_at),
        created_at=rfc3339(number.created_at) or "",
        removed_at=rfc3339(number.removed_at),
    )
