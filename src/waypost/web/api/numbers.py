"""`/v1/numbers`: add, list, show, pause, resume, rotate the token, register, subscribe, remove."""

from urllib.parse import urlsplit

from waypost.domain.errors import (
    CapabilityMissing,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    ProviderRefused,
)
from waypost.numbers.registry import NewNumber, Numbers
from waypost.store import numbers
from waypost.store.numbers import Number
from waypost.transports.cloud_api.wire import is_private_host
from waypost.web.api import number_types as types
from waypost.web.api.number_types import NumberShown, shown
from waypost.web.api.reasons import WithReason
from waypost.web.routing import Answer, Ask, Page, PageQuery, Route, page_of

_TAG = "numbers"
_ONE = "/v1/numbers/{number_id}"
_COMMAND_PROBLEMS = (NotFound, Conflict, Forbidden, ProviderRefused)


def _numbers(ask: Ask) -> Numbers:
    if ask.parts.numbers is None:
        raise CapabilityMissing(
            "this gateway was started without a provider", remedy="start it with `waypost serve`"
        )
    return ask.parts.numbers


def _check_environment(ask: Ask, base_url: str) -> None:
    """A test key touches numbers of the emulator only."""
    if ask.caller.environment == "test" and not is_private_host(urlsplit(base_url).hostname or ""):
        raise Forbidden(
            "a test key does not touch live numbers",
            code="test_key_on_live_number",
            remedy="use a wp_live_ key",
        )


async def _writable(ask: Ask) -> str:
    """Give the id of the number in the path when this caller may change it."""
    number: Number = await ask.parts.store.read(numbers.get, ask.caller.tenant_id, ask.path["number_id"])
    _check_environment(ask, number.base_url)
    return number.id


async def _add(ask: Ask) -> Answer:
    body: types.AddNumber = ask.body
    _check_environment(ask, body.base_url or ask.parts.config.cloud_api.base_url)
    new = NewNumber(
        tenant_id=ask.caller.tenant_id,
        **{name: getattr(body, name) for name in types.AddNumber.__struct_fields__},
    )
    item = await _numbers(ask).check(new, ask.caller.actor)
    return await ask.change(numbers.add, item, shown)


async def _list(ask: Ask) -> Page[NumberShown]:
    query: PageQuery = ask.query
    found = await ask.parts.store.read(numbers.page, ask.caller.tenant_id, query.cursor, query.limit + 1)
    return page_of([shown(number) for number in found], query.limit, lambda number: number.id)


async def _show(ask: Ask) -> NumberShown:
    return shown(await ask.parts.store.read(numbers.get, ask.caller.tenant_id, ask.path["number_id"]))


async def _pause(ask: Ask) -> NumberShown:
    number_id = await _writable(ask)
    return shown(
        await _numbers(ask).pause(ask.caller.tenant_id, number_id, ask.body.reason, ask.caller.actor)
    )


async def _resume(ask: Ask) -> NumberShown:
    number_id = await _writable(ask)
    return shown(
        await _numbers(ask).resume(ask.caller.tenant_id, number_id, ask.body.reason, ask.caller.actor)
    )


async def _rotate(ask: Ask) -> NumberShown:
    number_id = await _writable(ask)
    body: types.RotateToken = ask.body
    changed = await _numbers(ask).rotate_token(
        ask.caller.tenant_id, number_id, body.token, ask.caller.actor, body.verify
    )
    return shown(changed)


async def _refresh(ask: Ask) -> NumberShown:
    number_id = await _writable(ask)
    return shown(await _numbers(ask).refresh(ask.caller.tenant_id, number_id, ask.caller.actor))


async def _request_code(ask: Ask) -> None:
    number_id = await _writable(ask)
    body: types.RequestCode = ask.body
    await _numbers(ask).request_code(ask.caller.tenant_id, number_id, body.method, body.language)


async def _verify_code(ask: Ask) -> None:
    number_id = await _writable(ask)
    await _numbers(ask).verify_code(ask.caller.tenant_id, number_id, ask.body.code.replace("-", ""))


async def _register(ask: Ask) -> NumberShown:
    number_id = await _writable(ask)
    body: types.Register = ask.body
    registered = await _numbers(ask).register(
        ask.caller.tenant_id, number_id, body.pin, body.data_localization_region, ask.caller.actor
    )
    return shown(registered)


