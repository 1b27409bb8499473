"""How PostgreSQL runs a change of many rows: as one statement over arrays, one array for each mark.

A statement of one row becomes one over `unnest`, so that its text, and what the server has prepared of it, is the same
for any number of rows and wherever they hold NULL.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_INSERT = re.compile(r"\s*INSERT INTO (\w+) \(([^()]*)\)\s+VALUES \(([^()]*)\)([^?]*)")
_UPDATE = re.compile(r"\s*(UPDATE (\w+) SET .*?)( WHERE .*)", re.DOTALL)
_DELETE = re.compile(r"\s*(DELETE FROM (\w+))( WHERE .*)", re.DOTALL)
_COMPARED = re.compile(r"(\w+) (?:=|<>|<=|>=|<|>) \?")


def change_of_many(sql: str, types_of: Callable[[str], Mapping[str, str]]) -> str | None:
    """Give a change of one row as a change of many, which takes a list for each mark; None when it has no such form.

    `types_of` a table gives its columns' types. No two rows may change the same row of the table.
    """
    if (found := _INSERT.fullmatch(sql)) is not None:
        table, columns, values, tail = found.groups()
        pairs = list(zip(_words(columns), _words(values), strict=True))
        types = types_of(table)
        marked = [types.get(column) for column, value in pairs if value == "?"]
        chosen = _named(", ".join(value for _, value in pairs), "v.c", 1)
        lists = _lists(marked)
        return lists and f"INSERT INTO {table} ({columns}) SELECT {chosen} FROM {lists}{tail}"
    for form, word in ((_UPDATE, "FROM"), (_DELETE, "USING")):
        if (found := form.fullmatch(sql)) is not None:
            head, table, where = found.groups()
            types = types_of(table)
            lists = _lists([types.get(column) for column in _COMPARED.findall(sql)])
            if lists is None or lists.count("?") != sql.count("?"):
                return None
            return f"{_named(head, 'v.c', 1)} {word} {lists}{_named(where, 'v.c', head.count('?') + 1)}"
    return None


def lists_for(rows: Sequence[Sequence[Any]], name: str) -> str:
    """Give `rows`, which hold no NULL, as a table of columns named `column1`, `column2`, … to select from."""
    return _lists([type_of(value) for value in rows[0]], name, "column") or ""


def type_of(value: str | int | bytes) -> str:
    """Give the type of the columns that such a value is compared with."""
    return next(named for kind, named, _ in _KINDS if isinstance(value, kind))


def for_each_of(sql: str, rows: Sequence[Sequence[Any]]) -> str:
    """Give a query of one row of parameters as one of many: all its answers for each of `rows`."""
    return f"SELECT e.* FROM {lists_for(rows, 's')} CROSS JOIN LATERAL ({_named(sql, 's.column', 1)}) AS e"


def turned(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Give the columns of `rows`, each as the text of an array."""
    return [array_of(column) for column in zip(*rows, strict=True)]


def array_of(values: Sequence[Any]) -> str:
    """Write texts, integers or bytes as an array in PostgreSQL's words: the driver's way takes five times as long."""
    first = next((value for value in values if value is not None), 0)
    if isinstance(first, str) and None not in values:
        joined = '","'.join(values)
        if "\\" not in joined and joined.count('"') == 2 * (len(values) - 1):
            return f'{{"{joined}"}}'
    word = next(word for kind, _, word in _KINDS if isinstance(first, kind))
    return "{" + ",".join(["NULL" if value is None else word(value) for value in values]) + "}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


# What a column of ours can hold: its type, and how a value is written. (`%d` also of a truth value, which is 0 or 1.)
_KINDS: tuple[tuple[type, str, Callable[[Any], str]], ...] = (
    (str, "text", _quoted),
    (int, "bigint", "%d".__mod__),
    (bytes, "bytea", lambda value: f'"\\\\x{value.hex()}"'),
)


def _lists(types: Sequence[str | None], name: str = "v", column: str = "c") -> str | None:
    if not types or None in types:
        return None
    arrays = ", ".join(f"?::{each}[]" for each in types)
    names = ", ".join(f"{column}{turn}" for turn in range(1, len(types) + 1))
    return f"unnest({arrays}) AS {name}({names})"


def _named(sql: str, column: str, first: int) -> str:
    """Put columns in the place of marks: the first mark's is number `first`."""
    parts = sql.split("?")
    return parts[0] + "".join(f"{column}{turn}{part}" for turn, part in enumerate(parts[1:], first))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]
