"""`waypost stuck`: everything that waits for a person, and settling it with a reason."""

from typing import Annotated

import typer

from waypost.cli.api import Wire
from waypost.cli.command import Desk, command, group
from waypost.cli.numbers import because

app = group("stuck", "What waits for a person: list it, and settle each with a reason.", has_default=True)
ACTIONS = ("resend", "fail", "release", "cancel", "replay", "resume", "retry")


@command(
    app,
    "list",
    "waypost stuck",
    "waypost stuck list --json",
    "waypost stuck list --retrying-minutes 60",
    default=True,
)
async def listing(
    desk: Desk,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="Most items of each sort.")] = 50,
    retrying_minutes: Annotated[
        int, typer.Option("--retrying-minutes", min=0, help="Retrying for at least so long.")
    ] = 15,
    unresolved_days: Annotated[
        int, typer.Option("--unresolved-days", min=1, max=90, help="Unresolved of the last days.")
    ] = 7,
) -> None:
    """List held, unknown, unresolved and long-retrying messages, parked callbacks and events, lanes, subscribers."""
    found: Wire = await (await desk.api()).get(
        "/v1/stuck", limit=limit, retrying_minutes=retrying_minutes, unresolved_days=unresolved_days
    )
    if desk.screen.as_json:
        desk.screen.document(found)
        return
    if not any(rows for rows in found.values()):
        desk.screen.marked("ok", "nothing is stuck")
        return
    _print_messages(desk, found)
    _print_lanes(desk, found)
    _print_parked(desk, found)
    if found["more"]:
        desk.screen.note(
            f"There is more of: {', '.join(found['more'])}; raise --limit or settle these first."
        )
    desk.screen.note("Settle one: waypost stuck settle ID --action … --reason '…'")


def _print_messages(desk: Desk, found: Wire) -> None:
    titles = {
        "held": "Held messages",
        "unknown": "Messages of unknown outcome",
        "unresolved": "Unresolved messages: nobody learnt whether they went out",
        "retrying": "Messages that keep being retried",
    }
    columns = ("id", "number", "class", "since", "goes again", "why", "settle")
    for name, title in titles.items():
        rows = [
            [
                each["id"], each["number_id"], each["class"], each["changed_at"], each["due_at"], _why(each),
                " ".join(each["settle"]),
            ]
            for each in found[name]
        ]  # fmt: skip
        _print(desk, title, columns, rows)


def _why(message: Wire) -> str:
    failure = message["failure"] or {}
    told = f"{failure.get('code') or ''} {failure.get('title') or ''}".strip()
    return "; ".join(part for part in (message["reason"], told) if part)


def _print_lanes(desk: Desk, found: Wire) -> None:
    lanes = [
        [
            each["number_id"], each["label"], each["state"], each["reason"] or each["slow_reason"],
            each["slow_until"], each["waiting"], " ".join(each["settle"]),
        ]
        for each in found["lanes"]
    ]  # fmt: skip
    columns = ("number", "label", "state", "why", "slow until", "waiting", "settle")
    _print(desk, "Numbers that do not send at their pace", columns, lanes)
    subscribers = [
        [
            each["id"], each["label"] or each["url"], each["state"], each["reason"], each["failing_since"],
            each["failures"], each["behind"], " ".join(each["settle"]),
        ]
        for each in found["subscribers"]
    ]  # fmt: skip
    columns = ("subscriber", "who", "state", "why", "failing since", "failures", "behind", "settle")  # type: ignore[assignment]
    _print(desk, "Subscribers that fail or are paused", columns, subscribers)


def _print_parked(desk: Desk, found: Wire) -> None:
    callbacks = [
        [
            each["id"],
            each["app_id"],
            each["received_at"],
            each["tries"],
            each["fault"],
            " ".join(each["settle"]),
        ]
        for each in found["callbacks"]
    ]
    columns = ("callback", "app", "received", "tries", "fault", "settle")
    _print(desk, "Callbacks that could not be read", columns, callbacks)
    events = [
        [
            each["event_id"],
            each["type"],
            each["subscriber_id"],
            each["tries"],
            each["fault"],
            " ".join(each["settle"]),
        ]
        for each in found["events"]
    ]
    columns = ("event", "type", "subscriber", "tries", "fault", "settle")
    _print(desk, "Events a subscriber would not take", columns, events)


def _print(desk: Desk, title: str, columns: tuple[str, ...], rows: list[list[object]]) -> None:
    if rows:
        desk.screen.table(columns, rows, title=f"{title} ({len(rows)})")
        desk.screen.line()


@command(
    app,
    "settle",
    "waypost stuck settle msg_… --action resend --reason 'Meta confirmed the outage'",
    "waypost stuck settle cal_… --action replay --reason 'the number is added now'",
    "waypost stuck settle evt_… --action retry --subscriber sub_… --reason 'their fix is out'",
    "waypost stuck settle num_… --action resume --reason 'token replaced'",
)
async def settle(
    desk: Desk,
    item_id: Annotated[
        str, typer.Argument(metavar="ID", help="A message, callback, event, number or subscriber.")
    ],
    action: Annotated[str, typer.Option("--action", help=f"One of: {', '.join(ACTIONS)}.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the journal.")],
    subscriber_id: Annotated[
        str | None, typer.Option("--subscriber", help="For an event: whom to tell it again.")
    ] = None,
) -> None:
    """Settle one stuck thing. `retry` does what the thing wants: resend, release, replay or resume."""
    if action not in ACTIONS:
        raise typer.BadParameter(f"one of: {', '.join(ACTIONS)}", param_hint="--action")
    if not reason.strip():
        raise typer.BadParameter("say why: it goes into the journal", param_hint="--reason")
    path, body = await _route(desk, item_id, action, reason, subscriber_id)
    done = await (await desk.api()).post(path, body)
    if desk.screen.as_json:
        desk.screen.document(done)
    state = (done or {}).get("status") or (done or {}).get("state") or "done"
    desk.screen.line(f"{item_id}: {action}, now {state}")


async def _route(
    desk: Desk, item_id: str, action: str, reason: str, subscriber_id: str | None
) -> tuple[str, Wire]:
    """Give the route and body that settle it so; a usage error when that sort of thing can't be settled so."""
    noun = item_id.partition("_")[0]
    match noun, action:
        case "msg", "retry":
            found = await (await desk.api()).get(f"/v1/messages/{item_id}")
            does = {"unknown": "resend", "held": "release"}.get(found["message"]["status"])
            if does is None:
                raise typer.BadParameter(
                    f"the message is {found['message']['status']}: nothing to retry by hand"
                )
            return f"/v1/messages/{item_id}:settle", {"action": does, "reason": reason}
        case "msg", "resend" | "fail" | "release":
            return f"/v1/messages/{item_id}:settle", {"action": action, "reason": reason}
        case "msg", "cancel":
            return f"/v1/messages/{item_id}:cancel", because(reason)
        case "cal", "replay" | "retry":
            return f"/v1/callbacks/{item_id}:replay", because(reason)
        case "evt", "replay" | "retry":
            if subscriber_id is None:
                raise typer.BadParameter("tell whom? an event is parked at a subscriber: --subscriber sub_…")
            return f"/v1/subscribers/{subscriber_id}/events/{item_id}:retry", because(reason)
        case ("num", "resume" | "retry") | ("sub", "resume" | "retry"):
            plural = "numbers" if noun == "num" else "subscribers"
            return f"/v1/{plural}/{item_id}:resume", because(reason)
        case _:
            raise typer.BadParameter(f"{action} does not fit {item_id}; `waypost stuck list` says what does")
