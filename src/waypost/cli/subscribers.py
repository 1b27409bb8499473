"""`waypost subscribers`: endpoints that hear of events."""

from typing import Annotated, Any

import typer

from waypost.cli.api import Wire
from waypost.cli.command import FAILED, Desk, Limit, Reason, command, group
from waypost.cli.numbers import because

app = group(
    "subscribers", "Endpoints that hear of events: add, show, pause, resume, rotate, test, replay, remove."
)
SubscriberId = Annotated[str, typer.Argument(metavar="SUBSCRIBER", help="Its id, `sub_…`.")]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", help="Repeatable, such as message.* or inbound.received; else all."),
]


def _show(desk: Desk, found: Wire) -> None:
    if desk.screen.as_json:
        desk.screen.document(found)
        return
    why = f" ({found['state_reason']})" if found["state_reason"] else ""
    health = found["health"]
    desk.screen.facts(
        {
            "id": found["id"], "label": found["label"], "url": found["url"], "state": found["state"] + why,
            "kinds": " ".join(found["kinds"]) or "all", "events in one POST": found["batch_events_max"],
            "last success": health["last_success_at"], "failing since": health["failing_since"],
            "failures in a row": health["failures"], "next try": health["next_try_at"],
            "not told yet": f"{health['lag_events']} events, the oldest {health['lag_seconds']:.0f} s old",
            "waiting": health["waiting_events"], "parked": health["parked_events"], "added": found["created_at"],
        }
    )  # fmt: skip
    for each in found["secrets"]:
        until = f", signs until {each['valid_until']}" if each["valid_until"] else ""
        shown = f"  {each['public_key']}" if each["public_key"] else ""
        desk.screen.line(f"secret {each['id']} ({each['scheme']}, made {each['created_at']}{until}){shown}")
    if found.get("secret"):
        desk.screen.note("The signing secret, shown only now:")
        desk.screen.line(str(found["secret"]))


@command(
    app,
    "add",
    "waypost subscribers add https://example.org/hooks --label crm",
    "waypost subscribers add https://example.org/hooks --kind 'message.*' --batch 100 --scheme v1a",
)
async def add(
    desk: Desk,
    url: Annotated[str, typer.Argument(help="Where events are POSTed.")],
    label: Annotated[str | None, typer.Option("--label", help="Your name for it.")] = None,
    kinds: Kinds = None,
    batch: Annotated[int, typer.Option("--batch", min=1, max=100, help="Most events in one POST.")] = 1,
    scheme: Annotated[
        str | None, typer.Option("--scheme", help="v1 (HMAC, the default) or v1a (Ed25519).")
    ] = None,
    beginning: Annotated[
        bool, typer.Option("--from-beginning", help="All events ever, oldest first.")
    ] = False,
) -> None:
    """Add a subscriber; its signing secret is printed this once."""
    body: dict[str, Any] = {"url": url, "kinds": kinds or [], "batch_events_max": batch}
    for name, value in (("label", label), ("scheme", scheme), ("start", "beginning" if beginning else None)):
        if value is not None:
            body[name] = value
    _show(desk, await (await desk.api()).post("/v1/subscribers", body))


@command(app, "list", "waypost subscribers list")
async def listing(desk: Desk, limit: Limit = 50) -> None:
    """List subscribers with their health."""
    found = await (await desk.api()).listed("/v1/subscribers", limit)
    if desk.screen.as_json:
        desk.screen.document(found)
        return
    rows = [
        [
            each["id"], each["label"], each["url"], each["state"], each["state_reason"],
            each["health"]["failing_since"], each["health"]["last_success_at"],
            each["health"]["parked_events"] or None, " ".join(each["kinds"]) or "all",
        ]
        for each in found
    ]  # fmt: skip
    desk.screen.table(
        ("id", "label", "url", "state", "why", "failing since", "last success", "parked", "kinds"), rows
    )


