"""Files of at most 400 lines, functions of at most 70, and no folder for what found no place."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.tidy.tree import ROOT, files, modules, plant

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
FOLDERS = ("src", "tests", "bench")
TEXT_SUFFIXES = {".py", ".js", ".css", ".html", ".sql", ".sh"}
BANNED_PLACES = {"util", "utils", "common", "helper", "helpers", "misc"}
# Generated code and tables of facts: their length is the provider's, not ours.
EXEMPT_FILES = {"src/waypost/transports/cloud_api/error_table.py"}


def oversized(root: Path) -> list[str]:
    """Return files and functions above their limit."""
    found = []
    for file in files(root, *FOLDERS):
        path = file.relative_to(root).as_posix()
        if file.suffix in TEXT_SUFFIXES and path not in EXEMPT_FILES:
            lines = file.read_text(encoding="utf-8").count("\n")
            if lines > FILE_LINES_MAX:
                found.append(f"{path}:1: {lines} lines")
    for module in modules(root, *FOLDERS):
        for node in ast.walk(module.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX and module.path not in EXEMPT_FILES:
                    found.append(f"{module.path}:{node.lineno}: {node.name} has {lines} lines")
    return found


def misplaced(root: Path) -> list[str]:
    """Return folders and modules that are named after having no place."""
    found = {}
    for file in files(root, *FOLDERS):
        relative = file.relative_to(root)
        for part in (*relative.parts[:-1], relative.stem):
            if BANNED_PLACES.intersection(part.lower().split("_")):
                found[part] = f"{relative.as_posix()}:1: a place called {part}"
    return list(found.values())


def test_files_and_functions_are_short() -> None:
    assert oversized(ROOT) == []


def test_no_folder_is_for_what_found_no_place() -> None:
    assert misplaced(ROOT) == []


def test_a_planted_long_file_is_caught(tmp_path: Path) -> None:
    plant(tmp_path, "src/waypost/a.py", "x = 1\n" * 400)
    plant(tmp_path, "src/waypost/web/a.js", "let x;\n" * 401)
    plant(tmp_path, "src/waypost/b.py", "x = 1\n" * 401)
    assert oversized(tmp_path) == ["src/waypost/b.py:1: 401 lines", "src/waypost/web/a.js:1: 401 lines"]


def test_a_planted_long_function_is_caught_wherever_it_stands(tmp_path: Path) -> None:
    body = "        x = 1\n" * 69
    plant(tmp_path, "src/waypost/fits.py", f"class A:\n    def f(self):\n{body}")
    plant(tmp_path, "src/waypost/long.py", f"class A:\n    async def f(self):\n{body}        y = 1\n")
    assert oversized(tmp_path) == ["src/waypost/long.py:2: f has 71 lines"]


def test_a_planted_attic_is_caught(tmp_path: Path) -> None:
    plant(tmp_path, "src/waypost/utils/a.py", "")
    plant(tmp_path, "src/waypost/web/page_helpers.py", "")
    plant(tmp_path, "src/waypost/web/commonly.py", "")
    assert len(misplaced(tmp_path)) == 2
