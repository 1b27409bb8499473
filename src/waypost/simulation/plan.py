"""What a seed stands for: the numbers, processes and subscribers of a world, what is sent in it, and what goes wrong.

A plan is a list of items, drawn once from the seed. A failing one is shrunk by leaving items out (`without`), so
every item makes sense alone.
"""

from collections.abc import Collection
from random import Random
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from waypost.domain.classes import MessageClass, OnUnknown
from waypost.simulation.clocks import stream

# The time in which things are sent and go wrong, in virtual seconds.
TROUBLE_SECONDS = 40.0
LEASE_SECONDS = 15.0
# Worlds in which lanes want more than there is; they cost several times as much as the others.
_CROWDED_EVERY = 50
CALL_SECONDS = 4.0

Oddness = Literal[
    "timeout_taken",  # taken, but the answer never comes
    "timeout_not_taken",
    "cut_taken",  # the connection breaks at once
    "cut_not_taken",
    "refused_but_sent",  # says no, and sends
    "stumbled",  # a fault of the platform's
    "refused",  # final
    "wait_number",
    "slow",  # answers just before the timeout
    "receipt_first",  # receipts overtake the answer
    "failed_receipt",  # taken, then failed, for good
    "stumbled_receipt",  # taken, then failed so that another try is allowed
    "silent",  # no receipt ever
    "repeated",  # every receipt several times
]
ODDITIES: tuple[Oddness, ...] = Oddness.__args__  # type: ignore[attr-defined]

Trouble = Literal[
    "pause",  # nothing runs for a while, longer than a lease or not
    "suspend",  # the same of the whole machine: its monotonic clock stands still, too
    "crash",
    "crash_before_commit",
    "crash_after_commit",
    "pause_before_commit",
    "pause_after_commit",
    "stop",  # in order, then started again
    "clock_error",
    "slow_store",
    "refusing_store",
    "deaf",  # hears of no commit of the others
    "endpoint_down",
    "endpoint_refuses",
    "endpoint_lies",  # takes events, and the answer is lost
    "endpoint_slow",
]
OF_ENDPOINTS: tuple[Trouble, ...] = ("endpoint_down", "endpoint_refuses", "endpoint_lies", "endpoint_slow")
AT_COMMITS: tuple[Trouble, ...] = (
    "crash_before_commit",
    "crash_after_commit",
    "pause_before_commit",
    "pause_after_commit",
)
# Commits at which a process crashes or pauses: those of one operation, or any.
OPERATIONS = (
    "",
    "accept",
    "claim",
    "record_outcomes",
    "beat",
    "store_callbacks",
    "apply_callbacks",
    "advance",
)
OF_PROCESSES: tuple[Trouble, ...] = (
    "pause",
    "suspend",
    "suspend",
    "crash",
    "crash_before_commit",
    "crash_after_commit",
    "pause_before_commit",
    "pause_after_commit",
    "stop",
    "clock_error",
    "slow_store",
    "refusing_store",
    "deaf",
)


class Text(Struct, frozen=True, tag="text"):
    """A message to send. Times in virtual seconds; `odd` is what the provider does at the first and second try."""

    key: int
    at_seconds: float
    number: int
    contact: int
    message_class: MessageClass
    on_unknown: OnUnknown | None
    expires_after_seconds: float | None
    starts_after_seconds: float | None


class Odd(Struct, frozen=True, tag="odd"):
    """What the provider does at one try of one message."""

    key: int
    ordinal: int
    oddness: Oddness


class Inbound(Struct, frozen=True, tag="inbound"):
    """A message of a customer's, told `copies` times."""

    key: int
    at_seconds: float
    number: int
    contact: int
    copies: int


class Fault(Struct, frozen=True, tag="fault"):
    """Something that goes wrong. `place`: the process or the subscriber; `amount`: seconds of clock error, or which
    of the commits that hold `operation` is meant."""

    trouble: Trouble
    place: int
    at_seconds: float
    for_seconds: float
    amount: float
    operation: str = ""


Item = Text | Odd | Inbound | Fault


class Plan(Struct, frozen=True):
    """A world to be."""

    seed: int
    numbers: int
    contacts: int
    processes: int
    batches: tuple[int, ...]  # per subscriber: events in one POST
    lossy: float  # how often a wake-up between processes is lost
    items: tuple[Item, ...]
    # Calls of a process under way at a time; one number may have half of them.
    in_flight_max: int = 8

    def without(self, places: Collection[int]) -> "Plan":
        """Leave out the items at these places."""
        kept = tuple(item for place, item in enumerate(self.items) if place not in places)
        return replace(self, items=kept)


