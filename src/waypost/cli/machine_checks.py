"""What `doctor` finds on this machine: files and who may read them, free disk, the database."""

import base64
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from waypost.app.sockets import local_path
from waypost.cli.findings import Finding
from waypost.config import Config
from waypost.store.inspection import inspect, inspect_shared, sqlite_version

# A day of busy callbacks fits into this; below it, somebody should look before it runs full.
_DISK_WARN_BYTES = 1024**3


def has_database(config: Config) -> bool:
    """Say whether there is a database already; looking must not make one."""
    return config.store.url is not None or Path(config.store.path).exists()


def files(config: Config) -> Iterator[Finding]:
    """Check the key and who may read what."""
    yield _key(config)
    for path in (Path(config.store.path), local_path(config)):
        if path.exists() and _is_open_to_others(path):
            yield Finding(
                "warn", "files", f"{path} is open to other users of this machine", f"chmod 600 {path}"
            )
    folder = Path(config.store.path).absolute().parent
    if folder.is_dir() and not os.access(folder, os.W_OK):
        yield Finding(
            "fail", "files", f"{folder} cannot be written by this user", "give it to the gateway's user"
        )


def _key(config: Config) -> Finding:
    if config.secrets.master_key is not None:
        return Finding("ok", "master key", "comes from the environment")
    path = Path(config.secrets.key_file)
    try:
        text = path.read_text()
    except FileNotFoundError:
        if Path(config.store.path).exists():
            remedy = "restore it from your backup: without it no stored token or secret can be read"
            return Finding("fail", "master key", f"{path} is gone, and there is a database", remedy)
        return Finding(
            "warn", "master key", f"{path} is not there yet", "the first start makes it; back it up then"
        )
    except (OSError, UnicodeDecodeError) as error:
        return Finding(
            "fail", "master key", f"{path} cannot be read: {type(error).__name__}", "mend its permissions"
        )
    if _is_open_to_others(path):
        return Finding(
            "fail",
            "master key",
            f"{path} can be read by other users",
            f"chmod 600 {path}, and rotate what it protects if somebody may have read it",
        )
    try:
        sound = len(base64.b64decode(text.strip(), validate=True)) == 32
    except ValueError:
        sound = False
    if not sound:
        return Finding(
            "fail", "master key", f"{path} is not 32 bytes in base64", "restore it from your backup"
        )
    return Finding("ok", "master key", f"{path}, for its owner alone")


def _is_open_to_others(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def disk(config: Config) -> Iterator[Finding]:
    """Compare the free disk with what the gateway wants."""
    places = {
        "database": Path(config.store.path).absolute().parent,
        "media": Path(config.inbox.media_dir).absolute(),
    }
    for name, folder in places.items():
        there = next(each for each in (folder, *folder.parents) if each.is_dir())
        space = os.statvfs(there)
        free = space.f_bavail * space.f_frsize
        told = f"{free / 1024**3:,.1f} GiB free for the {name} ({there})"
        if free < config.store.disk_free_bytes_min:
            yield Finding("fail", "disk", told, "free space: the gateway accepts nothing until there is some")
        elif free < max(_DISK_WARN_BYTES, 4 * config.store.disk_free_bytes_min):
            yield Finding("warn", "disk", told, "make room before it runs full")
        else:
            yield Finding("ok", "disk", told)


def database(config: Config) -> Iterator[Finding]:
    """Open the database for reading, compare its schema, and let SQLite check it."""
    if config.store.url is not None:
        yield from _shared(config.store.url)
        return
    path = Path(config.store.path)
    if not path.exists():
        yield Finding("warn", "database", f"{path} is not there yet", "the first `waypost serve` makes it")
        return
    found = inspect(path)
    if isinstance(found, str):
        yield Finding(
            "fail", "database", f"{path}: {found}", "restore it from your backup, or mend its permissions"
        )
        return
    if found.schema_version < found.schema_version_wanted:
        told = f"schema {found.schema_version}, this release wants {found.schema_version_wanted}"
        yield Finding("warn", "database", told, "the next start, or `waypost migrate`, brings it up to date")
    if found.faults:
        told = f"the quick check found: {'; '.join(found.faults)}"
        yield Finding("fail", "database", told, "stop the gateway and restore the last good backup")
    else:
        told = f"sound by its quick check, {found.journal_lines:,} journal lines, SQLite {sqlite_version()}"
        yield Finding("ok", "database", told)


def _shared(url: str) -> Iterator[Finding]:
    found = inspect_shared(url)
    if isinstance(found, str):
        yield Finding(
            "fail", "database", found, "check WAYPOST_STORE_URL, the server and the network between"
        )
        return
    mine = found.schema_version_wanted
    if found.schema_version < mine:
        told = f"schema {found.schema_version}, this release needs {mine}"
        yield Finding("fail", "database", told, "run `waypost migrate`; the release before goes on beside it")
    elif found.schema_contracted > mine:
        told = f"contracted to schema {found.schema_contracted}, this release knows {mine}"
        yield Finding("fail", "database", told, "start the newer release")
    for risk in found.risks:
        told = f"PostgreSQL can lose what it said is on disk: {risk}"
        yield Finding("fail", "database", told, "turn it on and restart PostgreSQL")
    told = (
        f"PostgreSQL {found.server} answers, {found.journal_lines:,} journal lines,"
        f" {found.processes} processes are writing"
    )
    yield Finding("ok", "database", told)
