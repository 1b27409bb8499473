"""What follows a failure, and when the next one may go."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waypost.domain.outcomes import Failed
from waypost.domain.pace import PAIR, Rate, available, next_at_us, number_rate, spend
from waypost.domain.retry import RetryRules, plan

NOW = datetime(2026, 11, 22, tzinfo=UTC)
FAR = NOW + timedelta(days=30)
RULES = RetryRules()


def waits(reaction, ordinal=1, retry_after=None, expires=FAR):
    follows = plan(Failed(1, reaction, "t", "d", retry_after), ordinal, "att_0000zzzz", NOW, expires, RULES)
    return None if follows.due_at is None else (follows.due_at - NOW).total_seconds()


@pytest.mark.parametrize(
    ("reaction", "ordinal", "low", "high"),
    [
        ("retry", 1, 1, 2),
        ("retry", 5, 16, 32),
        ("wait_pair", 1, 1, 1),
        ("wait_pair", 3, 16, 16),
        ("wait_number", 1, 1, 2),
        ("wait_account", 1, 60, 60),
        ("wait_day", 1, 86_400, 95_040),
        ("stop_lane", 1, 0, 0),
    ],
)
def test_each_reaction_waits_within_its_bounds(reaction, ordinal, low, high):
    assert low <= waits(reaction, ordinal) <= high


@pytest.mark.parametrize("reaction", ["fail", "fail_contact"])
def test_final_reactions_have_no_next_try(reaction):
    assert waits(reaction) is None


def test_retry_after_is_honoured_for_the_whole_number():
    follows = plan(Failed(None, "retry", "t", "d", 120.0), 1, "att_0000zzzz", NOW, FAR, RULES)
    assert follows.due_at == follows.slow_until == NOW + timedelta(seconds=120)
    assert follows.slow_scope == "number"


def test_tries_are_bounded_and_expiry_beats_retry():
    assert waits("retry", RULES.attempts_max) is None
    assert waits("wait_day", expires=NOW + timedelta(hours=1)) is None


@given(st.integers(1, 1000), st.lists(st.tuples(st.integers(0, 5_000_000), st.integers(1, 100)), max_size=60))
def test_no_more_than_burst_plus_rate_ever_goes(pace, steps):
    rate, now, arrival, spent = number_rate(pace), 0, 0, 0
    for wait, wish in steps:
        now += wait
        count = min(wish, available(rate, arrival, now))
        if count:
            arrival = spend(rate, arrival, now, count)
            spent += count
    assert spent <= rate.burst + now // rate.period_us + 1


def test_a_pair_burst_borrows_from_the_future():
    assert available(PAIR, 0, 10**12) == 45
    arrival = spend(PAIR, 0, 10**12, 45)
    assert available(PAIR, arrival, 10**12) == 0
    assert next_at_us(PAIR, arrival) == 10**12 + 6_000_000
    assert available(PAIR, arrival, next_at_us(PAIR, arrival)) == 1


def test_a_rate_of_one_lets_one_go_at_once():
    assert available(Rate(1000, 1), 0, 0) == 1
