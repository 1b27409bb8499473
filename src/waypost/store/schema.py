"""The schema's versions: numbered migrations, written once, run on either engine; expand first, contract later.

`NNNN_name.sql` expands: it adds what this release needs and breaks nothing for the release before, so both run side
by side. `NNNN_name.contract.sql`, where there is one, removes what only older releases used: a separate command, after
which there is no way back. The database remembers both: a release serves a schema that is at least its own, and not
contracted beyond it.
"""

import re
from collections.abc import Callable, Sequence
from importlib.resources import files

from msgspec import Struct

from waypost.domain.errors import Unavailable
from waypost.store.connection import Connection

_EXPANDED, _CONTRACTED = "schema_version", "schema_contracted"
# What `meta` says of a database into which a copy has begun begins so.
COPYING = "copy:"


class Migration(Struct, frozen=True):
    """One numbered step; `contract` is empty when it removes nothing."""

    number: int
    name: str
    expand: str
    contract: str


class Version(Struct, frozen=True):
    """What a database has: expanded up to, contracted up to. (0, 0) is an empty database."""

    expanded: int
    contracted: int


def migrations() -> list[Migration]:
    """Give all of this release, in order."""
    folder = files("waypost.store") / "migrations"
    texts = {each.name: each.read_text() for each in folder.iterdir() if each.name.endswith(".sql")}
    found = []
    for file in sorted(name for name in texts if not name.endswith(".contract.sql")):
        number, _, name = file.removesuffix(".sql").partition("_")
        contract = texts.get(file.replace(".sql", ".contract.sql"), "")
        found.append(Migration(int(number), name, texts[file], contract))
    return found


def wanted() -> int:
    """Give the schema's number this release was written for."""
    return migrations()[-1].number


def version_of(meta: Callable[[str], str | None]) -> Version:
    """Read the version from the `meta` rows; the first release wrote no word about contracting."""
    return Version(int(meta(_EXPANDED) or 0), int(meta(_CONTRACTED) or 0))


def refuse_unservable(version: Version) -> None:
    """Raise `Unavailable` with the remedy when this release cannot serve a database of `version`."""
    mine = wanted()
    if version.expanded < mine:
        raise Unavailable(
            f"the database has schema {version.expanded}, this release needs {mine}",
            code="schema_too_old",
            remedy="run `waypost migrate`; processes of the release before may go on running",
        )
    if version.contracted > mine:
        raise Unavailable(
            f"the database is contracted to schema {version.contracted}, this release knows {mine}",
            code="schema_too_new",
            remedy="start the newer release, or restore a backup from before the contraction",
        )


def expansions(version: Version, known: Sequence[Migration] | None = None) -> list[Migration]:
    """Give what is still to be expanded, of `known` or of this release."""
    return [each for each in (migrations() if known is None else known) if each.number > version.expanded]


def contractions(version: Version, known: Sequence[Migration]) -> list[Migration]:
    """Give what could be contracted: what this release has left behind and no release before may need any more."""
    return [each for each in known if each.contract and each.number > version.contracted]


def expand(connection: Connection, migration: Migration, translate: Callable[[str], str]) -> None:
    """Run one expansion and note it, within the caller's transaction."""
    _run(connection, translate(migration.expand))
    _note(connection, _EXPANDED, migration.number)


def contract(connection: Connection, migration: Migration, translate: Callable[[str], str]) -> None:
    """Run one contraction and note it, within the caller's transaction."""
    _run(connection, translate(migration.contract))
    _note(connection, _CONTRACTED, migration.number)


def _run(connection: Connection, script: str) -> None:
    for statement in statements(script):
        connection.run(statement)


def statements(script: str) -> list[str]:
    """Cut a script into its statements; migrations hold no semicolon inside a text or a trigger."""
    bare = re.sub(r"--[^\n]*", "", script)
    return [text for text in (part.strip() for part in bare.split(";")) if text]


def refuse_other_key(connection: Connection, fingerprint: str, may_be_loading: bool = False) -> None:
    """Raise `Unavailable` when this database was made with another master key; a new one remembers this one.

    Contacts are found by keyed indexes: with another key nobody would be found again, and every secret would be lost.
    One that a restore or a copy left half loaded is refused, too, but to who goes on loading it.
    """
    loading = connection.one("SELECT value FROM meta WHERE key = 'loading'")
    if loading is not None and not may_be_loading:
        raise _half_loaded(str(loading[0]))
    found = connection.one("SELECT value FROM meta WHERE key = 'key_fingerprint'")
    if found is None:
        connection.run("INSERT INTO meta (key, value) VALUES ('key_fingerprint', ?)", (fingerprint,))
    elif found[0] != fingerprint:
        raise Unavailable(
            "this database was made with another master key",
            code="wrong_master_key",
            remedy="give every process the key of the first: its key file, or WAYPOST_SECRETS_MASTER_KEY",
        )


def _half_loaded(mark: str) -> Unavailable:
    if mark.startswith(COPYING):
        return Unavailable(
            "a copy into this database has begun and not ended",
            code="half_copied",
            remedy="run the same `waypost store copy` again, it goes on; or empty the database (or remove the file)",
        )
    return Unavailable(
        "a restore into this database has begun and not ended",
        code="half_restored",
        remedy="empty the database (or remove the file) and run `waypost restore` again",
    )


def _note(connection: Connection, key: str, number: int) -> None:
    connection.run(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, str(number)),
    )
