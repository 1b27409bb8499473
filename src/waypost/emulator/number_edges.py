"""A business number: look up, code, registration, PIN, health, and its settings."""

from datetime import timedelta
from typing import Any

from waypost.emulator.answers import Answer, page, project
from waypost.emulator.errors import GraphError
from waypost.emulator.graph import Call, Edge
from waypost.emulator.stage import Stage
from waypost.emulator.world import Number, Override

Wire = dict[str, Any]

_DEFAULT_FIELDS = ("verified_name", "code_verification_status", "display_phone_number", "quality_rating",
                   "platform_type", "throughput", "webhook_configuration", "id")  # fmt: skip
_CODE = "123456"


def health_of(stage: Stage, number: Number) -> Wire:
    """Whether each part in the chain lets messages through."""
    up = number.status == "CONNECTED"
    entity: Wire = {
        "entity_type": "PHONE_NUMBER",
        "id": number.id,
        "can_send_message": "AVAILABLE" if up else "BLOCKED",
    }
    if not up:
        entity["errors"] = [
            {
                "error_code": 141000,
                "error_description": f"The number is {number.status}.",
                "possible_solution": "Register the number.",
            }
        ]
    waba = stage.world.waba_of(number)
    rest = [("WABA", waba.id), ("BUSINESS", waba.portfolio_id), *(("APP", app) for app in waba.subscriptions)]
    others = [{"entity_type": kind, "id": key, "can_send_message": "AVAILABLE"} for kind, key in rest]
    return {"can_send_message": entity["can_send_message"], "entities": [entity, *others]}


def shown(stage: Stage, number: Number) -> Wire:
    """A number with every field Graph knows of it."""
    waba = stage.world.waba_of(number)
    urls: Wire = {}
    for app_id, override in waba.subscriptions.items():
        app = stage.world.apps.get(app_id)
        if app is not None and app.callback_url:
            urls["application"] = app.callback_url
        if override is not None:
            urls["whatsapp_business_account"] = override.url
    if number.override is not None:
        urls["phone_number"] = number.override.url
    return {
        "id": number.id,
        "verified_name": number.verified_name,
        "display_phone_number": number.display,
        "quality_rating": number.quality_rating,
        "quality_score": {"score": number.quality_rating},
        "code_verification_status": number.code_verification_status,
        "name_status": number.name_status,
        "status": number.status,
        "platform_type": number.platform_type,
        "throughput": {"level": number.throughput},
        "webhook_configuration": urls,
        "account_mode": number.account_mode,
        "is_official_business_account": False,
        "is_pin_enabled": number.pin is not None,
        "messaging_limit_tier": stage.world.portfolio_of(number).messaging_limit,
        "whatsapp_business_manager_messaging_limit": stage.world.portfolio_of(number).messaging_limit,
        "health_status": health_of(stage, number),
        "country_dial_code": number.country_code,
        "username": number.username,
        "search_visibility": "NON_VISIBLE",
    }


async def _show(call: Call) -> Answer:
    number = call.stage.world.numbers[call.node]
    return Answer.of(project(shown(call.stage, number), call.fields(), _DEFAULT_FIELDS))


async def _list(call: Call) -> Answer:
    rows = [
        project(shown(call.stage, number), call.fields(), _DEFAULT_FIELDS)
        for number in call.stage.world.numbers.values()
        if number.waba_id == call.node
    ]
    return Answer.of(page(rows, call.query, f"{call.stage.base_url}/{call.node}/phone_numbers"))


async def _add(call: Call) -> Answer:
    given = await call.parameters()
    country = "".join(filter(str.isdigit, str(given.get("cc") or "")))
    local = "".join(filter(str.isdigit, str(given.get("phone_number") or "")))
    if not country or not local or not given.get("verified_name"):
        raise GraphError(100, "Params cc, phone_number and verified_name are required.")
    if call.stage.world.number_by_digits(country + local) is not None:
        raise GraphError(2388012)
    number = Number(
        id=call.stage.fresh_id(),
        waba_id=call.node,
        digits=country + local,
        verified_name=str(given["verified_name"]),
        country_code=country,
        status="PENDING",
        code_verification_status="NOT_VERIFIED",
        platform_type="NOT_APPLICABLE",
    )
    call.stage.world.numbers[number.id] = number
    return Answer.of({"id": number.id})


