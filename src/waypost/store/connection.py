"""What a reading or a transaction needs of a database connection; each engine has its own.

SQL is written once, with `?` marks, and means the same on SQLite and PostgreSQL.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

Row = tuple[Any, ...]


class Connection(Protocol):
    """One connection, used by one thread at a time. A fault outside (a full disk, a lost server) is `Unavailable`."""

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run a query and give all its rows."""
        ...

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Run a query and give its first row, or None."""
        ...

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run a change and give the number of rows it touched."""
        ...

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a change once per row of parameters."""
        ...

    def begin_reading(self, slow: bool = False) -> None:
        """Begin to see one state of the rows, whatever others commit; `slow`: with long pauses between queries."""
        ...

    def end_reading(self) -> None:
        """End what `begin_reading` began."""
        ...
