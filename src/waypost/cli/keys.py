"""`waypost keys`: API keys."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from waypost.cli.api import Wire
from waypost.cli.command import Desk, Limit, command, group
from waypost.domain.keys import SCOPES

app = group("keys", "API keys: create, list, revoke, rotate.")
KeyId = Annotated[str, typer.Argument(metavar="KEY", help="Its id, `key_…`.")]


def _shown_once(desk: Desk, key: Wire) -> None:
    if desk.screen.as_json:
        desk.screen.document(key)
        return
    desk.screen.facts(
        {
            "id": key["id"], "label": key["label"], "environment": key["environment"],
            "scopes": " ".join(key["scopes"]), "expires": key["expires_at"] or "never",
        }
    )  # fmt: skip
    desk.screen.note("The key, shown only now:")
    desk.screen.line(key["key"])


@command(
    app,
    "create",
    "waypost keys create 'shop backend' --scope messages:send --scope messages:read",
    "waypost keys create sandbox --test --all --days 30",
)
async def create(
    desk: Desk,
    label: Annotated[str, typer.Argument(help="What it is for.")],
    scopes: Annotated[
        list[str] | None, typer.Option("--scope", help=f"Repeatable. One of: {', '.join(SCOPES)}.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every scope.")] = False,
    test: Annotated[
        bool, typer.Option("--test", help="For numbers of an emulator on this machine only.")
    ] = False,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=3650, help="Ends after so many days.")
    ] = None,
) -> None:
    """Make a key; its text is printed this once."""
    wanted = list(SCOPES) if everything else list(scopes or [])
    strange = sorted(set(wanted) - set(SCOPES))
    if strange or not wanted:
        what = f"unknown: {', '.join(strange)}" if strange else "say what it may do: --scope … or --all"
        raise typer.BadParameter(f"{what} (scopes: {', '.join(SCOPES)})", param_hint="--scope")
    body: Wire = {"label": label, "scopes": wanted, "environment": "test" if test else "live"}
    if days is not None:
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    _shown_once(desk, await (await desk.api()).post("/v1/keys", body))


@command(app, "list", "waypost keys list")
async def listing(desk: Desk, limit: Limit = 50) -> None:
    """List keys, newest first."""
    found = await (await desk.api()).listed("/v1/keys", limit)
    if desk.screen.as_json:
        desk.screen.document(found)
        return
    rows = [
        [
            key["id"], key["label"], key["environment"], key["state"],
            "all" if set(key["scopes"]) == set(SCOPES) else " ".join(key["scopes"]),
            key["expires_at"], key["last_used_at"],
        ]
        for key in found
    ]  # fmt: skip
    desk.screen.table(("id", "label", "environment", "state", "scopes", "expires", "last used"), rows)


@command(app, "revoke", "waypost keys revoke key_…")
async def revoke(desk: Desk, key_id: KeyId) -> None:
    """End a key at once."""
    key = await (await desk.api()).call("DELETE", f"/v1/keys/{key_id}")
    if desk.screen.as_json:
        desk.screen.document(key)
    desk.screen.line(f"{key['id']} ({key['label']}) works no more.")


@command(app, "rotate", "waypost keys rotate key_… --overlap-hours 1")
async def rotate(
    desk: Desk,
    key_id: KeyId,
    overlap_hours: Annotated[
        float | None,
        typer.Option("--overlap-hours", min=0, max=720, help="How long the old one still works."),
    ] = None,
) -> None:
    """Make a successor; both work during the overlap."""
    body = {} if overlap_hours is None else {"overlap_hours": overlap_hours}
    _shown_once(desk, await (await desk.api()).post(f"/v1/keys/{key_id}:rotate", body))