async def _deregister(ask: Ask) -> NumberShown:
    number_id = await _writable(ask)
    return shown(await _numbers(ask).deregister(ask.caller.tenant_id, number_id, ask.caller.actor))


async def _subscribe(ask: Ask) -> None:
    number_id = await _writable(ask)
    await _numbers(ask).subscribe(ask.caller.tenant_id, number_id, ask.body.callback_uri)


async def _unsubscribe(ask: Ask) -> None:
    number_id = await _writable(ask)
    await _numbers(ask).unsubscribe(ask.caller.tenant_id, number_id)


async def _remove(ask: Ask) -> NumberShown:
    number_id = await _writable(ask)
    return shown(await _numbers(ask).remove(ask.caller.tenant_id, number_id, ask.caller.actor))


ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/v1/numbers", "numbers:write", "Add a number", _add, body=types.AddNumber, answer=NumberShown,
        status=201, problems=(InvalidRequest, *_COMMAND_PROBLEMS), tag=_TAG,
        examples={
            "a Cloud API number": {
                "phone_number_id": "106540000000001", "waba_id": "102290000000001", "token": "EAAGexample",
                "app_secret": "0123456789abcdef0123456789abcdef", "verify_token": "a-word-of-your-own",
            }
        },
    ),
    Route("GET", "/v1/numbers", "numbers:read", "List numbers", _list, query=PageQuery, answer=Page[NumberShown],
          tag=_TAG),
    Route("GET", _ONE, "numbers:read", "Show a number", _show, answer=NumberShown, problems=(NotFound,), tag=_TAG),
    Route("DELETE", _ONE, "numbers:write", "Remove a number; its token is destroyed", _remove, answer=NumberShown,
          problems=_COMMAND_PROBLEMS, tag=_TAG),
    Route("POST", f"{_ONE}:pause", "numbers:write", "Stop sending; what is accepted waits", _pause,
          body=WithReason, body_optional=True, answer=NumberShown, problems=_COMMAND_PROBLEMS, tag=_TAG),
    Route("POST", f"{_ONE}:resume", "numbers:write", "Go on sending after a pause or a stop", _resume,
          body=WithReason, body_optional=True, answer=NumberShown, problems=_COMMAND_PROBLEMS, tag=_TAG),
    Route("POST", f"{_ONE}:rotate-token", "numbers:write", "Replace the access token once Meta accepts it", _rotate,
          body=types.RotateToken, answer=NumberShown, problems=_COMMAND_PROBLEMS, tag=_TAG),
    Route("POST", f"{_ONE}:refresh", "numbers:write", "Read health, quality and limits from Meta now", _refresh,
          answer=NumberShown, problems=_COMMAND_PROBLEMS, tag=_TAG),
    Route("POST", f"{_ONE}:request-code", "numbers:write", "Have Meta send the verification code", _request_code,
          body=types.RequestCode, body_optional=True, status=204, problems=_COMMAND_PROBLEMS, tag=_TAG),
    Route("POST", f"{_ONE}:verify-code", "numbers:write", "Give the verification code back", _verify_code,
          body=types.VerifyCode, status=204, problems=_COMMAND_PROBLEMS, tag=_TAG),
    Route("POST", f"{_ONE}:register", "numbers:write", "Register the number for the Cloud API", _register,
          body=types.Register, answer=NumberShown, problems=_COMMAND_PROBLEMS, tag=_TAG),
    Route("POST", f"{_ONE}:deregister", "numbers:write", "Take the number off the Cloud API", _deregister,
          answer=NumberShown, problems=_COMMAND_PROBLEMS, tag=_TAG),
    Route("POST", f"{_ONE}:subscribe", "numbers:write", "Have the WABA's callbacks sent to the app", _subscribe,
          body=types.Subscribe, body_optional=True, status=204, problems=_COMMAND_PROBLEMS, tag=_TAG),
    Route("POST", f"{_ONE}:unsubscribe", "numbers:write", "End the WABA's callbacks to the app", _unsubscribe,
          status=204, problems=_COMMAND_PROBLEMS, tag=_TAG),
)  # fmt: skip
