"""Reading management changes: templates, numbers, the account.

Meta mislabels some, so the content decides together with the name of the field.
"""

from typing import Any, Literal

from msgspec import Raw

from waypost.domain.provider_events import AccountChanged, NumberChanged, TemplateChanged
from waypost.transports.cloud_api.callback_parts import Source, object_of, part_of, text_of

TEMPLATE_FIELDS = frozenset(
    {
        "message_template_status_update",
        "message_template_quality_update",
        "message_template_components_update",
        "template_category_update",
    }
)

_NumberAspect = Literal["quality", "name", "username", "settings", "security"]
NUMBER_FIELDS: dict[str, _NumberAspect] = {
    "phone_number_quality_update": "quality",
    "phone_number_name_update": "name",
    "business_username_update": "username",
    "account_settings_update": "settings",
    "security": "security",
}
_AccountAspect = Literal["account", "alert", "review", "capability", "payment", "partner"]
ACCOUNT_FIELDS: dict[str, _AccountAspect] = {
    "account_update": "account",
    "account_alerts": "alert",
    "account_review_update": "review",
    "business_capability_update": "capability",
    "payment_configuration_update": "payment",
    "partner_solutions": "partner",
}


def read_template(source: Source, raw: Raw) -> TemplateChanged:
    """Read a change of a template."""
    value = object_of(raw)
    aspect = _template_aspect(source.field, value)
    event = {
        "status": text_of(value, "event"),
        "quality": text_of(value, "new_quality_score"),
        "category": text_of(value, "new_category", "correct_category"),
        "components": None,
    }[aspect]
    reason = text_of(value, "reason")
    return TemplateChanged(
        waba_id=source.waba_id,
        aspect=aspect,
        template_id=text_of(value, "message_template_id"),
        name=text_of(value, "message_template_name"),
        language=text_of(value, "message_template_language"),
        event=event,
        reason=None if reason == "NONE" else reason,
        at=source.at,
        raw=bytes(raw),
    )


def _template_aspect(
    field: str, value: dict[str, Any]
) -> Literal["status", "quality", "category", "components"]:
    # Meta's own sample of a quality update carries the name of the status update.
    if "new_quality_score" in value or field == "message_template_quality_update":
        return "quality"
    if "new_category" in value or "correct_category" in value or field == "template_category_update":
        return "category"
    if field == "message_template_components_update":
        return "components"
    return "status"


def read_number(source: Source, raw: Raw) -> NumberChanged:
    """Read a change of a number."""
    value = object_of(raw)
    aspect = NUMBER_FIELDS[source.field]
    event = text_of(value, "event", "decision", "status", "type")
    settings = part_of(value, "phone_number_settings")
    return NumberChanged(
        waba_id=source.waba_id,
        aspect="throughput" if event == "THROUGHPUT_UPGRADE" else aspect,
        phone_number_id=text_of(value, "phone_number_id")
        or text_of(settings, "phone_number_id")
        or source.phone_number_id
        or None,
        display_phone_number=text_of(value, "display_phone_number"),
        event=event,
        # `current_limit` left this change in February 2026.
        limit=text_of(value, "max_daily_conversations_per_business", "current_limit"),
        at=source.at,
        raw=bytes(raw),
    )


def read_account(source: Source, raw: Raw) -> AccountChanged:
    """Read a change of the account."""
    value = object_of(raw)
    alert = part_of(value, "alert_info")
    return AccountChanged(
        waba_id=source.waba_id,
        aspect=ACCOUNT_FIELDS[source.field],
        event=text_of(value, "event", "decision", "status") or text_of(alert, "alert_type"),
        limit=text_of(value, "max_daily_conversations_per_business"),
        at=source.at,
        raw=bytes(raw),
    )
