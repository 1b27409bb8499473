"""GCRA (the generic cell rate algorithm): one number per constraint tells when the next spend is due.

`arrival_us` is the theoretical arrival time of the next spend, in microseconds since the epoch. A spend is allowed
while it lies no further ahead than `burst` spends; a burst borrows from the future, as Meta's pair limit does.
"""

from msgspec import Struct


class Rate(Struct, frozen=True):
    """One spend per `period_us` in the long run, `burst` at once."""

    period_us: int
    burst: int


# Meta, throughput pages: one message per 6 s to the same person, 45 at once at the price of later ones.
PAIR = Rate(6_000_000, 45)


def number_rate(pace_per_second: int) -> Rate:
    """Give the rate of a number: its messages per second, a quarter of a second's worth at once."""
    return Rate(1_000_000 // pace_per_second, max(1, pace_per_second // 4))


def available(rate: Rate, arrival_us: int, now_us: int) -> int:
    """Give how many spends are allowed now."""
    ahead = max(arrival_us - now_us, 0)
    return max(0, (rate.burst * rate.period_us - ahead) // rate.period_us)


def spend(rate: Rate, arrival_us: int, now_us: int, count: int) -> int:
    """Give the arrival time after `count` spends."""
    return max(arrival_us, now_us) + count * rate.period_us


def next_at_us(rate: Rate, arrival_us: int) -> int:
    """Give when the next single spend is allowed."""
    return arrival_us - (rate.burst - 1) * rate.period_us
