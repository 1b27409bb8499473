"""What belongs to a business: profile, QR codes, block list, settings, WABA, subscriptions, tokens."""

from datetime import timedelta
from typing import Any

from waypost.emulator.answers import Answer, page, project
from waypost.emulator.errors import GraphError, unknown_object
from waypost.emulator.graph import Call, Edge
from waypost.emulator.number_edges import verified_override
from waypost.emulator.phone_acts import media_url
from waypost.emulator.tables import LIMITS

Wire = dict[str, Any]
_BLOCK_SINCE = timedelta(hours=24)
# Areas of Graph that the emulator does not play; saying so beats an answer that is made up.
_NOT_PLAYED = ("flows", "groups", "calls", "call_permissions", "upsert_message_templates",
               "migrate_message_templates",
               "whatsapp_business_encryption", "official_business_account", "business_compliance_info",
               "analytics", "conversation_analytics", "pricing_analytics", "template_analytics")  # fmt: skip


async def _profile(call: Call) -> Answer:
    profile = call.stage.world.numbers[call.node].profile
    default = ("about", "messaging_product")
    return Answer.of(
        {"data": [project({**profile, "messaging_product": "whatsapp"}, call.fields(), default)]}
    )


async def _set_profile(call: Call) -> Answer:
    given = await call.parameters()
    if given.pop("messaging_product", None) != "whatsapp":
        raise GraphError(100, message="(#100) The parameter messaging_product is required.")
    limits: Wire = LIMITS["profile"]
    for name in ("about", "address", "description", "email"):
        if name in given and len(str(given[name])) > limits[name]:
            raise GraphError(100, f"Param {name} must be at most {limits[name]} characters long.")
    websites = given.get("websites")
    if websites is not None and (not isinstance(websites, list) or len(websites) > limits["websites"]):
        raise GraphError(100, "Param websites takes two URLs at most.")
    profile = call.stage.world.numbers[call.node].profile
    handle = given.pop("profile_picture_handle", None)
    if handle is not None:
        picture = call.stage.world.media.get(call.stage.world.handles.get(str(handle), ""))
        if picture is None:
            raise GraphError(100, "Param profile_picture_handle is not a handle of an upload.")
        profile["profile_picture_url"] = media_url(call.stage, picture)
    names = ("about", "address", "description", "email", "websites", "vertical")
    profile.update({name: given[name] for name in names if name in given})
    return Answer.of({"success": True})


async def _qr_list(call: Call) -> Answer:
    codes = call.stage.world.numbers[call.node].qr_codes
    if call.tail:
        found = codes.get(call.tail[0])
        return Answer.of({"data": [found] if found else []})
    rows = [project(code, call.fields()) for code in codes.values()]
    return Answer.of(page(rows, call.query, f"{call.stage.base_url}/{call.node}/message_qrdls"))


async def _qr_write(call: Call) -> Answer:
    given = await call.parameters()
    codes = call.stage.world.numbers[call.node].qr_codes
    words = str(given.get("prefilled_message") or "")
    if not words or len(words) > LIMITS["qr_text"]:
        raise GraphError(100, f"Param prefilled_message takes 1 to {LIMITS['qr_text']} characters.")
    code = str(given.get("code") or f"{call.stage.dice.getrandbits(56):014X}")
    if "code" in given and code not in codes:
        raise unknown_object(code, call.method)
    if len(codes) >= LIMITS["qr_codes"]:
        raise GraphError(100, "The number has all the QR codes it can have.")
    codes[code] = {"code": code, "prefilled_message": words, "deep_link_url": f"https://wa.me/message/{code}"}
    # no picture of the code is drawn: the field is left out rather than leading nowhere
    return Answer.of(codes[code])


async def _qr_delete(call: Call) -> Answer:
    codes = call.stage.world.numbers[call.node].qr_codes
    if not call.tail or codes.pop(call.tail[0], None) is None:
        raise unknown_object("/".join(call.tail), call.method)
    return Answer.of({"success": True})


def _users_of(given: Wire) -> list[str]:
    users = given.get("block_users")
    if not isinstance(users, list) or not users:
        raise GraphError(100, message="(#100) The parameter block_users is required.")
    return [str(u.get("user") or u.get("user_id") or "") if isinstance(u, dict) else str(u) for u in users]


async def _block(call: Call) -> Answer:
    given = await call.parameters()
    stage, number = call.stage, call.stage.world.numbers[call.node]
    added: list[Wire] = []
    failed: list[Wire] = []
    for entered in _users_of(given):
        key = entered if "." in entered else "".join(filter(str.isdigit, entered))
        phone = stage.world.phone(key)
        last_at = phone.last_inbound_at.get(number.id) if phone else None
        if phone is None or last_at is None or stage.clock.now() - last_at > _BLOCK_SINCE:
            why = {"message": "Re-engagement message", "code": 131047}
            failed.append({"input": entered, "wa_id": key, "errors": [why]})
            continue
        line = {"messaging_product": "whatsapp", "wa_id": phone.key}
        number.blocked[phone.key] = line
        added.append({"input": entered, "wa_id": phone.key})
    return _block_answer("added_users", added, failed)


