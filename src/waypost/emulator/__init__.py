"""A loopback stand-in for Meta's WhatsApp Cloud API, with virtual phones, faults on demand and a clock.

Written from the provider's documentation alone: it imports nothing of the gateway, so that it can prove the
gateway wrong. It is a product of its own: sandbox, demo, drills and tests run against it.
"""

from waypost.emulator.ports import RealClock, VirtualClock
from waypost.emulator.seed import DEMO
from waypost.emulator.server import Emulator

__all__ = ["DEMO", "Emulator", "RealClock", "VirtualClock"]
