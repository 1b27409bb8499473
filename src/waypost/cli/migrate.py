"""`waypost migrate`: brings the database to this release's schema, or leaves the old schema behind."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from waypost.cli.command import Desk, command
from waypost.config import Config
from waypost.store.schema import Migration
from waypost.store.upgrade import Upgrade, upgrade_of_database, upgrade_of_file

_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be run, and run nothing.")]
_Contract = Annotated[
    bool,
    typer.Option(
        "--contract",
        help="Remove what only older releases use. No way back: do it once every process runs this release.",
    ),
]


def declare(app: typer.Typer) -> None:
    """Add the command."""
    examples = ("waypost migrate --dry-run", "waypost migrate", "waypost migrate --contract")
    command(app, "migrate", *examples, remote=False)(migrate)


async def migrate(desk: Desk, dry_run: _DryRun = False, contract: _Contract = False) -> None:
    """Bring the database to this release's schema: first what it adds, and with --contract what it leaves behind.

    What is added breaks nothing for processes of the release before, so run it while they serve, then replace them one
    by one. Until you contract, you can go back the same way.
    """
    with _open(desk.place.config()) as upgrade:
        steps = upgrade.contractions() if contract else upgrade.expansions()
        before = upgrade.version()
        desk.screen.line(
            f"schema {before.expanded}, contracted to {before.contracted}: {len(steps)} steps to run"
        )
        done = [] if dry_run else list(_told(desk, upgrade.contract() if contract else upgrade.expand()))
        if dry_run:
            for step in steps:
                desk.screen.line(f"{step.number:04} {step.name}")
                desk.screen.line((step.contract if contract else step.expand).strip())
        after = upgrade.version()
    if desk.screen.as_json:
        desk.screen.document(
            {
                "expanded": after.expanded,
                "contracted": after.contracted,
                "run": [step.number for step in done],
                "to_run": [step.number for step in steps if step not in done],
            }
        )


def _told(desk: Desk, steps: Iterator[Migration]) -> Iterator[Migration]:
    for step in steps:
        desk.screen.marked("ok", f"{step.number:04} {step.name}")
        yield step


@contextmanager
def _open(config: Config) -> Iterator[Upgrade]:
    opened: AbstractContextManager[Upgrade] = (
        upgrade_of_file(Path(config.store.path))
        if config.store.url is None
        else upgrade_of_database(config.store.url)
    )
    with opened as upgrade:
        yield upgrade
