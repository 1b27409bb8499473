"""The control API of the sandbox, under /_emulator: world, ledger, faults, webhooks, tokens, clock."""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from waypost.emulator.faults import BadFault
from waypost.emulator.journeys import put, release, tell
from waypost.emulator.phone_acts import BadAct
from waypost.emulator.ports import VirtualClock
from waypost.emulator.seed import DEMO, add_number
from waypost.emulator.stage import Stage
from waypost.emulator.webhooks import Try, Update
from waypost.emulator.world import Accepted, Number, Override, Token

Wire = dict[str, Any]
Asked = Callable[[Request], Awaitable[Response]]
_ROWS_MAX: Final = 10_000


class Refused(Exception):
    """The control API cannot do this; the text says why."""


async def body_of(request: Request) -> Wire:
    """The JSON object of a request; nothing counts as an empty one."""
    raw = await request.body()
    if not raw:
        return {}
    try:
        found = await request.json()
    except ValueError:
        raise Refused("the body is not JSON") from None
    if not isinstance(found, dict):
        raise Refused("the body must be a JSON object")
    return found


def asked(act: Callable[[Request], Awaitable[Any]]) -> Asked:
    """Make a route of a function that gives JSON; its refusals become 400."""

    async def answer(request: Request) -> Response:
        try:
            return JSONResponse(await act(request))
        except (Refused, BadFault, BadAct) as refusal:
            return JSONResponse({"error": str(refusal)}, status_code=400)
        except (KeyError, TypeError, ValueError) as refusal:
            return JSONResponse({"error": f"{type(refusal).__name__}: {refusal}"}, status_code=400)

    return answer


def number_of(stage: Stage, wanted: str | None) -> Number:
    """The number named, or the only sensible one: the first."""
    if wanted is None:
        return next(iter(stage.world.numbers.values()))
    number = stage.world.numbers.get(str(wanted)) or stage.world.number_by_digits(str(wanted).lstrip("+"))
    if number is None:
        raise Refused(f"no business number {wanted}")
    return number


def routes(stage: Stage) -> list[Route]:
    """All routes of this part."""
    return [
        *_world_routes(stage),
        *_mode_routes(stage),
        *_fault_routes(stage),
        *_webhook_routes(stage),
    ]


def _number_line(number: Number) -> Wire:
    names = ("id", "waba_id", "digits", "display", "verified_name", "status")
    return {name: getattr(number, name) for name in names}


def _ledger_line(line: Accepted) -> Wire:
    return {**asdict(line), "at": line.at.isoformat()}


def _world_routes(stage: Stage) -> list[Route]:
    world = stage.world

    async def show_world(_: Request) -> Wire:
        return {
            "demo": DEMO._asdict(),
            "strict": stage.strict,
            "rates": stage.rates.on,
            "now": stage.clock.now().isoformat(),
            "apps": [asdict(app) for app in world.apps.values()],
            "wabas": [asdict(waba) for waba in world.wabas.values()],
            "numbers": [_number_line(number) for number in world.numbers.values()],
            "accepted": world.accepted_count,
        }

    async def ledger(request: Request) -> Wire:
        after = int(request.query_params.get("after", 0))
        echo = request.query_params.get("echo")
        limit = min(int(request.query_params.get("limit", 1000)), _ROWS_MAX)
        rows: list[Wire] = []
        for line in world.ledger:
            if line.seq > after and (echo is None or line.biz_opaque_callback_data == echo):
                rows.append(_ledger_line(line))
                if len(rows) >= limit:
                    break
        return {"accepted": world.accepted_count, "data": rows}

    async def clear_ledger(_: Request) -> Wire:
        world.ledger.clear()
        return {"success": True}

    return [
        Route("/world", asked(show_world)),
        Route("/ledger", asked(ledger)),
        Route("/ledger", asked(clear_ledger), methods=["DELETE"]),
    ]


def _mode_routes(stage: Stage) -> list[Route]:
    world = stage.world

    async def add(request: Request) -> Wire:
        body = await body_of(request)
        digits = "".join(filter(str.isdigit, str(body["digits"])))
        number = add_number(
            world,
            str(body.get("id") or stage.fresh_id()),
            str(body.get("waba_id") or DEMO.waba_id),
            digits,
            str(body.get("verified_name") or f"Business {digits[-4:]}"),
        )
        return {"id": number.id, "digits": number.digits}

    async def set_token(request: Request) -> Wire:
        body = await body_of(request)
        text = str(body.get("token") or DEMO.access_token)
        token = world.tokens.get(text)
        if token is None:
            token = world.tokens[text] = Token(text, str(body.get("app_id") or DEMO.app_id))
        state = body.get("state", token.state)
        if state not in ("valid", "expired", "invalidated"):
            raise Refused("state must be valid, expired or invalidated")
        token.state = state
        if body.get("expires_in_seconds") is not None:
            token.expires_at = stage.clock.now() + timedelta(seconds=float(body["expires_in_seconds"]))
        return {"token": text, "state": token.state}

    async def set_modes(request: Request) -> Wire:
        body = await body_of(request)
        stage.strict = bool(body.get("strict", stage.strict))
        stage.rates.on = bool(body.get("rates", stage.rates.on))
        for name in ("sent_seconds", "delivered_seconds", "template_review_seconds"):
            if name in body:
                setattr(stage.pace, name, float(body[name]))
        return {"strict": stage.strict, "rates": stage.rates.on, **asdict(stage.pace)}

    async def advance(request: Request) -> Wire:
        if not isinstance(stage.clock, VirtualClock):
            raise Refused("this emulator runs on the real clock")
        await stage.clock.advance(float((await body_of(request))["seconds"]))
        return {"now": stage.clock.now().isoformat()}

    return [
        Route("/numbers", asked(add), methods=["POST"]),
        Route("/tokens", asked(set_token), methods=["POST"]),
        Route("/modes", asked(set_modes), methods=["POST"]),
        Route("/clock/advance", asked(advance), methods=["POST"]),
    ]


