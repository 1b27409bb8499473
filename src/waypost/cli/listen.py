"""`waypost listen`: forwards events to a developer's own endpoint, signed as a subscriber gets them."""

import json
import secrets
from datetime import UTC, datetime
from typing import Annotated

import aiohttp
import typer

from waypost.app.ports import SystemRandomness
from waypost.cli.api import Wire
from waypost.cli.command import Desk, command
from waypost.cli.screen import BAD, GOOD
from waypost.store.subscribers import SigningKey
from waypost.webhooks.signing import given_secret, new_secret, shown_secret, signed_headers

_ANSWER_SECONDS_MAX = 15


def declare(app: typer.Typer) -> None:
    """Add the command."""
    command(
        app,
        "listen",
        "waypost listen --forward-to http://localhost:3000/hook",
        "waypost listen --forward-to http://localhost:3000/hook --kind 'message.*' --secret whsec_…",
        "waypost listen --forward-to http://localhost:3000/hook --url https://gateway.example.org --key wp_live_…",
    )(listen)


async def listen(
    desk: Desk,
    forward_to: Annotated[str, typer.Option("--forward-to", help="Your endpoint: an http or https URL.")],
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Repeatable, such as message.* or inbound.received; else all."),
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option("--secret", help="Sign with this secret; else a new one is made and printed."),
    ] = None,
    after: Annotated[str | None, typer.Option("--after", help="From behind this event on, `evt_…`.")] = None,
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after so many.")] = None,
) -> None:
    """Forward events to your endpoint as they happen, each with its answer; Ctrl-C ends it. No retries."""
    if not forward_to.startswith(("http://", "https://")):
        raise typer.BadParameter("give an http or https URL", param_hint="--forward-to")
    signing = new_secret("v1", SystemRandomness()) if secret is None else given_secret(secret)
    api = await desk.api()
    desk.screen.note(f"Signing secret: {shown_secret(signing)}", "")
    desk.screen.note(f"Forwarding to {forward_to}; Ctrl-C ends it.")
    if not api.running:
        desk.screen.note("No gateway is serving here: nothing will move until `waypost serve` runs.")
    key = SigningKey(f"sec_{secrets.token_hex(8)}", "v1", signing.secret, None)
    limit = aiohttp.ClientTimeout(total=_ANSWER_SECONDS_MAX)
    async with aiohttp.ClientSession(timeout=limit) as http:
        async for told in api.follow("/v1/events/stream", after, kinds or ()):
            await _forward(desk, http, forward_to, told.event, key)
            if count is not None and (count := count - 1) == 0:
                break


async def _forward(desk: Desk, http: aiohttp.ClientSession, url: str, event: Wire, key: SigningKey) -> None:
    body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    now = datetime.now(UTC)
    headers = signed_headers(str(event["id"]), body, [key], now)
    status, said = None, ""
    try:
        async with http.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            status = answer.status
    except aiohttp.ClientError as error:
        said = f"no answer: {type(error).__name__}"
    except TimeoutError:
        said = f"no answer within {_ANSWER_SECONDS_MAX} s"
    milliseconds = (datetime.now(UTC) - now).total_seconds() * 1000
    if desk.screen.as_json:
        told = {"event_id": event["id"], "type": event["type"], "status": status, "fault": said or None}
        desk.screen.document({**told, "milliseconds": round(milliseconds, 1)}, compact=True)
        return
    good = status is not None and 200 <= status < 300
    outcome = f"{status}" if status is not None else said
    text = f"{event['timestamp']}  {event['type']!s:<22} {event['id']}  → {outcome}  {milliseconds:.0f} ms"
    desk.screen.line(text, GOOD if good else BAD)
