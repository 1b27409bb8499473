"""The control API of account objects: a template's or a number's state changes, and the app hears of it."""

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from waypost.emulator.control import Refused, asked, body_of, number_of
from waypost.emulator.stage import Stage
from waypost.emulator.template_edges import set_status, shown
from waypost.emulator.webhooks import Update

Wire = dict[str, Any]

_TEMPLATE_STATES = ("APPROVED", "PENDING", "REJECTED", "PAUSED", "DISABLED", "FLAGGED", "IN_APPEAL", "LOCKED")
_NUMBER_FIELDS = (
    "status",
    "quality_rating",
    "throughput",
    "code_verification_status",
    "name_status",
    "account_mode",
)


def routes(stage: Stage) -> list[Route]:
    """All routes of this part."""

    async def change_template(request: Request) -> Wire:
        body = await body_of(request)
        template = stage.world.templates.get(request.path_params["template_id"])
        if template is None:
            raise Refused("no such template")
        if "send_status" in body:
            if body["send_status"] not in ("accepted", "held_for_quality_assessment", "paused"):
                raise Refused("send_status must be accepted, held_for_quality_assessment or paused")
            template.send_status = body["send_status"]
        if "quality" in body:
            value = {
                "previous_quality_score": template.quality,
                "new_quality_score": str(body["quality"]),
                "message_template_id": int(template.id),
                "message_template_name": template.name,
                "message_template_language": template.language,
            }
            template.quality = str(body["quality"])
            _tell(template.waba_id, "message_template_quality_update", value)
        if "category" in body:
            value = {
                "message_template_id": int(template.id),
                "message_template_name": template.name,
                "message_template_language": template.language,
                "previous_category": template.category,
                "new_category": str(body["category"]),
            }
            template.category = str(body["category"])
            _tell(template.waba_id, "template_category_update", value)
        if "status" in body:
            if body["status"] not in _TEMPLATE_STATES:
                raise Refused(f"status must be one of {', '.join(_TEMPLATE_STATES)}")
            set_status(stage, template, body["status"], str(body.get("reason", "NONE")))
        return shown(template)

    async def change_number(request: Request) -> Wire:
        body = await body_of(request)
        number = number_of(stage, request.path_params["number_id"])
        unknown = set(body) - {*_NUMBER_FIELDS, "messaging_limit"}
        if unknown:
            raise Refused(f"unknown fields: {', '.join(sorted(unknown))}")
        portfolio = stage.world.portfolio_of(number)
        before = (number.quality_rating, number.throughput, portfolio.messaging_limit)
        for name in _NUMBER_FIELDS:
            if name in body:
                setattr(number, name, str(body[name]))
        portfolio.messaging_limit = str(body.get("messaging_limit", portfolio.messaging_limit))
        if (number.quality_rating, number.throughput, portfolio.messaging_limit) != before:
            value = {
                "display_phone_number": number.digits,
                "event": "THROUGHPUT_UPGRADE" if number.throughput != before[1] else "UPGRADE",
                "max_daily_conversations_per_business": portfolio.messaging_limit,
            }
            _tell(number.waba_id, "phone_number_quality_update", value)
        return {"id": number.id, **{name: getattr(number, name) for name in _NUMBER_FIELDS}}

    def _tell(waba_id: str, field: str, value: Wire) -> None:
        stage.webhooks.tell(Update(waba_id, field, value, stage.clock.now()), None)

    return [
        Route("/templates/{template_id}", asked(change_template), methods=["POST"]),
        Route("/numbers/{number_id}", asked(change_number), methods=["POST"]),
    ]
