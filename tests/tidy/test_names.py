"""One word, one thing: no banned word in a name of ours, and the glossary's words are the code's words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tidy.tree import ROOT, Module, files, modules, plant

BANNED = {
    "delivery",
    "notification",
    "job",
    "service",
    "manager",
    "handler",
    "helper",
    "util",
    "data",
    "info",
}
BANNED |= {"deliveries", *(f"{word}s" for word in BANNED)}
# Names on Meta's wire (a struct's field must be called as the key is) and of the libraries whose methods we override.
FOREIGN = {
    "biz_opaque_callback_data",
    "contact_info",
    "data_localization_region",
    "data_api_version",
    "flow_action_data",
    "data_channel_uri",
    "handle_data",
    "data_received",
    "call_exception_handler",
    "preview_data",
    "whatsapp_business_manager_messaging_limit",
    "owner_business_info",
    "whatsapp_business_api_data",
}
# A wire key that is banned everywhere else: a Flow's parameters and Graph's lists are both called `data`.
FOREIGN_HERE = {
    ("src/waypost/domain/content/interactive.py", "data"),
    ("src/waypost/transports/cloud_api/management.py", "data"),
}


def words(identifier: str) -> list[str]:
    """Split an identifier, in whichever case it is written, into lower-case words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", identifier)
    return [word.lower() for word in spaced.split("_") if word]


def is_banned(identifier: str) -> bool:
    """Say whether one of the words is banned."""
    return identifier not in FOREIGN and not BANNED.isdisjoint(words(identifier))


def own_names(module: Module) -> Iterator[tuple[int, str]]:
    """Yield every name the module gives: classes, functions, parameters, variables, attributes, aliases."""
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield getattr(node, "lineno", 1), node.asname
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.lineno, node.name


def banned_names(root: Path) -> list[str]:
    """Return names of ours with a banned word: identifiers, folders, files, tables and columns."""
    found = []
    for module in modules(root):
        for line, name in own_names(module):
            if is_banned(name) and (module.path, name) not in FOREIGN_HERE:
                found.append(f"{module.path}:{line}: {name}")
    for file in files(root, "src", "tests", "bench", "docs"):
        relative = file.relative_to(root)
        if any(is_banned(part.replace("-", "_")) for part in (*relative.parts[:-1], relative.stem)):
            found.append(f"{relative.as_posix()}:1: the path")
    for path, name in columns(root):
        if is_banned(name):
            found.append(f"{path}:1: the column {name}")
    return found


def columns(root: Path) -> Iterator[tuple[str, str]]:
    """Yield path and name of every table and column of the schema's files."""
    for file in files(root, "src"):
        if file.suffix == ".sql":
            text = re.sub(r"--[^\n]*|'[^']*'", "", file.read_text(encoding="utf-8"))
            for name in re.findall(r"\b[A-Za-z_][A-Za-z_0-9]*\b", text):
                yield file.relative_to(root).as_posix(), name


def glossary(root: Path) -> list[tuple[str, str]]:
    """Return the glossary's rows: the word, and what it is in the code."""
    text = (root / "docs/glossary.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        for line in text.splitlines()
        if line[:1] == "|"
    ]
    return [(row[0].strip("*"), row[-1]) for row in rows if len(row) == 3 and row[0].startswith("*")]


