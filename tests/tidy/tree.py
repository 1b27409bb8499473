"""The source tree as the tidy checks see it: files with their rooms, syntax trees and imports.

Checks are functions from a root to a list of `path:line: what is wrong`, so that each can be shown a planted fault.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {".git", ".venv", "__pycache__", "node_modules", "build", "dist", "waypost-data"}


@dataclass(frozen=True)
class Module:
    """One Python file: `path` from the root, dotted `name`, and its `room` (empty for the package itself)."""

    file: Path
    path: str
    name: str
    tree: ast.Module
    lines: int

    @property
    def room(self) -> str:
        """Return the first name below `waypost`."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""

    @property
    def package(self) -> str:
        """Return the package that relative imports start from."""
        return self.name if self.file.name == "__init__.py" else self.name.rpartition(".")[0]


@lru_cache(maxsize=2048)
def _parsed(file: Path, changed_at_ns: int) -> tuple[ast.Module, int]:
    text = file.read_text(encoding="utf-8")
    return ast.parse(text, str(file)), text.count("\n")


def files(root: Path, *folders: str) -> Iterator[Path]:
    """Walk the folders' files in order, without what is made by tools."""
    for folder in folders:
        for file in sorted((root / folder).rglob("*")):
            if file.is_file() and not SKIPPED.intersection(file.relative_to(root).parts):
                yield file


def modules(root: Path, *folders: str) -> list[Module]:
    """Parse every Python file of the folders; without folders, those of the package."""
    found = []
    for file in files(root, *(folders or ("src/waypost",))):
        if file.suffix == ".py":
            tree, lines = _parsed(file, file.stat().st_mtime_ns)
            relative = file.relative_to(root)
            parts = list(
                (relative.relative_to("src") if relative.parts[0] == "src" else relative)
                .with_suffix("")
                .parts
            )
            if parts[-1] == "__init__":
                parts.pop()
            found.append(Module(file, relative.as_posix(), ".".join(parts), tree, lines))
    return found


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of all that a module imports, wherever in the file and however it is written.

    `from a import b` yields `a.b`, which may be a module or a name in one.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.package.split(".")
                base = ".".join([*above[: len(above) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
                yield node.lineno, str(first.value)


def plant(root: Path, path: str, text: str) -> None:
    """Write one file of a small tree."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def project(root: Path) -> dict[str, object]:
    """Read the project's table of pyproject.toml."""
    table: dict[str, object] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table
