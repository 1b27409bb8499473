"""`waypost numbers`: the life of a number."""

from typing import Annotated, Any

import typer

from waypost.cli.api import Wire
from waypost.cli.command import Desk, Limit, Reason, command, group
from waypost.cli.secrets import AppSecretFile, TokenFile, secret_word

app = group("numbers", "Numbers we send from: add, show, pause, resume, rotate the token, register, remove.")
NumberId = Annotated[str, typer.Argument(metavar="NUMBER", help="Its id, `num_…`.")]
_COLUMNS = ("id", "phone", "label", "state", "quality", "limit", "throughput", "phone_number_id")


def show_number(desk: Desk, number: Wire) -> None:
    """Print one number with its health."""
    if desk.screen.as_json:
        desk.screen.document(number)
        return
    state = number["state"] if not number["state_reason"] else f"{number['state']} ({number['state_reason']})"
    desk.screen.facts(
        {
            "id": number["id"], "phone": number["phone"], "label": number["label"], "state": state,
            "name": number["verified_name"], "quality": number["quality_rating"],
            "limit": number["messaging_limit"], "throughput": number["throughput_level"],
            "pace": f"{number['pace_per_second']} a second", "health": _verdict(number["health"]),
            "health read": number["health_at"], "Meta's number id": number["phone_number_id"],
            "WABA": number["waba_id"], "app": number["app_id"], "portfolio": number["portfolio_id"],
            "base URL": number["base_url"], "Graph version": number["graph_version"] or "none in paths",
            "header": number["auth_header"], "added": number["created_at"], "removed": number["removed_at"],
        }
    )  # fmt: skip


def _verdict(health: Wire) -> str | None:
    told = health.get("health_status", health)
    verdict = told.get("can_send_message") if isinstance(told, dict) else None
    return None if verdict is None else str(verdict)


