"""The only SQL. Every change of state and its journal line in one transaction. One schema; SQLite embedded."""
