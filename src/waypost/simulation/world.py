"""One seeded run: a plan becomes a world of processes, callers, a provider and subscribers, lives through its trouble,
comes to rest, is down for days, and comes to rest again."""

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from waypost.domain.ids import IdSource
from waypost.domain.times import to_ms
from waypost.simulation import invariants
from waypost.simulation.clocks import ProcessClock, SeededChance, WallClock, stream
from waypost.simulation.endpoints import Endpoint
from waypost.simulation.execution import SimulatedExecution
from waypost.simulation.history import Story
from waypost.simulation.loop import SeededLoop
from waypost.simulation.outside import Outside
from waypost.simulation.plan import (
    AT_COMMITS,
    LEASE_SECONDS,
    OF_ENDPOINTS,
    TROUBLE_SECONDS,
    Fault,
    Inbound,
    Plan,
    Text,
)
from waypost.simulation.process import Ports, SimulatedProcess
from waypost.simulation.provider import SimulatedTransport
from waypost.simulation.settling import settle
from waypost.simulation.watch import Listener, Violation, Watch
from waypost.store import rehearsal
from waypost.store.codec import Codec
from waypost.store.database import Store
from waypost.store.engine import Committed
from waypost.store.rehearsal import MemoryEngine
from waypost.transports.base import Transport

# Longer than any wait of the plan: a lease, the longest backoff, a poll, an endpoint's wait after several failures.
_CALM_SECONDS_MAX = 240.0
_LOOK_SECONDS = 2.0
# Fairness: a lane with something to send sends within this, once nothing goes wrong any more.
_STARVING_SECONDS = 2 * LEASE_SECONDS + 20.0
# Past every deadline of an unknown outcome (six hours) and every expiry of a plan.
_LEAP_SECONDS = 4 * 86_400.0


class Outcome(Struct, frozen=True):
    """How a run ended. `digest`: the same only for the same journal."""

    seed: int
    violation: Violation | None
    steps: int
    messages: int
    digest: int


