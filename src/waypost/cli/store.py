"""`waypost store copy`: moves an installation to another database, of either engine, and proves the copy exact."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated
from urllib.parse import unquote, urlsplit

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from waypost.app.opening import hold_source, open_engine
from waypost.cli.backup import existing_key
from waypost.cli.command import Desk, command, group
from waypost.config import Config
from waypost.domain.errors import InvalidRequest
from waypost.operations.copy import Copied, Step, Told, copy

_FORM = "sqlite:///absolute/path or postgresql://user:password@host/database"
_From = Annotated[
    str,
    typer.Option(
        "--from",
        envvar="WAYPOST_COPY_FROM",
        show_envvar=True,
        help=f"What is copied: {_FORM}.",
        metavar="URL",
    ),
]
_To = Annotated[
    str,
    typer.Option(
        "--to", envvar="WAYPOST_COPY_TO", show_envvar=True, help="An empty place for it, or a half-copied one.",
        metavar="URL",
    ),
]  # fmt: skip
_WORDS: dict[Step, str] = {
    "reading": "reading the source",
    "copying": "copying rows",
    "verifying": "verifying the copy",
}

app = group("store", "The database as a whole.")


@command(
    app,
    "copy",
    "waypost store copy --from sqlite:///srv/waypost/waypost.sqlite --to postgresql://waypost@db/waypost",
    remote=False,
)
async def copy_store(desk: Desk, source: _From, target: _To) -> None:
    """Copy the database to another place, verified by counts and digests. Stop the gateways first.

    Interrupted, it goes on where it stopped when run again; until it has ended no gateway opens the target. Give URLs
    with a password in WAYPOST_COPY_FROM and WAYPOST_COPY_TO: others can see a command's words.
    """
    config = desk.place.config()
    existing_key(config)
    there = _placed(config, target, "to")
    if there.store == (here := _placed(config, source, "from")).store:
        raise InvalidRequest(
            "Source and target are the same.", code="same_place", field="to", remedy="Name another place."
        )
    held = hold_source(here)
    try:
        desk.screen.line("The source is held: no gateway can write there until this has ended.")
        engine = open_engine(there, "copy", may_be_loading=True)
        try:
            with _progress(desk) as told:
                found = copy(held, engine, told)
        finally:
            engine.close()
    finally:
        held.close()
    _show(desk, found)


def _placed(config: Config, url: str, field: str) -> Config:
    """Give the settings with the store that a URL names; the URL itself, which may hold a password, is never told."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    path = unquote(parts.path)
    if parts.scheme == "sqlite" and not parts.netloc and path.strip("/"):
        # Four slashes, as other tools write an absolute path, mean the same.
        whole = "/" + path.lstrip("/")
        return replace(config, store=replace(config.store, url=None, path=whole))
    if parts.scheme in ("postgresql", "postgres") and path.strip("/"):
        return replace(config, store=replace(config.store, url=url))
    raise InvalidRequest("This is no URL of a store.", code="bad_url", field=field, remedy=f"Give {_FORM}.")


def _show(desk: Desk, found: Copied) -> None:
    if desk.screen.as_json:
        desk.screen.document({**msgspec.to_builtins(found), "verified": True})
        return
    rows = [(name, each.rows, each.digest) for name, each in sorted(found.sums.items())]
    desk.screen.table(("table", "rows", "SHA-256"), rows)
    desk.screen.facts(
        {
            "journal position": f"{found.position} of timeline {found.timeline}, which goes on",
            "rows": found.rows,
            "resumed": found.resumed,
        }
    )
    desk.screen.marked("ok", "verified: counts and digests of every table are those of the source")
    desk.screen.line(
        "Now name the target in store.path or store.url and start the gateways. Never serve the source again:"
        " what waits there would be sent twice."
    )


@contextmanager
def _progress(desk: Desk) -> Iterator[Told]:
    console = Console(stderr=True, quiet=desk.screen.as_json or not desk.screen.is_terminal)
    bars: dict[Step, TaskID] = {}
    with Progress(console=console) as shown:

        def told(step: Step, done: int, in_all: int) -> None:
            if step not in bars:
                bars[step] = shown.add_task(_WORDS[step], total=None)
            shown.update(bars[step], completed=done, total=in_all)

        yield told
