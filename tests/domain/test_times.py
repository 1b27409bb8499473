"""Times between code, rows and the wire."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from waypost.domain.times import from_ms, rfc3339, to_ms, to_ms_up

TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@given(TIMES)
def test_a_row_holds_the_millisecond_below_and_what_must_not_happen_before_the_one_above(at):
    assert from_ms(to_ms(at)) <= at <= from_ms(to_ms_up(at))
    assert to_ms_up(at) - to_ms(at) == (at.microsecond % 1000 > 0)


@given(TIMES)
def test_the_wire_shows_the_same_millisecond(at):
    shown = rfc3339(to_ms(at))
    assert shown is not None
    assert datetime.fromisoformat(shown) == at - timedelta(microseconds=at.microsecond % 1000)


def test_no_time_is_shown_as_none():
    assert rfc3339(None) is None
