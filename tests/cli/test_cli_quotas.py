"""`waypost quotas`, and what a caller hears beyond one."""

import time

from tests.cli.house import House


def test_a_quota_is_set_felt_listed_and_lifted(house: House, number_id: str) -> None:
    assert house.ok("quotas", "list") == []
    done = house.ok("quotas", "set", "1", "--number", number_id)
    assert (done["scope"], done["id"], done["accepts_per_second"], done["burst"]) == (
        "number",
        number_id,
        1,
        1,
    )
    send = ("send", "--from", number_id, "--to", "+4915550001111", "hello")
    said = [house.run(*send) for _ in range(4)]
    assert said[0].code == 0, said[0].errors
    refused = [each for each in said if each.code != 0]
    assert refused
    assert all("quota_exceeded" in each.errors for each in refused)
    assert [each["id"] for each in house.ok("quotas", "list")] == [number_id]
    assert house.ok("quotas", "lift", "--number", number_id)["accepts_per_second"] is None
    # A process remembers for up to a second that the quota was used up.
    deadline = time.monotonic() + 5
    while house.run(*send).code != 0:
        assert time.monotonic() < deadline
    assert all(house.run(*send).code == 0 for _ in range(4))
