"""Meta's paces as buckets that remember one moment each: per number, per pair, per WABA for management."""

from collections import OrderedDict
from datetime import datetime

from waypost.emulator.errors import GraphError
from waypost.emulator.tables import LIMITS
from waypost.emulator.world import Number

_PAIRS_KEPT_MAX = 200_000


class Bucket:
    """A bucket of `burst` drops, refilled one every `seconds_per_drop`; what was borrowed is paid back."""

    __slots__ = ("_burst_seconds", "_full_at", "_seconds_per_drop")

    def __init__(self, seconds_per_drop: float, burst: int) -> None:
        self._seconds_per_drop = seconds_per_drop
        self._burst_seconds = seconds_per_drop * (burst - 1)
        self._full_at = 0.0

    def take(self, now: datetime) -> bool:
        """Spend one drop; False when the bucket is empty."""
        moment = now.timestamp()
        full_at = max(self._full_at, moment)
        # the tenth of a millisecond forgives what floats lose
        if full_at - moment > self._burst_seconds + 0.0001:
            return False
        self._full_at = full_at + self._seconds_per_drop
        return True


class Rates:
    """All buckets. Off until somebody asks for them: a sandbox should not surprise."""

    def __init__(self, *, on: bool) -> None:
        self.on = on
        self._numbers: dict[str, Bucket] = {}
        self._pairs: OrderedDict[tuple[str, str], Bucket] = OrderedDict()
        self._management: dict[str, Bucket] = {}

    def spend_number(self, number: Number, now: datetime) -> bool:
        """One message of a number, in or out."""
        if not self.on:
            return True
        bucket = self._numbers.get(number.id)
        if bucket is None:
            per_second = LIMITS[
                "number_per_second" if number.throughput == "STANDARD" else "number_per_second_high"
            ]
            bucket = self._numbers[number.id] = Bucket(1.0 / per_second, per_second)
        return bucket.take(now)

    def spend_send(self, number: Number, recipient: str, now: datetime) -> None:
        """One send: refuses with 130429 or 131056."""
        if not self.on:
            return
        if not self.spend_number(number, now):
            raise GraphError(130429, "Message failed to send because this number sent too many messages.")
        pair = (number.id, recipient)
        bucket = self._pairs.get(pair)
        if bucket is None:
            bucket = self._pairs[pair] = Bucket(LIMITS["pair_seconds_per_message"], LIMITS["pair_burst"])
            if len(self._pairs) > _PAIRS_KEPT_MAX:
                self._pairs.popitem(last=False)
        if not bucket.take(now):
            raise GraphError(
                131056, "Too many messages from this number to the same recipient in a short time."
            )

    def spend_management(self, waba_id: str, now: datetime) -> None:
        """One management call: refuses with 80007 and says when to come back."""
        if not self.on:
            return
        bucket = self._management.setdefault(
            waba_id, Bucket(3600 / LIMITS["management_per_hour"], LIMITS["management_per_hour"])
        )
        if not bucket.take(now):
            usage = (
                f'{{"{waba_id}":[{{"type":"whatsapp","call_count":100,"total_cputime":1,"total_time":1,'
                '"estimated_time_to_regain_access":1}]}'
            )
            raise GraphError(80007, headers={"X-Business-Use-Case-Usage": usage})

    def reset(self) -> None:
        """Empty every bucket."""
        self._numbers.clear()
        self._pairs.clear()
        self._management.clear()
