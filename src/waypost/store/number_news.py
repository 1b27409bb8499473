"""What Meta tells of numbers and accounts in callbacks, applied to their rows: `apply_change`, one field at a time."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from waypost.store.accounts import change_waba, set_portfolio_limit
from waypost.store.numbers import Number, change_row, get, pace_of
from waypost.store.transaction import Transaction

ACTOR = "meta"
_TIERS = {50: "TIER_50", 250: "TIER_250", 1_000: "TIER_1K", 2_000: "TIER_2K", 10_000: "TIER_10K"}
_TIERS |= {100_000: "TIER_100K", -1: "TIER_UNLIMITED"}


class News(Struct, frozen=True):
    """One change of a callback: whose WABA, which field, what Meta says."""

    tenant_id: str
    meta_waba_id: str
    field: str
    value: Mapping[str, Any]
    now: datetime


def apply_change(
    tx: Transaction, tenant_id: str, meta_waba_id: str, field: str, value: Mapping[str, Any], now: datetime
) -> bool:
    """Apply one `change` of a callback about a number or an account; False when it is none of these, or not ours."""
    apply = _FIELDS.get(field)
    return apply is not None and apply(tx, News(tenant_id, meta_waba_id, field, value, now))


def tier_of(limit: object) -> str | None:
    """Give Meta's name of a messaging limit told as a name or a number."""
    if isinstance(limit, str) and limit:
        return _TIERS.get(int(limit), limit) if limit.lstrip("-").isdecimal() else limit[:40]
    if isinstance(limit, int) and not isinstance(limit, bool):
        return _TIERS.get(limit, f"TIER_{limit}")
    return None


def _quality(tx: Transaction, news: News) -> bool:
    """`ONBOARDING`, `UPGRADE`, `DOWNGRADE`, `THROUGHPUT_UPGRADE`, and the limit that now holds."""
    number = _number(tx, news)
    if number is None:
        return False
    event = _word(news.value.get("event"))
    changes: dict[str, Any] = {}
    if event == "THROUGHPUT_UPGRADE":
        changes = {"throughput_level": "HIGH", "pace_per_second": pace_of("HIGH")}
    told = news.value.get("max_daily_conversations_per_business") or news.value.get("current_limit")
    limit = tier_of(told)
    if limit is not None and limit != number.messaging_limit:
        changes["messaging_limit"] = limit
    change_row(tx, number, changes, "number.changed", ACTOR, news.now, event, {"event": event, **changes})
    if limit is not None:
        set_portfolio_limit(tx, number.tenant_id, number.portfolio_id, limit, ACTOR, news.now)
    return True


def _name(tx: Transaction, news: News) -> bool:
    number = _number(tx, news)
    if number is None:
        return False
    decision = _word(news.value.get("decision"))
    name = news.value.get("requested_verified_name")
    changes = {"verified_name": name} if decision == "APPROVED" and isinstance(name, str) else {}
    facts = {"name_decision": decision, **changes}
    reason = _word(news.value.get("rejection_reason"))
    change_row(tx, number, changes, "number.changed", ACTOR, news.now, reason, facts)
    return True


def _capability(tx: Transaction, news: News) -> bool:
    row = tx.one(
        "SELECT portfolio_id FROM wabas WHERE tenant_id = ? AND meta_waba_id = ?",
        (news.tenant_id, news.meta_waba_id),
    )
    limit = tier_of(news.value.get("max_daily_conversations_per_business"))
    if row is not None and limit is not None:
        set_portfolio_limit(tx, news.tenant_id, row[0], limit, ACTOR, news.now)
    return _account(tx, news)


def _of_number(tx: Transaction, news: News) -> bool:
    """Settings and security: noted at the number when it is named, else at the WABA."""
    number = _number(tx, news)
    if number is None:
        return _account(tx, news)
    facts = {"field": news.field, **_words(news.value)}
    change_row(tx, number, {}, "number.changed", ACTOR, news.now, facts=facts)
    return True


def _account(tx: Transaction, news: News) -> bool:
    facts = {"field": news.field, **_words(news.value)}
    return change_waba(tx, news.tenant_id, news.meta_waba_id, facts, ACTOR, news.now)


def _words(value: Mapping[str, Any]) -> dict[str, Any]:
    """What may go into the journal: Meta's own codes and figures. Descriptions and people's names stay out."""
    kept: dict[str, Any] = {}
    for name, told in value.items():
        if name in _TOLD and isinstance(told, str | int | bool):
            kept[name] = told[:100] if isinstance(told, str) else told
        elif name in ("ban_info", "violation_info", "alert_info") and isinstance(told, dict):
            kept[name] = {key: item for key, item in told.items() if key in _TOLD and isinstance(item, str)}
        elif name == "restriction_info" and isinstance(told, list):
            kept[name] = [
                {key: item for key, item in each.items() if key in _TOLD and isinstance(item, str | int)}
                for each in told
                if isinstance(each, dict)
            ]
    return kept


_TOLD = frozenset(
    {
        "event", "decision", "type", "entity_type", "entity_id", "alert_severity", "alert_status", "alert_type",
        "waba_ban_state", "waba_ban_date", "violation_type", "restriction_type", "expiration", "country",
        "max_daily_conversations_per_business", "max_phone_numbers_per_business", "max_phone_numbers_per_waba",
    }
)  # fmt: skip


def _number(tx: Transaction, news: News) -> Number | None:
    """Find the number by Meta's id or by its digits as displayed, within the WABA."""
    settings = news.value.get("phone_number_settings")
    named = settings.get("phone_number_id") if isinstance(settings, dict) else None
    named = named or news.value.get("phone_number_id")
    shown = str(news.value.get("display_phone_number") or news.value.get("phone_number") or "")
    digits = "".join(filter(str.isdigit, shown))
    row = tx.one(
        "SELECT n.id FROM numbers n JOIN wabas w ON w.id = n.waba_id WHERE n.tenant_id = ? AND w.meta_waba_id = ?"
        " AND n.state <> 'removed' AND (n.phone_number_id = ? OR n.phone = ?) LIMIT 1",
        (news.tenant_id, news.meta_waba_id, str(named or ""), f"+{digits}"),
    )
    return None if row is None else get(tx, news.tenant_id, row[0])


def _word(told: object) -> str | None:
    return told[:100] if isinstance(told, str) else None


_FIELDS: dict[str, Callable[[Transaction, News], bool]] = {
    "phone_number_quality_update": _quality,
    "phone_number_name_update": _name,
    "business_capability_update": _capability,
    "account_settings_update": _of_number,
    "security": _of_number,
    "account_update": _account,
    "account_alerts": _account,
    "account_review_update": _account,
}
FIELDS = frozenset(_FIELDS)