@command(
    app,
    "add",
    "waypost numbers add --phone-number-id 106540000000001 --waba-id 102290000000001",
    "waypost numbers add --phone-number-id … --waba-id … --token-file token.txt --app-secret-file secret.txt",
)
async def add(
    desk: Desk,
    phone_number_id: Annotated[str, typer.Option("--phone-number-id", help="Meta's id of the number.")],
    waba_id: Annotated[str, typer.Option("--waba-id", help="Meta's id of its WhatsApp Business Account.")],
    token_file: TokenFile = None,
    app_secret_file: AppSecretFile = None,
    verify_token: Annotated[
        str | None, typer.Option("--verify-token", help="A word of yours, for Meta's handshake.")
    ] = None,
    label: Annotated[str, typer.Option("--label", help="Your name for it.")] = "",
    app_id: Annotated[
        str | None, typer.Option("--app-id", help="Meta's app id; else the token's own.")
    ] = None,
    business_id: Annotated[
        str | None, typer.Option("--business-id", help="Meta's id of the portfolio; else read from Meta.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="The emulator, or a vendor that speaks Meta's API.")
    ] = None,
    graph_version: Annotated[str | None, typer.Option("--graph-version", help="Such as v26.0.")] = None,
    auth_header: Annotated[
        str | None, typer.Option("--auth-header", help="Such as `D360-API-KEY` at 360dialog.")
    ] = None,
    verify: Annotated[bool, typer.Option(help="Ask Meta before adding.")] = True,
) -> None:
    """Add a number; token and secret are read from files, standard input (-) or a prompt, never from arguments."""
    token = secret_word(token_file, "Access token")
    app_secret = secret_word(app_secret_file, "App secret (empty if the app is known here)", optional=True)
    asked: dict[str, Any] = {
        "phone_number_id": phone_number_id, "waba_id": waba_id, "token": token, "app_secret": app_secret,
        "verify_token": verify_token, "label": label, "app_id": app_id, "business_id": business_id,
        "base_url": base_url, "graph_version": graph_version, "auth_header": auth_header, "verify": verify,
    }  # fmt: skip
    wanted = {name: value for name, value in asked.items() if value is not None}
    show_number(desk, await (await desk.api()).post("/v1/numbers", wanted))


@command(app, "list", "waypost numbers list", "waypost numbers list --json")
async def listing(desk: Desk, limit: Limit = 50) -> None:
    """List numbers."""
    found = await (await desk.api()).listed("/v1/numbers", limit)
    if desk.screen.as_json:
        desk.screen.document(found)
        return
    rows = [
        [
            each["id"], each["phone"], each["label"], each["state"], each["quality_rating"],
            each["messaging_limit"], each["throughput_level"], each["phone_number_id"],
        ]
        for each in found
    ]  # fmt: skip
    desk.screen.table(_COLUMNS, rows)
    if not found:
        desk.screen.note("No numbers yet: `waypost golive` or `waypost numbers add`.")


@command(app, "show", "waypost numbers show num_…")
async def show(desk: Desk, number_id: NumberId) -> None:
    """Show a number with its health."""
    show_number(desk, await (await desk.api()).get(f"/v1/numbers/{number_id}"))


async def _tell(desk: Desk, number_id: str, verb: str, body: Wire | None) -> None:
    show_number(desk, await (await desk.api()).post(f"/v1/numbers/{number_id}:{verb}", body))


async def _do(desk: Desk, number_id: str, verb: str, body: Wire | None, done: str) -> None:
    await (await desk.api()).post(f"/v1/numbers/{number_id}:{verb}", body)
    if desk.screen.as_json:
        desk.screen.document({"id": number_id, "done": verb})
    desk.screen.line(done)


def because(reason: str | None) -> Wire:
    """Give the body of a change that may have a reason."""
    return {} if reason is None else {"reason": reason}


@command(app, "pause", "waypost numbers pause num_… --reason 'moving the token'")
async def pause(desk: Desk, number_id: NumberId, reason: Reason = None) -> None:
    """Stop sending; what is accepted waits."""
    await _tell(desk, number_id, "pause", because(reason))


@command(app, "resume", "waypost numbers resume num_…")
async def resume(desk: Desk, number_id: NumberId, reason: Reason = None) -> None:
    """Go on sending after a pause, or after Meta made the lane stop."""
    await _tell(desk, number_id, "resume", because(reason))


@command(app, "rotate-token", "waypost numbers rotate-token num_… --token-file token.txt")
async def rotate_token(
    desk: Desk,
    number_id: NumberId,
    token_file: TokenFile = None,
    verify: Annotated[bool, typer.Option(help="Try it at Meta before the old one goes.")] = True,
) -> None:
    """Replace the access token."""
    token = secret_word(token_file, "New access token")
    await _tell(desk, number_id, "rotate-token", {"token": token, "verify": verify})


@command(app, "remove", "waypost numbers remove num_… --yes")
async def remove(
    desk: Desk,
    number_id: NumberId,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Remove a number; its token is destroyed, its history stays."""
    if not yes:
        typer.confirm(f"Remove {number_id} and destroy its token?", abort=True, err=True)
    show_number(desk, await (await desk.api()).call("DELETE", f"/v1/numbers/{number_id}"))


@command(app, "refresh", "waypost numbers refresh num_…")
async def refresh(desk: Desk, number_id: NumberId) -> None:
    """Read health, quality and limits from Meta now."""
    await _tell(desk, number_id, "refresh", None)


@command(app, "request-code", "waypost numbers request-code num_… --method VOICE")
async def request_code(
    desk: Desk,
    number_id: NumberId,
    method: Annotated[str, typer.Option("--method", help="SMS or VOICE.")] = "SMS",
    language: Annotated[str, typer.Option("--language", help="Of the text or call.")] = "en_US",
) -> None:
    """Have Meta send the verification code to the number."""
    wanted = {"method": method.upper(), "language": language}
    await _do(
        desk, number_id, "request-code", wanted, f"Meta sends the code by {method}; then: numbers verify-code"
    )


@command(app, "verify-code", "waypost numbers verify-code num_… 123456")
async def verify_code(
    desk: Desk, number_id: NumberId, code: Annotated[str, typer.Argument(help="The six digits.")]
) -> None:
    """Give the verification code back to Meta."""
    await _do(desk, number_id, "verify-code", {"code": code}, "Verified; then: numbers register")


@command(
    app,
    "register",
    "waypost numbers register num_… --pin 123456",
    "waypost numbers register num_… --region DE",
)
async def register(
    desk: Desk,
    number_id: NumberId,
    pin: Annotated[
        str, typer.Option("--pin", prompt=True, hide_input=True, help="Two-step PIN, six digits.")
    ],
    region: Annotated[
        str | None, typer.Option("--region", help="Where messages rest at Meta, such as DE.")
    ] = None,
) -> None:
    """Register the number for the Cloud API; Meta allows ten tries in 72 hours."""
    wanted = {"pin": pin} if region is None else {"pin": pin, "data_localization_region": region}
    await _tell(desk, number_id, "register", wanted)


@command(app, "deregister", "waypost numbers deregister num_…")
async def deregister(desk: Desk, number_id: NumberId) -> None:
    """Take the number off the Cloud API."""
    await _tell(desk, number_id, "deregister", None)


@command(
    app,
    "subscribe",
    "waypost numbers subscribe num_…",
    "waypost numbers subscribe num_… --callback-uri https://gateway.example.org/callbacks/app_…",
)
async def subscribe(
    desk: Desk,
    number_id: NumberId,
    callback_uri: Annotated[
        str | None, typer.Option("--callback-uri", help="In place of the app's own address.")
    ] = None,
) -> None:
    """Have the WABA's callbacks sent to the app, or to an address of their own."""
    wanted = {} if callback_uri is None else {"callback_uri": callback_uri}
    await _do(desk, number_id, "subscribe", wanted, "Subscribed.")


@command(app, "unsubscribe", "waypost numbers unsubscribe num_…")
async def unsubscribe(desk: Desk, number_id: NumberId) -> None:
    """End the WABA's callbacks to the app."""
    await _do(desk, number_id, "unsubscribe", None, "Unsubscribed: receipts and replies stop coming.")
