"""`waypost config`: check the settings, print their page."""

from waypost.cli.command import Desk, command, group
from waypost.config import render_docs, settings

app = group("config", "Settings: check them, print their page.")


@command(
    app, "check", "waypost config check", "waypost config check --config /etc/waypost.toml", remote=False
)
async def check(desk: Desk) -> None:
    """Check the settings file and the environment; every mistake is told at once."""
    config = desk.place.config()
    values = {
        each.name: getattr(getattr(config, each.section), each.field)
        for each in settings()
        if not each.is_secret
    }
    changed = {
        each.name: values[each.name]
        for each in settings()
        if each.name in values and values[each.name] != each.default
    }
    if desk.screen.as_json:
        desk.screen.document({"mistakes": 0, "changed": changed})
        return
    desk.screen.marked("ok", "the settings are sound; these differ from their defaults:")
    desk.screen.facts(
        {name: str(value) for name, value in changed.items()} or {"none": "everything has its default"}
    )


@command(app, "docs", "waypost config docs > docs/configuration.md", remote=False, shows_json=False)
async def docs(desk: Desk) -> None:
    """Print the page of all settings."""
    print(render_docs(), end="")