def _fault_routes(stage: Stage) -> list[Route]:
    async def add(request: Request) -> Wire:
        return put(stage, await body_of(request)).shown()

    async def show(_: Request) -> Wire:
        return {"data": [fault.shown() for fault in stage.faults.active.values()]}

    async def lift(request: Request) -> Wire:
        fault = stage.faults.remove(request.path_params["fault_id"])
        if fault is None:
            raise Refused("no such fault")
        release(stage, fault)
        return fault.shown()

    async def lift_all(_: Request) -> Wire:
        lifted = list(stage.faults.active)
        for fault_id in lifted:
            fault = stage.faults.remove(fault_id)
            if fault is not None:
                release(stage, fault)
        return {"lifted": lifted}

    return [
        Route("/faults", asked(add), methods=["POST"]),
        Route("/faults", asked(show)),
        Route("/faults", asked(lift_all), methods=["DELETE"]),
        Route("/faults/{fault_id}", asked(lift), methods=["DELETE"]),
    ]


def _try_line(line: Try) -> Wire:
    return {
        "packet_id": line.packet_id,
        "attempt": line.attempt,
        "url": line.url,
        "at": line.at.isoformat(),
        "updates": line.updates,
        "outcome": line.outcome,
        "signature": line.signature,
        "body": line.body.decode("ascii"),
        "body_base64": base64.b64encode(line.body).decode(),
    }


def _webhook_routes(stage: Stage) -> list[Route]:
    world, webhooks = stage.world, stage.webhooks

    async def show(request: Request) -> Wire:
        limit = min(int(request.query_params.get("limit", 100)), _ROWS_MAX)
        lines = list(webhooks.tries)[-limit:]
        return {
            "receivers": webhooks.counts(),
            "unrouted": webhooks.unrouted,
            "tries": [_try_line(line) for line in lines],
        }

    async def set_callback(request: Request) -> Wire:
        body = await body_of(request)
        app = world.apps[str(body.get("app_id") or DEMO.app_id)]
        url = body.get("url")
        app.verify_token = str(body.get("verify_token") or app.verify_token)
        if url and body.get("verify", True):
            fault = await webhooks.verify(str(url), app.verify_token)
            if fault is not None:
                raise Refused(f"the callback did not verify: {fault}")
        app.callback_url = str(url) if url else None
        return {"app_id": app.id, "callback_url": app.callback_url}

    async def set_override(request: Request) -> Wire:
        body = await body_of(request)
        number = number_of(stage, body.get("phone_number_id"))
        url = body.get("url")
        number.override = Override(str(url), str(body.get("verify_token", ""))) if url else None
        return {"phone_number_id": number.id, "url": url}

    async def settings(request: Request) -> Wire:
        body = await body_of(request)
        webhooks.updates_per_post_max = max(
            1, int(body.get("updates_per_post_max", webhooks.updates_per_post_max))
        )
        shape = body.get("shape", webhooks.shape)
        if shape not in ("changes", "entries", "merged"):
            raise Refused("shape must be changes, entries or merged")
        webhooks.shape = shape
        webhooks.try_timeout_seconds = float(body.get("try_timeout_seconds", webhooks.try_timeout_seconds))
        return {"updates_per_post_max": webhooks.updates_per_post_max, "shape": webhooks.shape}

    async def inject(request: Request) -> Wire:
        body = await body_of(request)
        number = number_of(stage, body.get("phone_number_id"))
        value = body["value"]
        times = int(body.get("times", 1))
        for _ in range(times):
            if body.get("waba_id"):
                update = Update(str(body["waba_id"]), str(body["field"]), value, stage.clock.now())
                webhooks.tell(update, number)
            else:
                tell(stage, number, None, str(body["field"]), value)
        return {"told": times}

    return [
        Route("/webhooks", asked(show)),
        Route("/webhooks", asked(inject), methods=["POST"]),
        Route("/webhooks/callback", asked(set_callback), methods=["POST"]),
        Route("/webhooks/override", asked(set_override), methods=["POST"]),
        Route("/webhooks/settings", asked(settings), methods=["POST"]),
    ]


def iso(at: datetime | None) -> str | None:
    """A moment as text."""
    return at.isoformat() if at is not None else None
