"""`waypost messages`: list, show with the whole story, follow, cancel."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, get_args

import typer

from waypost.cli.api import Wire
from waypost.cli.command import Desk, Limit, command, group
from waypost.cli.message_page import show_message
from waypost.cli.screen import STYLES
from waypost.domain.statuses import Status

app = group("messages", "Messages: list, show with times and attempts, follow, cancel.")
MessageId = Annotated[str, typer.Argument(metavar="MESSAGE", help="Its id, `msg_…`.")]


@command(
    app,
    "list",
    "waypost messages list --status failed --hours 24",
    "waypost messages list --number num_… --limit 500 --json",
)
async def listing(
    desk: Desk,
    status: Annotated[
        str | None, typer.Option("--status", help=f"One of: {', '.join(get_args(Status))}.")
    ] = None,
    number_id: Annotated[str | None, typer.Option("--number", help="Sent from this number, `num_…`.")] = None,
    contact_id: Annotated[str | None, typer.Option("--contact", help="To this contact, `con_…`.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Such as text or template.")] = None,
    provider_id: Annotated[str | None, typer.Option("--wamid", help="Meta's id of an attempt.")] = None,
    hours: Annotated[float | None, typer.Option("--hours", min=0, help="Of the last so many hours.")] = None,
    limit: Limit = 20,
) -> None:
    """List messages, newest first."""
    since = None if hours is None else (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    found = await (await desk.api()).listed(
        "/v1/messages", limit, status=status, number_id=number_id, contact_id=contact_id, type=kind,
        provider_message_id=provider_id, since=since,
    )  # fmt: skip
    if desk.screen.as_json:
        desk.screen.document(found)
        return
    rows = [
        [
            each["id"], each["status"], each["type"], each["class"], each["to"], each["accepted_at"],
            _why(each),
        ]
        for each in found
    ]  # fmt: skip
    desk.screen.table(("id", "status", "type", "class", "to", "accepted", "why"), rows)


def _why(message: Wire) -> str:
    failure = message["failure"]
    if failure is None or message["status"] in ("sent", "delivered", "read", "played"):
        return message["reason"] or ""
    return f"{failure.get('code') or ''} {failure.get('title') or ''}".strip()


@command(app, "show", "waypost messages show msg_…")
async def show(desk: Desk, message_id: MessageId) -> None:
    """Show one message: where it stands, when what happened, each attempt, and what to do."""
    detail = await (await desk.api()).get(f"/v1/messages/{message_id}")
    if desk.screen.as_json:
        desk.screen.document(detail)
        return
    show_message(desk.screen, detail)


@command(
    app,
    "tail",
    "waypost messages tail",
    "waypost messages tail --number num_… --all",
    "waypost messages tail --json",
)
async def tail(
    desk: Desk,
    number_id: Annotated[str | None, typer.Option("--number", help="Of this number only.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every kind of event, not messages alone.")
    ] = False,
    after: Annotated[str | None, typer.Option("--after", help="From behind this event on, `evt_…`.")] = None,
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after so many.")] = None,
) -> None:
    """Follow what happens to messages, as it happens; Ctrl-C ends it."""
    api = await desk.api()
    if not api.running:
        desk.screen.note("No gateway is serving here: nothing will move until `waypost serve` runs.")
    kinds = () if everything else ("message.*", "inbound.*")
    async for told in api.follow("/v1/events/stream", after, kinds):
        event = told.event
        if number_id is not None and event.get("number_id") != number_id:
            continue
        if desk.screen.as_json:
            desk.screen.document(event, compact=True)
        else:
            _print_event(desk, event)
        if count is not None and (count := count - 1) == 0:
            break


def _print_event(desk: Desk, event: Wire) -> None:
    kind = str(event["type"])
    why = f"  {event['reason']}" if event.get("reason") else ""
    text = f"{event['timestamp']}  {kind:<22} {event['aggregate_id']}{why}"
    desk.screen.line(text, STYLES.get(kind.partition(".")[2], ""))


@command(app, "cancel", "waypost messages cancel msg_…")
async def cancel(desk: Desk, message_id: MessageId) -> None:
    """Take a message back that has not been claimed for sending."""
    done = await (await desk.api()).post(f"/v1/messages/{message_id}:cancel")
    if desk.screen.as_json:
        desk.screen.document(done)
    desk.screen.line(f"{done['id']} is {done['status']}")
