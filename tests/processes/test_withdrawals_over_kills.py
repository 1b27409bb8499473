"""A process killed between the database's commit and the second place's write has acknowledged nothing."""

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from tests.journeys.house import open_house
from tests.processes.harness import until

from waypost.store.second_place import SecondFolder


@contextmanager
def _in_the_way(folder: Path) -> Iterator[None]:
    """Hold the lock of the file that is written to next: whoever appends waits."""
    now = datetime.now(UTC)
    files = [
        (folder / f"withdrawals-{day:%Y-%m-%d}.jsonl").open("ab") for day in (now, now + timedelta(days=1))
    ]
    for file in files:
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        for file in files:
            file.close()


async def test_killed_before_the_second_place_it_was_not_acknowledged_and_the_repeat_is(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    over = {"store": {"second_place": folder.as_uri()}}
    async with open_house(tmp_path / "house", over) as house:
        body = {"to": house.person(), "purpose": "marketing"}
        with _in_the_way(folder):
            asked = asyncio.create_task(house.api.call("POST", "/v1/withdrawals", body, key="said-once"))

            async def is_committed() -> bool:
                return bool((await house.api.get("/v1/withdrawals"))["items"])

            await until(is_committed, 10, "the database has it")
            assert not asked.done()
            await house.gateway.kill()
            with pytest.raises(aiohttp.ClientError):
                await asked
        assert list(SecondFolder(folder).withdrawals()) == []
        await house.gateway.start()
        again = await house.api.call("POST", "/v1/withdrawals", body, key="said-once")
        assert again.status == 201
        kept = {entry.id for entry in SecondFolder(folder).withdrawals()}
        (item,) = (await house.api.get("/v1/withdrawals"))["items"]
        assert kept == {item["id"]} == {again.body["id"]}
        replayed = await house.api.call("POST", "/v1/withdrawals", body, key="said-once")
        assert (replayed.status, replayed.headers["idempotent-replayed"]) == (201, "true")
        draft = house.draft(body["to"], "an offer") | {"class": "marketing"}
        refused = await house.api.call("POST", "/v1/messages", draft)
        assert (refused.status, refused.body["code"]) == (409, "contact_withdrew")
        folder.rename(tmp_path / "unmounted")
        away = await house.api.call("POST", "/v1/withdrawals", {"to": house.person()})
        assert (away.status, away.body["code"]) == (503, "second_place_unavailable")