def plan_of(seed: int) -> Plan:
    """Draw the plan of a seed."""
    chance = stream("plan", seed)
    if seed % _CROWDED_EVERY == 0:
        return _crowded(seed, chance)
    numbers, contacts, processes = chance.randint(1, 2), chance.randint(1, 3), chance.choice((2, 2, 2, 3))
    batches = tuple(chance.choice((1, 1, 5)) for _ in range(chance.choice((1, 1, 2))))
    items: list[Item] = []
    for key in range(chance.randint(3, 9)):
        items.append(_text(chance, key, numbers, contacts))
        for ordinal in (1, 2, 3):
            if chance.random() < (0.45, 0.25, 0.15)[ordinal - 1]:
                items.append(Odd(key, ordinal, chance.choice(ODDITIES)))
    for key in range(chance.randint(0, 2)):
        at = chance.uniform(0, TROUBLE_SECONDS)
        items.append(
            Inbound(
                key, at, chance.randrange(numbers), chance.randrange(contacts), chance.choice((1, 1, 2, 3))
            )
        )
    for _ in range(chance.randint(0, 6)):
        items.append(_fault(chance, processes, len(batches)))
    return Plan(
        seed, numbers, contacts, processes, batches, chance.choice((0.0, 0.05, 0.5, 1.0)), tuple(items)
    )


def _crowded(seed: int, chance: Random) -> Plan:
    """Two numbers with far more to send than there is room for, and a third that comes later with a little."""
    numbers, contacts = 3, 10
    little = chance.randrange(numbers)
    places = [number for number in range(numbers) if number != little for _ in range(12)] + [little] * 3
    items: list[Item] = []
    for key, number in enumerate(places):
        at = chance.uniform(1.2, 4.0) if number == little else 0.5 + chance.random() * 0.3
        items.append(Text(key, at, number, key % contacts, "reply", None, None, None))
        # Most tell nothing back: what counts here is who gets a turn.
        if chance.random() < 0.9:
            items.append(Odd(key, 1, "silent"))
    for _ in range(chance.randint(0, 2)):
        items.append(_fault(chance, 1, 1))
    return Plan(seed, numbers, contacts, 1, (5,), 0.0, tuple(items), 4)


def _text(chance: Random, key: int, numbers: int, contacts: int) -> Text:
    # Bursts, so that conversations collide.
    at = chance.choice((0.5, 10.0, 20.0, chance.uniform(0, TROUBLE_SECONDS * 0.8))) + chance.random() * 0.3
    classes: tuple[MessageClass, ...] = ("otp", "reply", "reply", "utility", "marketing")
    choices: tuple[OnUnknown | None, ...] = (None, None, None, "wait", "resend", "fail")
    expires = chance.choice((None, None, None, chance.uniform(2, 40)))
    starts = chance.choice((None, None, None, chance.uniform(0, 20)))
    if expires is not None and starts is not None:
        expires += starts
    return Text(
        key,
        at,
        chance.randrange(numbers),
        chance.randrange(contacts),
        chance.choice(classes),
        chance.choice(choices),
        expires,
        starts,
    )


def _fault(chance: Random, processes: int, subscribers: int) -> Fault:
    at = chance.uniform(0, TROUBLE_SECONDS * 0.8)
    if chance.random() < 0.25:
        trouble = chance.choice(OF_ENDPOINTS)
        return Fault(trouble, chance.randrange(subscribers), at, chance.uniform(1, 15), 0.0)
    trouble = chance.choice(AT_COMMITS if chance.random() < 0.6 else OF_PROCESSES)
    lasts = chance.choice((0.5, 3.0, 8.0, LEASE_SECONDS + 2, LEASE_SECONDS * 1.5)) * chance.uniform(0.5, 1.3)
    amount, operation = 0.0, ""
    if trouble == "clock_error":
        # Clocks that follow the database's differ by less than the margin of a lease, which is half a second.
        amount = chance.choice((-0.2, -0.1, 0.1, 0.2))
    elif trouble == "suspend":
        lasts = LEASE_SECONDS * chance.uniform(1.1, 1.6)
    elif trouble in AT_COMMITS:
        operation = chance.choice(OPERATIONS)
        amount = float(chance.randint(1, 4 if operation else 60))
        at = 0.0
        if trouble in ("pause_before_commit", "pause_after_commit") and chance.random() < 0.8:
            lasts = LEASE_SECONDS * chance.uniform(1.1, 1.8)
    return Fault(trouble, chance.randrange(processes), at, lasts, amount, operation)
