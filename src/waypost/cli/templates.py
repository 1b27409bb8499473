"""`waypost templates`: what Meta has approved."""

from typing import Annotated

import typer

from waypost.cli.command import Desk, Limit, command, group

app = group("templates", "Message templates: list, synchronise from Meta, delete.")


@command(app, "list", "waypost templates list", "waypost templates list --number num_… --json")
async def listing(
    desk: Desk,
    number_id: Annotated[str | None, typer.Option("--number", help="Of this number's WABA.")] = None,
    limit: Limit = 50,
) -> None:
    """List templates as last read from Meta."""
    found = await (await desk.api()).listed("/v1/templates", limit, number_id=number_id)
    if desk.screen.as_json:
        desk.screen.document(found)
        return
    rows = [
        [
            each["id"], each["name"], each["language"], each["category"], each["status"], each["quality"],
            each["reason"], each["synced_at"],
        ]
        for each in found
    ]  # fmt: skip
    desk.screen.table(("id", "name", "language", "category", "status", "quality", "reason", "read"), rows)
    if not found:
        desk.screen.note("None: `waypost templates sync --number num_…` reads them from Meta.")


@command(app, "sync", "waypost templates sync --number num_…")
async def sync(
    desk: Desk, number_id: Annotated[str, typer.Option("--number", help="The number whose WABA is read.")]
) -> None:
    """Read the templates of a number's WABA from Meta now."""
    done = await (await desk.api()).post("/v1/templates:sync", {"number_id": number_id})
    if desk.screen.as_json:
        desk.screen.document(done)
    desk.screen.line(f"{done['count']} templates; {done['changed']} changed, {done['removed']} removed")


@command(app, "delete", "waypost templates delete tpl_… --yes")
async def delete(
    desk: Desk,
    template_id: Annotated[str, typer.Argument(metavar="TEMPLATE", help="Its id, `tpl_…`.")],
    all_languages: Annotated[
        bool, typer.Option("--all-languages", help="The name in every language.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete a template at Meta, which blocks an approved name for 30 days."""
    if not yes:
        typer.confirm(f"Delete {template_id} at Meta?", abort=True, err=True)
    query = {"all_languages": "true"} if all_languages else None
    done = await (await desk.api()).call("DELETE", f"/v1/templates/{template_id}", query=query)
    if desk.screen.as_json:
        desk.screen.document(done)
    desk.screen.line(f"Deleted: {', '.join(done['ids'])}")
