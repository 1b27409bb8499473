"""The shared clock follows the database's, carries on without it, and never goes back."""

from datetime import UTC, datetime, timedelta

import pytest

from waypost.app.shared_clock import SharedClock
from waypost.domain.errors import Unavailable

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Base:
    """A database's clock and our monotonic one; an answer takes `way_seconds` there and as long back."""

    def __init__(self):
        self.seconds = 1000.0
        self.ahead_seconds = 0.0
        self.way_seconds = [0.0]
        self.is_away = False

    def monotonic(self):
        return self.seconds

    def time_ms(self):
        if self.is_away:
            raise Unavailable("gone", code="database_lost")
        way = self.way_seconds.pop(0) if len(self.way_seconds) > 1 else self.way_seconds[0]
        self.seconds += way
        told = int((NOON.timestamp() + self.seconds - 1000 + self.ahead_seconds) * 1000)
        self.seconds += way
        return told

    def clock(self):
        return SharedClock(self.time_ms, self.monotonic)


def test_it_tells_the_databases_time_and_carries_on():
    base = Base()
    clock = base.clock()
    assert clock.now() == NOON
    base.seconds += 7.25
    assert clock.now() == NOON + timedelta(seconds=7.25)
    assert clock.monotonic() == base.seconds


def test_the_quickest_answer_counts():
    base = Base()
    base.way_seconds = [3.0, 0.001, 2.0]
    clock = base.clock()
    truth = NOON + timedelta(seconds=base.seconds - 1000)
    assert abs(clock.now() - truth) <= timedelta(milliseconds=2)


async def test_it_steps_forward_at_once_and_never_back():
    base = Base()
    clock = base.clock()
    first = clock.now()
    base.ahead_seconds = 5.0
    assert await clock.step() == 10.0
    assert clock.now() == first + timedelta(seconds=5)
    base.ahead_seconds = 1.0
    await clock.step()
    assert clock.now() == first + timedelta(seconds=5)
    # Half speed, until the truth has caught up: four seconds ahead take eight.
    base.seconds += 4
    assert clock.now() == first + timedelta(seconds=7)
    base.seconds += 4
    assert clock.now() == first + timedelta(seconds=9)
    base.seconds += 10
    assert clock.now() == first + timedelta(seconds=19)


async def test_while_the_database_is_away_the_old_offset_serves():
    base = Base()
    clock = base.clock()
    base.is_away = True
    assert await clock.step() == 1.0
    base.seconds += 3
    assert clock.now() == NOON + timedelta(seconds=3)


def test_it_does_not_begin_without_an_answer():
    base = Base()
    base.is_away = True
    with pytest.raises(Unavailable):
        base.clock()
    with pytest.raises(Unavailable):
        SharedClock(lambda: None, base.monotonic)