class World:
    """Everything of one run."""

    def __init__(self, plan: Plan, engine: MemoryEngine) -> None:
        self.plan, self.engine = plan, engine
        self.chance = stream("world", plan.seed)
        self.loop = SeededLoop(stream("order", plan.seed))  # type: ignore[abstract]
        self.wall = WallClock(self.loop)
        self.outside = Outside(plan, self.loop, self.wall, self.chance, self._pick)
        self.provider = self.outside.provider
        engine.empty(IdSource(SeededChance(stream("ids", plan.seed))))
        self.watch = Watch(
            engine.reading(), self.provider.ledger, self.loop.stop, self.loop.time, plan.in_flight_max
        )
        self.processes: list[SimulatedProcess | None] = [None] * plan.processes
        self._lives = [0] * plan.processes
        self._at_commits: dict[int, list[Fault]] = {}
        self._commits: list[dict[str, int]] = [{} for _ in range(plan.processes)]
        self.is_calm = False

    # What happens ------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Live through the plan."""
        try:
            self._begin()
            self.loop.run_until(TROUBLE_SECONDS)
            self._calm_down()
            self._rest("at_rest")
            if self.watch.violation is None:
                self._sleep_for_days()
                self._rest("at_rest_in_the_end")
            self._judge()
        finally:
            self.loop.close()
        watch = self.watch
        return Outcome(
            self.plan.seed, watch.violation, watch.steps, len(watch.history.stories), watch.digest()
        )

    def _begin(self) -> None:
        store = Store(self.engine)
        settled = self.loop.spawn(self.loop.world, settle(store, self.plan, self.provider, self.wall.now()))
        self.loop.run_until(0.0)
        for subscriber_id, since, secret in settled.result():
            took = partial(self.watch.took, subscriber_id)
            self.watch.listeners[subscriber_id] = Listener(subscriber_id, since)
            self.outside.endpoints[subscriber_id] = Endpoint(
                self.loop, self.chance, secret, took, self.watch.broken
            )
        self.watch.history.position = 0
        self.watch.committed("world", -1)
        for item in self.plan.items:
            match item:
                case Text():
                    self._later(item.at_seconds, self.outside.send, item)
                case Inbound():
                    self._later(item.at_seconds, self.outside.write, item)
                case Fault() if item.trouble in AT_COMMITS:
                    self._at_commits.setdefault(item.place, []).append(item)
                case Fault():
                    self._later(item.at_seconds, self._trouble, item)
        for place in range(self.plan.processes):
            self._start(place)

    def _later(self, seconds: float, work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        async def waited() -> None:
            await self.loop.sleep(seconds)
            await work(*args)

        self.loop.spawn(self.loop.world, waited())

    # Processes ---------------------------------------------------------------------------------------------------

    def _start(self, place: int) -> None:
        self._lives[place] += 1
        name = f"p{place}.{self._lives[place]}"
        actor = self.loop.new_actor(name)
        clock = ProcessClock(self.loop, self.wall)
        execution = SimulatedExecution(
            self.loop,
            self.engine,
            self.chance,
            partial(self._at_commit, place),
            partial(self._fails, place),
            partial(self._committed, name),
        )
        store = Store(self.engine, execution)
        ports = Ports(
            self.loop,
            actor,
            clock,
            execution,
            self._transport,
            self.outside.post_webhook,
            self.chance,
            self.plan.in_flight_max,
        )
        # Made in its actor's context: whatever it schedules while being made is its own.
        process = actor.context.run(SimulatedProcess, name, store, ports)
        self.processes[place] = process
        self.loop.spawn(actor, process.run())
        self.watch.note(name, "starts")

    def _at_commit(self, place: int, operations: frozenset[str]) -> Fault | None:
        if self.is_calm:
            return None
        counts = self._commits[place]
        for operation in ("", *operations):
            counts[operation] = counts.get(operation, 0) + 1
        for fault in self._at_commits.get(place, ()):
            if fault.operation in ("", *operations) and counts[fault.operation] == int(fault.amount):
                return fault
        return None

    def _fails(self, place: int, fault: Fault) -> None:
        if fault.trouble in ("crash_before_commit", "crash_after_commit"):
            self._die(place)
            self._later(fault.for_seconds, self._restart, place)
        elif (process := self.processes[place]) is not None:
            self._impair(process, fault, True)
            self._later(fault.for_seconds, self._recover, process, fault)

    async def _recover(self, process: SimulatedProcess, fault: Fault) -> None:
        self._impair(process, fault, False)

    def _transport(self, process: SimulatedProcess) -> Transport:
        def speaks(name: str, number_id: str, echo: str) -> None:
            self.watch.spoken(name, echo, to_ms(self.wall.now()), process.clock.is_misled)

        return SimulatedTransport(self.loop, self.provider, process, speaks)

    def _die(self, place: int) -> None:
        process = self.processes[place]
        if process is not None:
            self.watch.note(process.name, "dies")
            self.loop.kill(process.actor)
            self.processes[place] = None

    async def _restart(self, place: int) -> None:
        if self.processes[place] is None:
            self._start(place)

    def _committed(self, name: str, commits: Sequence[Committed]) -> None:
        self.watch.committed(name, commits[-1].position if commits else -1)
        lossy = 0.0 if self.is_calm else self.plan.lossy
        for other in self.processes:
            if other is None or other.name == name:
                continue
            for commit in commits:
                if commit.is_news and self.chance.random() >= lossy:
                    seconds = self.chance.random() * 0.1
                    self.loop.call_later(seconds, other.hear, commit, context=other.actor.context)

    def _pick(self) -> SimulatedProcess | None:
        alive = [p for p in self.processes if p is not None and not p.is_stopping]
        return self.chance.choice(alive) if alive else None

    # Trouble and calm --------------------------------------------------------------------------------------------

    async def _trouble(self, fault: Fault) -> None:
        if fault.trouble in OF_ENDPOINTS:
            endpoint = list(self.outside.endpoints.values())[fault.place]
            endpoint.trouble = fault.trouble
            await self.loop.sleep(fault.for_seconds)
            endpoint.trouble = None
            return
        process = self.processes[fault.place]
        if process is None or self.is_calm:
            return
        match fault.trouble:
            case "crash":
                self._die(fault.place)
                await self.loop.sleep(fault.for_seconds)
                await self._restart(fault.place)
            case "stop":
                await self.stop_in_order(fault.place, process)
                await self.loop.sleep(fault.for_seconds)
                await self._restart(fault.place)
            case "clock_error":
                self.watch.note(process.name, f"its clock is {fault.amount} s off")
                process.clock.error_seconds = fault.amount
            case _:
                self._impair(process, fault, True)
                await self.loop.sleep(fault.for_seconds)
                self._impair(process, fault, False)

    def _impair(self, process: SimulatedProcess, fault: Fault, begins: bool) -> None:
        match fault.trouble:
            case "pause" | "pause_before_commit" | "pause_after_commit":
                process.actor.is_paused = begins
                self.watch.note(process.name, "is paused" if begins else "goes on")
            case "suspend":
                process.actor.is_paused = begins
                self.watch.note(process.name, "is suspended" if begins else "is resumed")
                if begins:
                    process.suspended_at = self.loop.time()
                elif process.suspended_at is not None:
                    process.clock.resume(self.loop.time() - process.suspended_at)
                    process.suspended_at = None
            case "slow_store":
                self.watch.note(process.name, f"its store is {'slow' if begins else 'quick'}")
                process.execution.is_slow = begins
            case "refusing_store":
                self.watch.note(process.name, f"its store {'refuses' if begins else 'takes'}")
                process.execution.is_refusing = begins
            case _:
                self.watch.note(process.name, f"is {'deaf' if begins else 'deaf no more'}")
                process.is_deaf = begins

    async def stop_in_order(self, place: int, process: SimulatedProcess) -> None:
        """Stop a process as SIGTERM does; it is gone when it has ended, or is killed when that takes too long."""
        process.is_stopping = True
        ended = self.loop.spawn(process.actor, process.stop())
        for _ in range(60):
            if ended.done() or self.processes[place] is not process:
                break
            await self.loop.sleep(0.5)
        if self.processes[place] is process:
            self._die(place)

    def _calm_down(self) -> None:
        self.is_calm = self.provider.is_calm = True
        for endpoint in self.outside.endpoints.values():
            endpoint.trouble = None
        for place, process in enumerate(self.processes):
            if process is None:
                self._start(place)
                continue
            if process.suspended_at is not None:
                process.clock.resume(self.loop.time() - process.suspended_at)
                process.suspended_at = None
            process.actor.is_paused = process.is_deaf = False
            process.execution.is_slow = process.execution.is_refusing = False
        self.watch.note("world", "is calm")

    def _sleep_for_days(self) -> None:
        """Everything is down for days, and then begins again."""
        for place in range(self.plan.processes):
            self._die(place)
        self.wall.leapt_seconds += _LEAP_SECONDS
        self.watch.note("world", "days later")
        for place in range(self.plan.processes):
            self._start(place)

    def _rest(self, name: str) -> None:
        """Go on until all is at rest; nobody may starve meanwhile."""
        watch, waiting_since = self.watch, dict.fromkeys(self.provider.lines, self.loop.time())
        ends_at = self.loop.time() + _CALM_SECONDS_MAX
        while watch.violation is None:
            self.loop.run_until(self.loop.time() + _LOOK_SECONDS)
            now_ms = to_ms(self.wall.now())
            going = {story.row.number_id for story in invariants.sendable(watch.history, now_ms)}
            for number_id in waiting_since:
                if number_id not in going:
                    waiting_since[number_id] = self.loop.time()
                elif self.loop.time() - waiting_since[number_id] > _STARVING_SECONDS:
                    watch.broken("nobody_starves", f"the lane of {number_id} has work and sends nothing")
            why = self._unrest(leapt=self.wall.leapt_seconds > 0)
            if why is None:
                return
            if self.loop.time() >= ends_at:
                watch.broken(name, why)

    def _unrest(self, leapt: bool) -> str | None:
        """Say what is not at rest yet."""
        texts = {item.key for item in self.plan.items if isinstance(item, Text)}
        if not texts <= self.outside.settled:
            return f"callers still wait: {sorted(texts - self.outside.settled)}"
        for story in self.watch.stories():
            if story.is_final:
                continue
            if leapt or (story.status != "unknown" and not self._waits_rightly(story)):
                return f"{story.row.id} is {story.status} ({story.reason})"
        if rehearsal.callbacks_by_state(self.watch.reading).get("stored"):
            return "callbacks wait to be read"
        if not self.watch.is_all_told():
            return "subscribers were not told everything"
        return None

    def _waits_rightly(self, story: Story) -> bool:
        """Say whether a waiting message waits behind an unknown one, which may take hours to be given up."""
        if story.status == "sending":
            return False
        stories = self.watch.history.conversations[story.conversation]
        return any(each.status == "unknown" for each in stories if each is not story)

    def _judge(self) -> None:
        watch, history = self.watch, self.watch.history
        if watch.violation is not None:
            return
        watch.check("accepted_is_kept", invariants.accepted_is_kept(self.outside.accepted, history))
        watch.check("rows_say_what_the_journal_says", invariants.rows_say_what_the_journal_says(history))
        proven: dict[str, set[str]] = {echo: set(names) for echo, names in self.provider.proven.items()}
        watch.check(
            "answered_callbacks_are_applied", invariants.answered_callbacks_are_applied(history, proven)
        )
        watch.check("doubles_were_declared", invariants.doubles_were_declared(history, self.provider.ledger))
        watch.check(
            "heard_is_kept",
            invariants.heard_is_kept(self.provider.heard, rehearsal.inbound_ids(watch.reading)),
        )
        for listener in watch.listeners.values():
            story = invariants.all_are_told(listener.id, listener.wanted, listener.told, listener.parked)
            watch.check("all_are_told", story)
        if self.loop.faults:
            watch.broken("nothing_is_left_uncaught", self.loop.faults[0])


def new_engine() -> MemoryEngine:
    """Make the database that many runs share, one after the other."""
    chance = SeededChance(stream("engine", 0))
    return MemoryEngine(Codec(b"k" * 32, chance), IdSource(chance), "t1")


def run(plan: Plan, engine: MemoryEngine) -> Outcome:
    """Run one plan."""
    return World(plan, engine).run()