def unknown_words(root: Path) -> list[str]:
    """Return the glossary's words whose place in the code is not there.

    A place is `table name` (in a schema), `type Name` (a class or alias), `room name` or `value name` (a text).
    """
    types: set[str] = set()
    texts: set[str] = set()
    for module in modules(root):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                types.add(node.name)
            elif isinstance(node, ast.Assign):
                types |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                types.add(node.target.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
    schema = "\n".join(
        file.read_text(encoding="utf-8") for file in files(root, "src") if file.suffix == ".sql"
    )
    tables = {
        name.lower() for name in re.findall(r"(?i)create\s+table\s+(?:if\s+not\s+exists\s+)?(\w+)", schema)
    }
    folders = {file.parent.name for file in files(root, "src/waypost")}
    there = {"table": tables, "type": types, "value": texts, "room": folders}
    found = []
    for word, place in glossary(root):
        places = re.findall(r"(\w+) `(\w+)`", place)
        if not places and place != "not yet":
            found.append(f"docs/glossary.md: {word} names no place")
        found += [
            f"docs/glossary.md: {word}: no {kind} {name}" for kind, name in places if name not in there[kind]
        ]
    return found


def test_no_name_of_ours_has_a_banned_word() -> None:
    assert banned_names(ROOT) == []


def test_the_words_of_the_glossary_are_in_the_code() -> None:
    assert len(glossary(ROOT)) > 20
    assert unknown_words(ROOT) == []


@pytest.mark.parametrize(
    "text",
    [
        "class SendManager: ...\n",
        "def delivery_of(message): ...\n",
        "def f(user_data): ...\n",
        "def f(*, info=None): ...\n",
        "def f(**jobs): ...\n",
        "data = 1\n",
        "class A:\n    info: str\n",
        "class A:\n    def f(self):\n        self.handler = 1\n",
        "import json as data\n",
        "for job in (): ...\n",
        "async def HTTPService(): ...\n",
        "(x := 1, util := 2)\n",
        "try: ...\nexcept ValueError as info: ...\n",
        "match 1:\n    case data: ...\n",
        "f = lambda data: 1\n",
    ],
)
def test_a_planted_banned_name_is_caught(tmp_path: Path, text: str) -> None:
    plant(tmp_path, "src/waypost/a.py", text)
    assert len(banned_names(tmp_path)) == 1


@pytest.mark.parametrize("path", ["src/waypost/services/a.py", "src/waypost/job.py", "docs/delivery.md"])
def test_a_planted_banned_path_is_caught(tmp_path: Path, path: str) -> None:
    plant(tmp_path, path, "")
    assert len(banned_names(tmp_path)) == 1


def test_a_planted_banned_column_is_caught(tmp_path: Path) -> None:
    plant(tmp_path, "src/waypost/store/schema.sql", "CREATE TABLE t (info TEXT, x TEXT); -- data\n")
    assert banned_names(tmp_path) == ["src/waypost/store/schema.sql:1: the column info"]


@pytest.mark.parametrize(
    "text",
    [
        "database = 1\n",
        "f(data=1)\n",
        "x.data.info\n",
        "biz_opaque_callback_data = 1\n",
        "'job'\n",
        "jobless = 1\n",
    ],
)
def test_a_name_that_only_looks_banned_is_let_through(tmp_path: Path, text: str) -> None:
    plant(tmp_path, "src/waypost/a.py", text)
    assert banned_names(tmp_path) == []


def test_a_word_of_the_glossary_that_the_code_lost_is_caught(tmp_path: Path) -> None:
    head = "| word | meaning | in the code |\n|---|---|---|\n"
    plant(tmp_path, "src/waypost/store/schema.sql", "CREATE TABLE lane (x);")
    plant(tmp_path, "src/waypost/store/a.py", "class Sent: ...\nx = 'otp'\n")
    rows = "| *lane* | m | table `lane` |\n| *sent* | m | type `Sent` |\n| *otp* | m | value `otp` |\n"
    plant(
        tmp_path,
        "docs/glossary.md",
        head + rows + "| *store* | m | room `store` |\n| *later* | m | not yet |\n",
    )
    assert unknown_words(tmp_path) == []
    lost = "| *lane* | m | table `lanes` |\n| *sent* | m | type `Gone` |\n| *otp* | m | value `pin` |\n| *x* | m | |\n"
    plant(tmp_path, "docs/glossary.md", head + lost)
    assert len(unknown_words(tmp_path)) == 4