@command(app, "show", "waypost subscribers show sub_…")
async def show(desk: Desk, subscriber_id: SubscriberId) -> None:
    """Show a subscriber, its health and how far it was told."""
    _show(desk, await (await desk.api()).get(f"/v1/subscribers/{subscriber_id}"))


@command(app, "pause", "waypost subscribers pause sub_… --reason 'their maintenance'")
async def pause(desk: Desk, subscriber_id: SubscriberId, reason: Reason = None) -> None:
    """Stop telling it; its events wait."""
    _show(desk, await (await desk.api()).post(f"/v1/subscribers/{subscriber_id}:pause", because(reason)))


@command(app, "resume", "waypost subscribers resume sub_…")
async def resume(desk: Desk, subscriber_id: SubscriberId, reason: Reason = None) -> None:
    """Go on where it stopped, also after an automatic pause or a 410."""
    _show(desk, await (await desk.api()).post(f"/v1/subscribers/{subscriber_id}:resume", because(reason)))


@command(app, "rotate", "waypost subscribers rotate sub_… --overlap-hours 24")
async def rotate(
    desk: Desk,
    subscriber_id: SubscriberId,
    overlap_hours: Annotated[
        float | None,
        typer.Option("--overlap-hours", min=0, max=720, help="How long the old one signs as well."),
    ] = None,
) -> None:
    """Make a new signing secret, printed this once; the old one signs as well during the overlap."""
    body = {} if overlap_hours is None else {"overlap_hours": overlap_hours}
    _show(desk, await (await desk.api()).post(f"/v1/subscribers/{subscriber_id}:rotate", body))


@command(app, "test", "waypost subscribers test sub_…")
async def test(desk: Desk, subscriber_id: SubscriberId) -> int | None:
    """Send a test event now, and show what the endpoint answered."""
    found = await (await desk.api()).post(f"/v1/subscribers/{subscriber_id}:test")
    if desk.screen.as_json:
        desk.screen.document(found)
    answer = (
        f"answered {found['status']}" if found["status"] is not None else f"did not answer: {found['fault']}"
    )
    desk.screen.marked("ok" if found["told"] else "fail", f"it {answer}, after {found['took_seconds']:.2f} s")
    if found["said"]:
        desk.screen.line(f"      {found['said']}")
    return None if found["told"] else FAILED


@command(
    app,
    "replay",
    "waypost subscribers replay sub_… --event evt_… --event evt_…",
    "waypost subscribers replay sub_… --since 2026-11-22T08:00:00Z --until 2026-11-22T09:00:00Z",
)
async def replay(
    desk: Desk,
    subscriber_id: SubscriberId,
    events: Annotated[list[str] | None, typer.Option("--event", help="Repeatable: these events.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="All from this time on, RFC 3339.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="… and before this time.")] = None,
) -> None:
    """Tell events again, by id or by time."""
    asked = {"event_ids": events or None, "since": since, "until": until}
    if not events and since is None:
        raise typer.BadParameter("which? give --event, or --since and --until")
    body = {name: value for name, value in asked.items() if value is not None}
    found = await (await desk.api()).post(f"/v1/subscribers/{subscriber_id}:replay", body)
    if desk.screen.as_json:
        desk.screen.document(found)
    desk.screen.line(f"{found['replayed']} are told again; {found['pending']} were still to be told anyway")


@command(app, "remove", "waypost subscribers remove sub_… --yes")
async def remove(
    desk: Desk,
    subscriber_id: SubscriberId,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Remove a subscriber; what it was still owed is forgotten."""
    if not yes:
        typer.confirm(f"Remove {subscriber_id} and forget what it is owed?", abort=True, err=True)
    found = await (await desk.api()).call("DELETE", f"/v1/subscribers/{subscriber_id}")
    if desk.screen.as_json:
        desk.screen.document(found or {"id": subscriber_id})
    desk.screen.line(f"{subscriber_id} is removed.")
