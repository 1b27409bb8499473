"""`waypost backup`, `waypost backup-test` and `waypost restore`: they open the database themselves."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from waypost.app.master_key import master_key
from waypost.app.opening import open_engine
from waypost.app.ports import SystemClock, SystemRandomness
from waypost.app.second_place import open_second_place
from waypost.cli.command import Desk, command
from waypost.config import Config
from waypost.domain.errors import Unavailable
from waypost.domain.times import rfc3339
from waypost.operations.backup import Backup, take
from waypost.operations.missing import KnownMissing, known_missing
from waypost.operations.restore import Restored, restore
from waypost.store.beside import Beside
from waypost.store.codec import Codec
from waypost.store.tables import Readable

_To = Annotated[Path, typer.Option("--to", help="The file to write; it must not be there yet.")]
_From = Annotated[Path, typer.Option("--from", help="The backup file.")]
_SALT_BYTES = 16


def declare(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "backup", "waypost backup --to /backups/monday.waypost", remote=False)(backup)
    command(app, "backup-test", "waypost backup-test --from /backups/monday.waypost", remote=False)(
        backup_test
    )
    command(app, "restore", "waypost restore --from /backups/monday.waypost", remote=False)(restore_from)


async def backup(desk: Desk, to: _To) -> None:
    """Write an encrypted backup of the database at this moment, beside the running gateway, and verify it.

    The master key is not in it: keep that elsewhere, for without it nobody can read the backup. Nor are media files.
    """
    config = desk.place.config()
    key = existing_key(config)
    randomness = SystemRandomness()
    source = _source(config, key)
    try:
        taken = take(source, to, key, randomness.token_bytes(_SALT_BYTES), SystemClock().now())
    finally:
        source.close()
    _show_backup(desk, to, taken)


def _source(config: Config, key: bytes) -> Readable:
    if config.store.url is None:
        return Beside(Path(config.store.path), Codec(key, SystemRandomness()))
    return open_engine(config, "backup")


def _show_backup(desk: Desk, to: Path, taken: Backup) -> None:
    if desk.screen.as_json:
        desk.screen.document({"file": str(to), **msgspec.to_builtins(taken), "verified": True})
    desk.screen.facts(
        {
            "backup": str(to),
            "journal position": f"{taken.position} of timeline {taken.timeline}",
            "taken at": rfc3339(taken.taken_at),
            "tables": taken.tables,
            "rows": taken.rows,
            "bytes": taken.size_bytes,
        }
    )
    desk.screen.marked("ok", "verified: read back, counts and digests of every table are the same")
    desk.screen.line("Not in it: the master key and the media files. Keep the key in another place.")


async def backup_test(desk: Desk, source: _From) -> None:
    """Restore a backup into a throw-away place and compare counts and digests; ends non-zero on a difference."""
    config = desk.place.config()
    key = existing_key(config)
    with tempfile.TemporaryDirectory(prefix="waypost-backup-test-") as folder:
        store = replace(config.store, url=None, path=f"{folder}/waypost.sqlite")
        found = _restored(desk, replace(config, store=store), source, key)
    if desk.screen.as_json:
        desk.screen.document({**msgspec.to_builtins(found), "exact": True})
    desk.screen.marked(
        "ok", f"{found.rows} rows restored; counts and digests of every table are those of the backup"
    )


async def restore_from(desk: Desk, source: _From) -> None:
    """Restore a backup into an empty place: the one that store.path or store.url names.

    What was not final at the backup's moment becomes `unknown` and is not sent again by itself.
    """
    config = desk.place.config()
    found = _restored(desk, config, source, existing_key(config))
    missing = _missing(desk, config, found)
    if desk.screen.as_json:
        told = None if missing is None else msgspec.to_builtins(missing)
        desk.screen.document({**msgspec.to_builtins(found), "known_missing": told})
    desk.screen.facts(
        {
            "recovery point": rfc3339(found.taken_at),
            "journal position": f"{found.position} of timeline {found.ended_timeline}",
            "new timeline": found.timeline,
            "rows": found.rows,
            "in doubt": f"{found.in_doubt} messages are unknown now",
        }
    )
    desk.screen.line(
        f"Missing: everything after {rfc3339(found.taken_at)}. Consumers with an older cursor get 409"
        " timeline_changed with the point to resume from. Restored messages that are unknown are not sent again by"
        " themselves: settle them, or wait for a receipt."
    )
    _tell_missing(desk, missing)


def _missing(desk: Desk, config: Config, found: Restored) -> KnownMissing | None:
    """Ask the second place; one that cannot be asked is told of, for the restore itself has gone well."""
    try:
        place = open_second_place(config)
        if place is None:
            return None
        try:
            return known_missing(found, place)
        finally:
            place.close()
    except Unavailable as fault:
        desk.screen.problem(fault.message, code=fault.code, remedy=fault.remedy)
        return None


def _tell_missing(desk: Desk, missing: KnownMissing | None) -> None:
    if missing is None:
        desk.screen.line(
            "Nothing is known of what came after: no second place (store.second_place) could be asked."
        )
        return
    if missing.last_seen_at is not None:
        desk.screen.line(
            f"The second place last heard of position {missing.last_seen_position} at"
            f" {rfc3339(missing.last_seen_at)}: at least {missing.journal_lines} journal lines are missing."
        )
    desk.screen.line(
        f"Withdrawals kept there since the recovery point: {missing.withdrawals}. The gateway applies them at its"
        " start, and holds marketing until then."
    )


def _restored(desk: Desk, config: Config, source: Path, key: bytes) -> Restored:
    engine = open_engine(config, "restore")
    try:
        with _progress(desk) as told:
            return restore(engine, source, key, SystemClock().now(), told)
    finally:
        engine.close()


@contextmanager
def _progress(desk: Desk) -> Iterator[Callable[[int, int], None]]:
    console = Console(stderr=True, quiet=desk.screen.as_json or not desk.screen.is_terminal)
    with Progress(console=console) as bar:
        row_bar = bar.add_task("restoring rows", total=None)
        yield lambda done, in_all: bar.update(row_bar, completed=done, total=in_all)


def existing_key(config: Config) -> bytes:
    """Give the installation's master key; raises `Unavailable` when there is none."""
    # A key made now would open nothing: better to say that it is missing.
    if config.secrets.master_key_bytes is None and not Path(config.secrets.key_file).exists():
        raise Unavailable(
            f"there is no master key at {config.secrets.key_file}",
            code="master_key_missing",
            remedy="put the gateway's key there (0600), or set WAYPOST_SECRETS_MASTER_KEY",
        )
    return master_key(config.secrets, SystemRandomness())
