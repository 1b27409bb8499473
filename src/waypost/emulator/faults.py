"""Faults on demand: what goes wrong, for whom, how often, and when."""

from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from waypost.emulator.ports import Clock, Dice

Wire = dict[str, Any]

FaultKind = Literal[
    "latency",  # wait before the request is looked at
    "drop_before",  # cut the connection before accept: nothing was sent
    "drop_after",  # accept, record, then cut: the client cannot know
    "latency_after",  # accept, then keep the client waiting
    "error",  # a synchronous error code
    "failed_status",  # accept, then a failed status by webhook
    "html",  # a 200 with HTML, after accept unless accepted is false
    "truncated",  # a 200 with half a JSON body, after accept unless accepted is false
    "empty",  # a 200 without a body, after accept unless accepted is false
    "http",  # an HTTP status without a Graph envelope: 429, 500, 502, 503 ...
    "status_first",  # the first status webhook is answered before the POST's answer leaves
    "skip_delivered",  # the delivered status is never told
    "webhook_duplicate",  # the update is told again `times` times
    "webhook_delay",  # the update is told `seconds` late: later ones overtake it
    "webhook_reorder",  # two following updates are swapped
    "webhook_blackhole",  # the update is never told
    "webhook_hold",  # updates pile up until the fault is removed, then they are told
]
NONSENSE_KINDS: tuple[FaultKind, ...] = ("html", "truncated", "empty")
REFUSAL_KINDS: tuple[FaultKind, ...] = ("drop_before", "error", "http", *NONSENSE_KINDS)
UPDATE_KINDS: tuple[FaultKind, ...] = (
    "webhook_blackhole",
    "webhook_hold",
    "webhook_duplicate",
    "webhook_delay",
    "webhook_reorder",
)


class BadFault(Exception):
    """The control API was given a fault that makes no sense."""


@dataclass(slots=True)
class Fault:
    """One fault: its kind, its scope, how many times it still strikes, and its parameters.

    `edge` is the Graph edge it strikes ("messages" by default, "*" for every call). Without `count`: for ever.
    """

    id: str
    kind: FaultKind
    phone_number_id: str | None = None
    recipient: str | None = None
    edge: str = "messages"
    count: int | None = None
    probability: float = 1.0
    seconds: float = 0.0
    code: int = 131000
    subcode: int | None = None
    details: str = ""
    http_status: int | None = None
    retry_after_seconds: int | None = None
    accepted: bool = True
    times: int = 1
    statuses: tuple[str, ...] = ()
    from_at: datetime | None = None
    until_at: datetime | None = None
    struck: int = 0
    held: list[Any] = field(default_factory=list)

    def shown(self) -> Wire:
        """The fault as the control API shows it."""
        wire: Wire = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "held"}
        for name in ("from_at", "until_at"):
            wire[name] = wire[name].isoformat() if wire[name] else None
        wire["held"] = len(self.held)
        return wire


_SETTABLE = {f.name for f in fields(Fault)} - {"id", "struck", "held", "from_at", "until_at"}


class Faults:
    """The faults in force."""

    def __init__(self, clock: Clock, dice: Dice) -> None:
        self._clock = clock
        self._dice = dice
        self._count = 0
        self.active: dict[str, Fault] = {}

    def add(self, wanted: Wire) -> Fault:
        """Put a fault in force; `starts_in_seconds` and `lasts_seconds` make an outage window."""
        settings = dict(wanted)
        starts_in, lasts = settings.pop("starts_in_seconds", None), settings.pop("lasts_seconds", None)
        unknown = set(settings) - _SETTABLE
        if unknown:
            raise BadFault(f"unknown fields: {', '.join(sorted(unknown))}")
        if settings.get("kind") not in get_args(FaultKind):
            raise BadFault(f"kind must be one of {', '.join(get_args(FaultKind))}")
        if "statuses" in settings:
            settings["statuses"] = tuple(settings["statuses"])
        if settings.get("recipient"):
            settings["recipient"] = str(settings["recipient"]).lstrip("+")
        self._count += 1
        fault = Fault(id=f"fault_{self._count}", **settings)
        now = self._clock.now()
        fault.from_at = now + timedelta(seconds=float(starts_in)) if starts_in else None
        fault.until_at = (fault.from_at or now) + timedelta(seconds=float(lasts)) if lasts else None
        self.active[fault.id] = fault
        return fault

    def remove(self, fault_id: str) -> Fault | None:
        """Lift a fault."""
        return self.active.pop(fault_id, None)

    def strike(
        self,
        kinds: tuple[FaultKind, ...],
        *,
        phone_number_id: str | None,
        recipient: str | None,
        edge: str = "messages",
        status: str | None = None,
        accepted: bool = False,
    ) -> Fault | None:
        """The first fault of these kinds that strikes here and now; spends one of its strikes."""
        if not self.active:
            return None
        now = self._clock.now()
        for fault in list(self.active.values()):
            if fault.kind not in kinds or not self._in_scope(fault, phone_number_id, recipient, edge, status):
                continue
            if fault.kind in NONSENSE_KINDS and fault.accepted is not accepted:
                continue
            if fault.until_at is not None and now >= fault.until_at:
                if not fault.held:
                    self.active.pop(fault.id, None)
                continue
            if fault.count is not None and fault.struck >= fault.count:
                continue  # spent, and listed only for what it still holds
            if fault.from_at is not None and now < fault.from_at:
                continue
            if fault.probability < 1.0 and self._dice.random() >= fault.probability:
                continue
            fault.struck += 1
            if fault.count is not None and fault.struck >= fault.count:
                self.active.pop(fault.id, None)
            return fault
        return None

    @staticmethod
    def _in_scope(
        fault: Fault, phone_number_id: str | None, recipient: str | None, edge: str, status: str | None
    ) -> bool:
        if fault.phone_number_id is not None and fault.phone_number_id != phone_number_id:
            return False
        if fault.recipient is not None and fault.recipient != recipient:
            return False
        if fault.statuses and status not in fault.statuses:
            return False
        return fault.kind in UPDATE_KINDS or fault.edge in ("*", edge)
