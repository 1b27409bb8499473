"""The command `waypost`: its groups and commands put together."""

import typer

from waypost.cli import (
    backup,
    doctor,
    golive,
    keys,
    listen,
    messages,
    migrate,
    numbers,
    quotas,
    running,
    sending,
    settings,
    simulate,
    store,
    stuck,
    subscribers,
    templates,
)

app = typer.Typer(
    name="waypost",
    help="Waypost, a self-hosted WhatsApp gateway. Try [bold]waypost demo[/bold].",
    epilog="[bold]Exit codes[/bold]  0 done, 1 refused or failed, 2 usage or settings, 3 gateway unreachable",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
)
running.declare(app)
sending.declare(app)
for each in (messages, numbers, keys, subscribers, templates, quotas, stuck):
    app.add_typer(each.app)
listen.declare(app)
golive.declare(app)
doctor.declare(app)
migrate.declare(app)
backup.declare(app)
simulate.declare(app)
app.add_typer(store.app)
app.add_typer(settings.app)


def main() -> None:
    """Run the command line."""
    app()
