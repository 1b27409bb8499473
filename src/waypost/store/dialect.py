"""How the one SQL of this room reads on PostgreSQL: marks are numbered, and three words of the schema have other names.

Text compares by its bytes on both engines (ids ascend that way whatever the database's locale).
"""

import re
from functools import lru_cache

_WORDS = {"TEXT": 'TEXT COLLATE "C"', "BLOB": "BYTEA", "INTEGER": "BIGINT"}
_WORD = re.compile(r"\b(TEXT|BLOB|INTEGER)\b")


@lru_cache(maxsize=4096)
def to_postgres(sql: str) -> str:
    """Number the marks of a statement: `?` becomes `$1`, `$2`, … No text in this room's SQL holds a question mark."""
    parts = sql.split("?")
    if len(parts) == 1:
        return sql
    return parts[0] + "".join(f"${turn}{part}" for turn, part in enumerate(parts[1:], 1))


def schema_to_postgres(script: str) -> str:
    """Give the columns of a migration their PostgreSQL types."""
    return _WORD.sub(lambda found: _WORDS[found.group()], script)
