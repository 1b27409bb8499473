"""What every part of the emulator acts on: world, clock, dice, agenda, faults, rates, webhooks."""

import base64
from dataclasses import dataclass, field

from waypost.emulator.agenda import Agenda
from waypost.emulator.faults import Faults
from waypost.emulator.ports import Clock, Dice
from waypost.emulator.rates import Rates
from waypost.emulator.webhooks import Webhooks
from waypost.emulator.world import World


@dataclass(slots=True)
class Pace:
    """How long after the accept a message is sent and delivered, in seconds."""

    sent_seconds: float = 0.05
    delivered_seconds: float = 0.15
    template_review_seconds: float = 0.5


@dataclass(slots=True)
class Stage:
    """The parts, put together by the server."""

    world: World
    clock: Clock
    dice: Dice
    agenda: Agenda
    faults: Faults
    rates: Rates
    webhooks: Webhooks
    strict: bool
    base_url: str = "http://127.0.0.1"
    pace: Pace = field(default_factory=Pace)

    def fresh_id(self) -> str:
        """An id as Graph gives them: digits only."""
        return str(1_000_000_000_000_000 + self.dice.getrandbits(49))

    def trace_id(self) -> str:
        """The fbtrace_id of an error."""
        return "A" + base64.urlsafe_b64encode(self.dice.getrandbits(128).to_bytes(16, "big")).decode().rstrip(
            "="
        )

    def fresh_wamid(self, digits: str, *, outbound: bool) -> str:
        """A message id with the layout seen in Meta's samples: peer, direction, hex id."""
        peer = digits.encode()[:127]
        hex_id = b"%018X" % self.dice.getrandbits(72) if outbound else b"%020X" % self.dice.getrandbits(80)
        record = (
            b"\x1c\x18" + bytes([len(peer)]) + peer + b"\x15\x02\x00" + (b"\x11" if outbound else b"\x12")
            + b"\x18" + bytes([len(hex_id)]) + hex_id + b"\x00"
        )  # fmt: skip
        return "wamid." + base64.b64encode(record).decode()
