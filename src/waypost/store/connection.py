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
        """Run a change once per row of parameters, in few statements; no two of them change the same row."""
        ...

    def rows_in(self, sql: str, keys: Sequence[Any]) -> list[Row]:
        """Run a query with `IN (%s)` for all of `keys`, which are not empty."""
        ...

    def rows_beside(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[Row]:
        """Run a query from `%s`, which stands for the table `s` of `rows`: its columns are `column1`, `column2`, …"""
        ...

    def rows_for_each(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[Row]:
        """Run a query of one row of parameters for each of `rows`, which hold no NULL; gives all answers together."""
        ...

    def begin_reading(self, slow: bool = False) -> None:
        """Begin to see one state of the rows, whatever others commit; `slow`: with long pauses between queries."""
        ...

    def end_reading(self) -> None:
        """End what `begin_reading` began."""
        ...
