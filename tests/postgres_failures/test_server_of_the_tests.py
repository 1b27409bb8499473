"""The server the other tests ill-treat: it dies at once, comes back with all it had, and a standby takes its place."""

import psycopg
import pytest
from tests.postgres import Postgres, empty, migrated_database, name_of, session_server


def test_a_killed_server_is_gone_at_once_and_comes_back_with_what_was_committed(database: Postgres) -> None:
    url = database.new_database()
    with psycopg.connect(url, autocommit=True) as held:
        held.execute("CREATE TABLE t (n int)")
        held.execute("INSERT INTO t VALUES (1)")
        database.kill()
        with pytest.raises(psycopg.OperationalError):
            held.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    database.start()
    assert database.run("SELECT n FROM t", name_of(url)) == [(1,)]


def test_a_synchronous_standby_has_every_commit_when_it_takes_the_address_over(database: Postgres) -> None:
    url = database.new_database()
    database.run("CREATE TABLE t (n int)", name_of(url))
    standby = database.new_standby()
    try:
        for turn in range(20):
            database.run(f"INSERT INTO t VALUES ({turn})", name_of(url))
        database.kill()
        standby.take_over(database)
        with psycopg.connect(url, autocommit=True) as again:
            assert again.execute("SELECT count(*) FROM t").fetchone() == (20,)
            again.execute("INSERT INTO t VALUES (99)")
    finally:
        standby.remove()


def test_an_emptied_database_is_as_a_new_one() -> None:
    url, fresh = migrated_database(), migrated_database()
    server = session_server()
    server.run("INSERT INTO meta (key, value) VALUES ('stray', '1')", name_of(url))
    server.run("UPDATE meta SET value = 'other' WHERE key = 'timeline'", name_of(url))
    empty(url)
    meta = "SELECT key, value FROM meta ORDER BY key"
    assert server.run(meta, name_of(url)) == server.run(meta, name_of(fresh))
    server.drop(url)
    server.drop(fresh)