async def _change(call: Call) -> Answer:
    given = await call.parameters()
    number = call.stage.world.numbers[call.node]
    if "pin" in given:
        number.pin = _pin_of(given)
    configuration = given.get("webhook_configuration")
    if isinstance(configuration, dict):
        url = configuration.get("override_callback_uri")
        if url:
            number.override = await verified_override(
                call, str(url), str(configuration.get("verify_token") or "")
            )
        else:
            number.override = None
    elif "pin" not in given:
        raise GraphError(100, "Nothing to change: pin or webhook_configuration.")
    return Answer.of({"success": True})


async def verified_override(call: Call, url: str, verify_token: str) -> Override:
    """An override whose receiver has repeated the challenge; refuses with 100 otherwise."""
    if len(url) > 200:
        raise GraphError(100, "Param override_callback_uri must be at most 200 characters long.")
    fault = await call.stage.webhooks.verify(url, verify_token)
    if fault is not None:
        raise GraphError(100, f"The callback URL could not be validated: {fault}.", subcode=2200)
    return Override(url, verify_token)


def _pin_of(given: Wire) -> str:
    pin = str(given.get("pin") or "")
    if len(pin) != 6 or not pin.isdigit():
        raise GraphError(100, "Param pin must be 6 digits.")
    return pin


async def _request_code(call: Call) -> Answer:
    given = await call.parameters()
    number = call.stage.world.numbers[call.node]
    if str(given.get("code_method") or "").upper() not in ("SMS", "VOICE") or not given.get("language"):
        raise GraphError(100, "Params code_method (SMS or VOICE) and language are required.")
    if number.code_verification_status == "VERIFIED" and number.status == "CONNECTED":
        raise GraphError(2388091, "The number is verified already.")
    number.code = _CODE
    return Answer.of({"success": True})


async def _verify_code(call: Call) -> Answer:
    given = await call.parameters()
    number = call.stage.world.numbers[call.node]
    if number.code is None:
        raise GraphError(2388093, "Request a code first.")
    if str(given.get("code") or "").replace("-", "") != number.code:
        raise GraphError(136025, "The code is not the one that was sent.", http_status=400)
    number.code, number.code_verification_status = None, "VERIFIED"
    return Answer.of({"success": True})


def _spend_registration(stage: Stage, number: Number) -> None:
    now = stage.clock.now()
    recent = [at for at in number.registrations if now - at < timedelta(hours=72)]
    if len(recent) >= 10:
        raise GraphError(133016, "Ten calls in 72 hours are used up.")
    number.registrations.append(now)


async def _register(call: Call) -> Answer:
    given = await call.parameters()
    number = call.stage.world.numbers[call.node]
    if given.get("messaging_product") != "whatsapp":
        raise GraphError(100, message="(#100) The parameter messaging_product is required.")
    pin = _pin_of(given)
    _spend_registration(call.stage, number)
    if number.code_verification_status != "VERIFIED":
        raise GraphError(133006, "The number must be verified before it is registered.")
    if number.pin is not None and number.pin != pin:
        raise GraphError(133005, "The PIN is another one.")
    number.pin, number.status, number.platform_type = pin, "CONNECTED", "CLOUD_API"
    number.localization_region = given.get("data_localization_region")
    return Answer.of({"success": True})


async def _deregister(call: Call) -> Answer:
    number = call.stage.world.numbers[call.node]
    _spend_registration(call.stage, number)
    if number.status != "CONNECTED":
        raise GraphError(133010)
    number.status = "DISCONNECTED"
    return Answer.of({"success": True})


EDGES: dict[tuple[str, str, str], Edge] = {
    ("GET", "number", ""): _show,
    ("POST", "number", ""): _change,
    ("GET", "waba", "phone_numbers"): _list,
    ("POST", "waba", "phone_numbers"): _add,
    ("POST", "number", "request_code"): _request_code,
    ("POST", "number", "verify_code"): _verify_code,
    ("POST", "number", "register"): _register,
    ("POST", "number", "deregister"): _deregister,
}