def _block_answer(name: str, done: list[Wire], failed: list[Wire]) -> Answer:
    blocks: Wire = {name: done}
    if failed:
        blocks["failed_users"] = failed
        raise GraphError(
            139100,
            "Some users could not be blocked or unblocked.",
            extra={"messaging_product": "whatsapp", "block_users": blocks},
        )
    return Answer.of({"messaging_product": "whatsapp", "block_users": blocks})


async def _unblock(call: Call) -> Answer:
    number = call.stage.world.numbers[call.node]
    done: list[Wire] = []
    failed: list[Wire] = []
    for entered in _users_of(await call.parameters()):
        key = entered if "." in entered else "".join(filter(str.isdigit, entered))
        gone = number.blocked.pop(key, None)
        (done if gone else failed).append({"input": entered, "wa_id": key})
    return _block_answer("removed_users", done, failed)


async def _blocked(call: Call) -> Answer:
    rows = list(call.stage.world.numbers[call.node].blocked.values())
    return Answer.of(page(rows, call.query, f"{call.stage.base_url}/{call.node}/block_users"))


def _settings(area: str) -> tuple[Edge, Edge]:
    async def show(call: Call) -> Answer:
        stored = call.stage.world.numbers[call.node].settings.get(area, {})
        return Answer.of(stored if area == "settings" else {"data": [{"id": call.node, **stored}]})

    async def change(call: Call) -> Answer:
        stored = call.stage.world.numbers[call.node].settings.setdefault(area, {})
        given = await call.parameters()
        given.pop("messaging_product", None)
        stored.update(given)
        return Answer.of({"success": True})

    return show, change


async def _username(call: Call) -> Answer:
    name = call.stage.world.numbers[call.node].username
    return Answer.of({"username": name, "status": "approved"} if name else {})


async def _set_username(call: Call) -> Answer:
    wanted = str((await call.parameters()).get("username") or "")
    if not 3 <= len(wanted) <= 35:
        raise GraphError(100, "Param username takes 3 to 35 characters.")
    if any(n.username == wanted for n in call.stage.world.numbers.values() if n.id != call.node):
        raise GraphError(147001)
    call.stage.world.numbers[call.node].username = wanted
    return Answer.of({"success": True})


async def _drop_username(call: Call) -> Answer:
    call.stage.world.numbers[call.node].username = None
    return Answer.of({"success": True})


async def _waba(call: Call) -> Answer:
    waba = call.stage.world.wabas[call.node]
    portfolio = call.stage.world.portfolios[waba.portfolio_id]
    whole = {
        "id": waba.id,
        "name": waba.name,
        "currency": waba.currency,
        "timezone_id": waba.timezone_id,
        "message_template_namespace": f"ns_{waba.id}",
        "account_review_status": "APPROVED",
        "business_verification_status": "verified" if portfolio.verified else "not_verified",
        "owner_business_info": {"name": portfolio.name, "id": portfolio.id},
        "whatsapp_business_manager_messaging_limit": portfolio.messaging_limit,
        "health_status": {
            "can_send_message": "AVAILABLE",
            "entities": [{"entity_type": "WABA", "id": waba.id, "can_send_message": "AVAILABLE"}],
        },
    }
    return Answer.of(
        project(whole, call.fields(), ("id", "name", "timezone_id", "currency", "message_template_namespace"))
    )


async def _subscriptions(call: Call) -> Answer:
    rows: list[Wire] = []
    for app_id, override in call.stage.world.wabas[call.node].subscriptions.items():
        app = call.stage.world.apps[app_id]
        row: Wire = {
            "whatsapp_business_api_data": {
                "id": app.id,
                "name": app.name,
                "link": f"https://example.invalid/{app.id}",
            }
        }
        if override is not None:
            row["override_callback_uri"] = override.url
        rows.append(row)
    return Answer.of({"data": rows})


async def _subscribe(call: Call) -> Answer:
    given = await call.parameters()
    override = None
    if given.get("override_callback_uri"):
        url = str(given["override_callback_uri"])
        override = await verified_override(call, url, str(given.get("verify_token") or ""))
    call.stage.world.wabas[call.node].subscriptions[call.token.app_id] = override
    return Answer.of({"success": True})


async def _unsubscribe(call: Call) -> Answer:
    call.stage.world.wabas[call.node].subscriptions.pop(call.token.app_id, None)
    return Answer.of({"success": True})


async def _app(call: Call) -> Answer:
    app = call.stage.world.apps[call.node]
    return Answer.of(project({"id": app.id, "name": app.name}, call.fields()))


