"""SQL is written in `store` and nowhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tidy.tree import ROOT, files, modules, plant

STATEMENT = re.compile(
    r"""^\s*(
      (?i:insert\s+(or\s+\w+\s+)?into\s+\w+)
    | (?i:update\s+\w+\s+set\s+\w+\s*=)
    | (?i:delete\s+from\s+\w+(\s+where\b|\s*;?\s*$))
    | (?i:(create|drop|alter)\s+(unique\s+|virtual\s+|temp\s+)?(table|index|trigger|view)\s+\w+)
    | (?i:pragma\s+\w+)
    | (?i:begin\s+(immediate|exclusive|deferred|transaction))
    | (?i:(release\s+)?savepoint\s+\w+)
    | (?i:with\s+(recursive\s+)?\w+\s*(\([^)]*\)\s*)?as\s*\(\s*select)
    | SELECT\s.+ | select\s.+\sfrom\s+\w+
    )""",
    re.VERBOSE | re.DOTALL,
)
# SQL that is put together from pieces: a clause alone tells it too.
CLAUSE = re.compile(
    r"\b(FROM|WHERE|JOIN|ORDER BY|GROUP BY|VALUES|ON CONFLICT)\s+[\w(]+.*(=|\?|\bASC|\bDESC|\bIN\b|\()",
    re.DOTALL,
)


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string that is not a docstring; what an f-string fills in becomes `x`."""
    docstrings: set[int] = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    skipped = docstrings | inside
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "x" for part in node.values)
            yield node.lineno, "".join(str(part) for part in parts)
        elif isinstance(node, ast.Constant) and id(node) not in skipped:
            value = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if isinstance(value, str):
                yield node.lineno, value


def stray_sql(root: Path) -> list[str]:
    """Return every SQL text outside `store`."""
    found = []
    for module in modules(root):
        if module.room != "store":
            for line, text in texts(module.tree):
                if STATEMENT.search(text) or CLAUSE.search(text):
                    found.append(f"{module.path}:{line}: {' '.join(text.split())[:60]}")
    for file in files(root, "src"):
        path = file.relative_to(root).as_posix()
        if file.suffix == ".sql" and not path.startswith("src/waypost/store/"):
            found.append(f"{path}:1: a file of SQL")
    return found


def test_sql_is_in_store_only() -> None:
    assert stray_sql(ROOT) == []


@pytest.mark.parametrize(
    "text",
    [
        "x = 'SELECT 1'\n",
        "x = f'select {a} from message'\n",
        "x = '''\n  INSERT OR IGNORE INTO message VALUES (1)'''\n",
        "def f():\n    return b'update message set status = 1'\n",
        "x = 'DELETE FROM message WHERE id = 1'\n",
        "x = 'create unique index i on t (a)'\n",
        "x = 'PRAGMA journal_mode'\n",
        "x = 'BEGIN IMMEDIATE'\n",
        "x = y + ' WHERE id = ?'\n",
        "x = 'WITH a AS (SELECT 1) SELECT 2'\n",
    ],
)
def test_a_planted_statement_is_caught(tmp_path: Path, text: str) -> None:
    plant(tmp_path, "src/waypost/outbox/a.py", text)
    assert len(stray_sql(tmp_path)) == 1
    plant(tmp_path, "src/waypost/store/a.py", text)
    assert len(stray_sql(tmp_path)) == 1


def test_a_planted_file_of_sql_is_caught(tmp_path: Path) -> None:
    plant(tmp_path, "src/waypost/web/q.sql", "SELECT 1;")
    assert len(stray_sql(tmp_path)) == 1


@pytest.mark.parametrize(
    "text",
    [
        '"""Select a number from the list."""\n',
        "x = 'Select a number from the list'\n",
        "x = 'update the number'\n",
        "x = 'Delete from the list what you do not need'\n",
        "x = 'begin again, with the values you have'\n",
        "x = 'where from'\n",
    ],
)
def test_prose_is_let_through(tmp_path: Path, text: str) -> None:
    plant(tmp_path, "src/waypost/outbox/a.py", text)
    assert stray_sql(tmp_path) == []
