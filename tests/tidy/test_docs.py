"""The pages say what the code says: charters, settings, dependencies, links, and the commands of CI."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.tidy.tree import ROOT, files, modules, plant, project

from waypost.config import render_docs, settings

ROW = re.compile(r"^\|\s*`?\**([^|`*]+?)\**`?\s*\|\s*(.+?)\s*\|", re.MULTILINE)


def without_charter(root: Path) -> list[str]:
    """Return files that don't open with their charter."""
    return [
        f"{module.path}:1: no charter"
        for module in modules(root, "src", "tests", "bench")
        if not (ast.get_docstring(module.tree) or "").strip()
    ]


def rooms(root: Path) -> dict[str, str]:
    """Return each room's charter: the first paragraph of its docstring, on one line."""
    found = {}
    for module in modules(root):
        parts = module.name.split(".")
        if len(parts) == 2 and (module.file.name == "__init__.py" or module.room in ("app", "cli")):
            paragraph = (ast.get_docstring(module.tree) or "").split("\n\n")[0]
            found[module.room] = " ".join(paragraph.split())
    return found


def stale_charters(root: Path) -> list[str]:
    """Return rooms whose charter in docs/architecture.md is not the one in their code, and rows without a room."""
    text = (root / "docs/architecture.md").read_text(encoding="utf-8")
    table = text.partition("<!-- rooms -->")[2].partition("<!-- /rooms -->")[0]
    told = {name: charter for name, charter in ROW.findall(table) if name != "room" and set(name) != {"-"}}
    there = rooms(root)
    found = [f"docs/architecture.md: {name} is not there" for name in told if name not in there]
    return found + [
        f"docs/architecture.md: {name}: {text}" for name, text in there.items() if told.get(name) != text
    ]


def undocumented_dependencies(root: Path) -> list[str]:
    """Return dependencies of pyproject.toml without a line in docs/dependencies.md, and lines without one."""
    table = project(root)
    extras = table.get("optional-dependencies", {})
    assert isinstance(extras, dict)
    wanted = [*table.get("dependencies", []), *(each for extra in extras.values() for each in extra)]  # type: ignore[misc]
    names = {re.split(r"[\[<>=!~; ]", each)[0].lower().replace("_", "-") for each in wanted}
    text = (root / "docs/dependencies.md").read_text(encoding="utf-8")
    told = {name.lower() for name, _ in ROW.findall(text) if name != "package" and set(name) != {"-"}}
    missing = [f"docs/dependencies.md: {name} has no line" for name in sorted(names - told)]
    return missing + [f"docs/dependencies.md: {name} is no dependency" for name in sorted(told - names)]


def anchors(text: str) -> set[str]:
    """Return the anchors that a page's headings give."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    titles = re.findall(r"^#+\s+(.+?)\s*$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(root: Path) -> list[str]:
    """Return local links of the pages that lead nowhere, file or anchor."""
    found = []
    for file in [*files(root, "docs"), *sorted(root.glob("*.md"))]:
        if file.suffix != ".md":
            continue
        text = file.read_text(encoding="utf-8")
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            there = (file.parent / path).resolve() if path else file
            if not there.exists():
                found.append(f"{file.relative_to(root).as_posix()}: {target}")
            elif anchor and anchor not in anchors(there.read_text(encoding="utf-8")):
                found.append(f"{file.relative_to(root).as_posix()}: {target} has no such heading")
    return found


def test_each_file_opens_with_its_charter() -> None:
    assert without_charter(ROOT) == []


def test_the_charters_of_the_rooms_are_those_of_their_code() -> None:
    assert stale_charters(ROOT) == []


def test_each_dependency_has_its_reasons() -> None:
    assert undocumented_dependencies(ROOT) == []


def test_the_links_of_the_pages_lead_somewhere() -> None:
    assert broken_links(ROOT) == []


def test_the_page_of_settings_is_current() -> None:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert page == render_docs(), "print it again: python -m waypost.config > docs/configuration.md"


def test_each_setting_is_documented() -> None:
    for each in settings():
        assert len(each.metadata["help"]) > 10, each.name
        assert each.metadata["help"].endswith("."), each.name


def test_ci_runs_the_test_command_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python3 -m venv .* -m pytest.*$", readme, re.MULTILINE)
    assert len(commands) == 1
    last = (ROOT / ".ci/run").read_text(encoding="utf-8").rstrip().splitlines()[-1]
    assert last == 'eval "$readme_tests"'


def test_the_lock_file_names_the_public_index_alone() -> None:
    text = (ROOT / "uv.lock").read_text(encoding="utf-8")
    assert set(re.findall(r'registry = "([^"]+)"', text)) == {"https://pypi.org/simple"}
    assert set(re.findall(r'url = "(https?://[^/"]+)', text)) <= {"https://files.pythonhosted.org"}
    for package in project(ROOT)["dependencies"]:  # type: ignore[attr-defined]
        assert f'name = "{re.split(r"[<>=; ]", package)[0]}"' in text


def test_a_planted_file_without_a_charter_is_caught(tmp_path: Path) -> None:
    plant(tmp_path, "src/waypost/a.py", "# a comment is no charter\nx = 1\n")
    plant(tmp_path, "tests/test_a.py", '"""It has one."""\n')
    assert without_charter(tmp_path) == ["src/waypost/a.py:1: no charter"]


def test_a_planted_room_that_the_page_does_not_tell_is_caught(tmp_path: Path) -> None:
    plant(tmp_path, "src/waypost/store/__init__.py", '"""The only\nSQL.\n\nMore."""\n')
    page = "<!-- rooms -->\n| room | charter |\n|---|---|\n| `store` | The only SQL. |\n{}<!-- /rooms -->\n"
    plant(tmp_path, "docs/architecture.md", page.format(""))
    assert stale_charters(tmp_path) == []
    plant(tmp_path, "docs/architecture.md", page.format("| `attic` | Old things. |\n"))
    plant(tmp_path, "src/waypost/outbox/__init__.py", '"""Sending."""\n')
    plant(tmp_path, "src/waypost/store/__init__.py", '"""Another charter."""\n')
    assert len(stale_charters(tmp_path)) == 3


def test_a_planted_dependency_is_caught(tmp_path: Path) -> None:
    plant(tmp_path, "pyproject.toml", '[project]\ndependencies = ["apsw>=3", "left_pad; x"]\n')
    plant(tmp_path, "docs/dependencies.md", "| package | why |\n|---|---|\n| apsw | store |\n| gone | x |\n")
    assert len(undocumented_dependencies(tmp_path)) == 2


def test_a_planted_broken_link_is_caught(tmp_path: Path) -> None:
    plant(
        tmp_path,
        "docs/a.md",
        "# A title\n[b](b.md) [c](#a-title) [d](https://example.org) [e](../README.md)\n",
    )
    plant(tmp_path, "README.md", "[lost](docs/lost.md) [part](docs/a.md#gone) [well](docs/a.md#a-title)\n")
    assert broken_links(tmp_path) == [
        "docs/a.md: b.md",
        "README.md: docs/lost.md",
        "README.md: docs/a.md#gone has no such heading",
    ]