async def _app_subscriptions(call: Call) -> Answer:
    app = call.stage.world.apps[call.node]
    fields = [{"name": "messages", "version": "v26.0"}]
    row = {
        "object": "whatsapp_business_account",
        "callback_url": app.callback_url,
        "active": True,
        "fields": fields,
    }
    return Answer.of({"data": [row] if app.callback_url else []})


async def _app_subscribe(call: Call) -> Answer:
    given = await call.parameters()
    app = call.stage.world.apps[call.node]
    url, verify_token = str(given.get("callback_url") or ""), str(given.get("verify_token") or "")
    if given.get("object") != "whatsapp_business_account" or not url:
        raise GraphError(100, "Params object, callback_url and verify_token are required.")
    fault = await call.stage.webhooks.verify(url, verify_token)
    if fault is not None:
        raise GraphError(100, f"The callback URL could not be validated: {fault}.", subcode=2200)
    app.callback_url, app.verify_token = url, verify_token
    return Answer.of({"success": True})


async def _portfolio(call: Call) -> Answer:
    portfolio = call.stage.world.portfolios[call.node]
    return Answer.of(project({"id": portfolio.id, "name": portfolio.name}, call.fields()))


async def _portfolio_wabas(call: Call) -> Answer:
    rows = [
        {"id": w.id, "name": w.name} for w in call.stage.world.wabas.values() if w.portfolio_id == call.node
    ]
    return Answer.of(
        page(rows, call.query, f"{call.stage.base_url}/{call.node}/owned_whatsapp_business_accounts")
    )


async def _debug_token(call: Call) -> Answer:
    token = call.stage.world.tokens.get(call.query.get("input_token", ""))
    if token is None:
        return Answer.of(
            {"data": {"is_valid": False, "error": {"code": 190, "message": "Invalid access token"}}}
        )
    app = call.stage.world.apps.get(token.app_id)
    expires_at = int(token.expires_at.timestamp()) if token.expires_at else 0
    targets = list(call.stage.world.wabas)
    return Answer.of(
        {
            "data": {
                "app_id": token.app_id,
                "type": "SYSTEM_USER",
                "application": app.name if app else "",
                "expires_at": expires_at,
                "data_access_expires_at": 0,
                "is_valid": token.state == "valid",
                "scopes": list(token.scopes),
                "granular_scopes": [{"scope": scope, "target_ids": targets} for scope in token.scopes],
                "user_id": "122100000000001",
            }
        }
    )


async def _exchange(call: Call) -> Answer:
    app = call.stage.world.apps.get(call.query.get("client_id", ""))
    if call.edge != "access_token" or app is None or app.secret != call.query.get("client_secret"):
        raise GraphError(100, message="Error validating application.", http_status=400)
    token = next((t.text for t in call.stage.world.tokens.values() if t.app_id == app.id), "")
    return Answer.of({"access_token": token, "token_type": "bearer"})


async def _not_played(call: Call) -> Answer:
    why = f"The emulator does not play {call.edge}."
    raise GraphError(3, why, http_status=501, message=f"(#3) {why}")


def _edges() -> dict[tuple[str, str, str], Edge]:
    edges: dict[tuple[str, str, str], Edge] = {
        ("GET", "number", "whatsapp_business_profile"): _profile,
        ("POST", "number", "whatsapp_business_profile"): _set_profile,
        ("GET", "number", "message_qrdls"): _qr_list,
        ("POST", "number", "message_qrdls"): _qr_write,
        ("DELETE", "number", "message_qrdls"): _qr_delete,
        ("GET", "number", "block_users"): _blocked,
        ("POST", "number", "block_users"): _block,
        ("DELETE", "number", "block_users"): _unblock,
        ("GET", "number", "username"): _username,
        ("POST", "number", "username"): _set_username,
        ("DELETE", "number", "username"): _drop_username,
        ("GET", "waba", ""): _waba,
        ("GET", "waba", "subscribed_apps"): _subscriptions,
        ("POST", "waba", "subscribed_apps"): _subscribe,
        ("DELETE", "waba", "subscribed_apps"): _unsubscribe,
        ("GET", "app", ""): _app,
        ("GET", "app", "subscriptions"): _app_subscriptions,
        ("POST", "app", "subscriptions"): _app_subscribe,
        ("GET", "portfolio", ""): _portfolio,
        ("GET", "portfolio", "owned_whatsapp_business_accounts"): _portfolio_wabas,
        ("GET", "/debug_token", ""): _debug_token,
        ("GET", "/oauth", "*"): _exchange,
    }
    for area in ("settings", "whatsapp_commerce_settings", "conversational_automation"):
        edges["GET", "number", area], edges["POST", "number", area] = _settings(area)
    for area in _NOT_PLAYED:
        for method in ("GET", "POST", "DELETE"):
            for kind in ("number", "waba"):
                edges[method, kind, area] = _not_played
    return edges


EDGES = _edges()
