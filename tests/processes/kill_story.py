"""The story of G1 and G2: load, faults, kill -9 at random instants, restart, drain, and three books that must agree."""

import asyncio
import contextlib
import fnmatch
import random
import resource
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes.harness import (
    Api,
    Gateway,
    add_number,
    callbacks_settled,
    hurry_callbacks,
    until,
)
from tests.processes.load import Load
from tests.processes.sink import Sink, Sinks, open_sinks, position_of
from tests.processes.verdict import (
    FINAL,
    Books,
    judge_journal,
    judge_ledger,
    judge_messages,
    judge_receipts,
    judge_sink,
    open_books,
    receipts_missing,
)

from waypost.emulator import DEMO, Emulator
from waypost.emulator.phone_acts import write
from waypost.emulator.ports import fresh_dice
from waypost.emulator.seed import add_number as add_number_at_meta

OPEN = ("accepted", "held", "retrying", "sending", "unknown")
# Emulator faults in force while the gateway is killed; probabilities per request or update.
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "latency", "seconds": 0.3, "probability": 0.10},
    {"kind": "drop_after", "probability": 0.03},
    {"kind": "drop_before", "probability": 0.02},
    {"kind": "truncated", "probability": 0.01},
    {"kind": "status_first", "probability": 0.05},
    {"kind": "latency_after", "seconds": 0.5, "probability": 0.05},
    {"kind": "http", "http_status": 503, "probability": 0.01},
    {"kind": "webhook_duplicate", "probability": 0.05},
    {"kind": "webhook_delay", "seconds": 0.7, "probability": 0.05},
    {"kind": "webhook_reorder", "probability": 0.05},
)


@dataclass(frozen=True)
class Plan:
    """How hard a run is."""

    kills: int
    seed: int
    per_second: float = 60.0
    numbers: int = 3
    contacts: int = 300
    life_seconds_max: float = 2.5
    drain_seconds_max: float = 60.0
    # Policies that wait for half a minute and more run out only where there is time for it.
    slow_policies: bool = False


@dataclass
class Run:
    """Everything of one run."""

    plan: Plan
    emulator: Emulator
    gateways: Sequence[Gateway]
    sinks: Sinks
    chance: random.Random
    caller: Api
    load: Load
    subscribers: dict[str, tuple[Sink, str, list[str]]]  # name → endpoint, id, kinds
    said: int = 0
    settled_by_hand: int = 0

    @property
    def gateway(self) -> Gateway:
        """The process, where there is one."""
        return self.gateways[0]


@contextlib.asynccontextmanager
async def opened(folder: Path, plan: Plan) -> AsyncIterator[Run]:
    """Start everything, and leave nothing behind."""
    emulator = new_emulator(plan)
    url = await emulator.start()
    emulator.webhooks.try_timeout_seconds = 3.0
    gateway = Gateway(folder, url)
    sinks = await open_sinks()
    caller: Api | None = None
    try:
        await gateway.start()
        caller = await gateway.caller()
        yield await new_run(plan, emulator, [gateway], sinks, caller)
    finally:
        if caller is not None:
            await caller.close()
        if gateway.process is not None:
            await gateway.kill()
        await sinks.close()
        await emulator.stop()


def new_emulator(plan: Plan) -> Emulator:
    """A provider with the plan's numbers, not yet started."""
    emulator = Emulator(random=fresh_dice(plan.seed))
    for turn in range(1, plan.numbers):
        add_number_at_meta(
            emulator.world,
            str(106540000000100 + turn),
            DEMO.waba_id,
            f"49155500001{turn:02d}",
            f"Number {turn}",
        )
    return emulator


async def new_run(
    plan: Plan, emulator: Emulator, gateways: Sequence[Gateway], sinks: Sinks, caller: Api
) -> Run:
    """Add the numbers and the subscribers, and have the load ready."""
    chance = random.Random(plan.seed)
    numbers = [
        (await add_number(caller, emulator, gateways[0], number_id))["id"]
        for number_id in list(emulator.world.numbers)
    ]
    contacts = [f"+49171{5000000 + turn}" for turn in range(plan.contacts)]
    load = Load(caller, numbers, contacts, chance, plan.per_second, slow_policies=plan.slow_policies)
    run = Run(plan, emulator, gateways, sinks, chance, caller, load, {})
    await subscribe(run, "batched", [], batch_events_max=100, failing=0.02)
    await subscribe(run, "single", ["message.delivered", "inbound.*"], batch_events_max=1, failing=0.03)
    return run


async def subscribe(run: Run, name: str, kinds: list[str], *, batch_events_max: int, failing: float) -> None:
    """Add a subscriber whose endpoint stumbles now and then."""
    sink = run.sinks.add(name)
    chance = random.Random(f"{run.plan.seed}{name}")
    sink.answer = lambda _: 503 if chance.random() < failing else 204
    wanted = {"url": run.sinks.url(sink), "label": name, "kinds": kinds, "batch_events_max": batch_events_max}
    made = await run.caller.post("/v1/subscribers", wanted)
    sink.secret = made["secret"]
    run.subscribers[name] = (sink, made["id"], kinds)


async def talk(run: Run) -> None:
    """Customers write while all this goes on."""
    while True:
        stage = run.emulator.stage
        number = run.chance.choice(list(stage.world.numbers.values()))
        digits = run.chance.choice(run.load.contacts).lstrip("+")
        phone = stage.world.phone_or_new(digits, DEMO.portfolio_id)
        write(stage, number, phone, {"type": "text", "text": f"word {run.said}"})
        run.said += 1
        await asyncio.sleep(0.1)


async def rage(run: Run) -> None:
    """Kill at random instants, the start of the process included, and start again each time."""
    for turn in range(run.plan.kills):
        if turn % 4:
            await run.gateway.ready()
            await asyncio.sleep(run.chance.uniform(0.01, run.plan.life_seconds_max))
        else:
            await asyncio.sleep(run.chance.uniform(0.01, run.plan.life_seconds_max))
        await run.gateway.kill()
        hurry_callbacks(run.emulator)
        await run.gateway.spawn()
    await run.gateway.ready()


async def starve(run: Run) -> None:
    """Let no file of the gateway grow, for moments at random: what a full disk does, and then it has room again."""
    for _ in range(run.plan.kills):
        await asyncio.sleep(run.chance.uniform(0.2, run.plan.life_seconds_max))
        process = run.gateway.process
        assert process is not None
        assert process.returncode is None
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        await asyncio.sleep(run.chance.uniform(0.2, 1.0))
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        hurry_callbacks(run.emulator)


async def drain(run: Run) -> None:
    """No more faults, no more load: wait until nothing is owed to anybody."""
    for fault_id in list(run.emulator.faults.active):
        fault = run.emulator.faults.remove(fault_id)
        assert fault is not None
        while fault.held:
            run.emulator.webhooks.tell(*fault.held.pop(0))
    await run.load.stop()

    left: list[Any] = []

    async def nothing_open() -> bool:
        hurry_callbacks(run.emulator)
        left[:] = [view for status in OPEN async for view in run.caller.pages("/v1/messages", status=status)]
        if callbacks_settled(run.emulator):
            await settle_by_hand(run, left)
        return not left

    try:
        await until(nothing_open, run.plan.drain_seconds_max, "every message is final", 0.5)
    except AssertionError as fault:
        statuses = Counter(f"{view['status']} of {view['class']}" for view in left)
        numbers = [number["state"] async for number in run.caller.pages("/v1/numbers")]
        detail = await run.caller.message(left[0]["id"])
        raise AssertionError(f"{fault}: {statuses}, numbers {numbers}, such as {detail}") from None
    await until(lambda: _quiet(run), 30, "the emulator has told everything", 0.2)


async def _quiet(run: Run) -> bool:
    hurry_callbacks(run.emulator)
    await asyncio.sleep(0.05)
    return callbacks_settled(run.emulator)


async def settle_by_hand(run: Run, left: list[Any]) -> None:
    """What `waypost stuck` is for: an unknown message whose class waits, and of which no receipt can come any more.

    One that the provider did take is left alone: its receipts carry our id and must settle it.
    """
    taken = {line.biz_opaque_callback_data for line in run.emulator.world.ledger}
    for view in left:
        if view["status"] != "unknown" or view["on_unknown"] != "wait":
            continue
        detail = await run.caller.message(view["id"])
        if not any(attempt["id"] in taken for attempt in detail["attempts"]):
            reply = await run.caller.call(
                "POST",
                f"/v1/messages/{view['id']}:settle",
                {"action": "fail", "reason": "no evidence, rehearsed"},
            )
            assert reply.status in (200, 409), reply.body
            run.settled_by_hand += reply.status == 200


def wanted_of(books: Books, run: Run, name: str) -> set[str]:
    """The ids of the pulled events that a subscriber asked for."""
    _, subscriber_id, kinds = run.subscribers[name]
    born = next(
        position_of(event["id"])
        for event in books.events
        if event["type"] == "subscriber.added" and event["aggregate_id"] == subscriber_id
    )
    return {
        event["id"]
        for event in books.events
        if position_of(event["id"]) > born
        and event["type"] not in ("subscriber.tested", "event.parked")
        and (not kinds or any(fnmatch.fnmatchcase(event["type"], kind) for kind in kinds))
    }


async def tell_all(run: Run) -> Books:
    """Wait until the subscribers have heard everything there is, and give the books."""
    books = await open_books(run.caller, run.emulator)

    async def told() -> bool:
        return all(
            wanted_of(books, run, name) <= sink.firsts.keys()
            for name, (sink, _, _) in run.subscribers.items()
        )

    with contextlib.suppress(AssertionError):
        # Who is still missing is told by name in the verdict.
        await until(told, 40, "the subscribers heard everything", 0.2)
    return await open_books(run.caller, run.emulator)


async def kill_story(
    folder: Path, plan: Plan, trouble: Callable[[Run], Awaitable[None]] = rage
) -> dict[str, Any]:
    """Run a plan to its end; raises AssertionError with every broken promise. Gives the figures."""
    async with opened(folder, plan) as run:
        figures = await play(run, trouble)
        assert await run.gateway.stop() == 0
        return figures


async def play(run: Run, trouble: Callable[[Run], Awaitable[None]]) -> dict[str, Any]:
    """Load and faults while the trouble lasts; then drain, and hold the books against each other."""
    loading, talking = asyncio.create_task(run.load.run()), asyncio.create_task(talk(run))
    try:
        for fault in FAULTS:
            run.emulator.fault(**fault)
        await trouble(run)
    finally:
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
    await drain(run)
    await loading
    await receipts_read(run)
    books = await tell_all(run)
    judge_messages(books, run.load)
    doubles = judge_ledger(books)
    judge_receipts(books, run.emulator)
    judge_journal(books)
    for name, (sink, _, _) in run.subscribers.items():
        judge_sink(books, sink, wanted_of(books, run, name))
    judge_inbound(books, run)
    await judge_replays(books, run)
    for gateway in run.gateways:
        books.faults += [line[:2000] for line in gateway.log.splitlines() if '"level": "error"' in line]
    figures = figures_of(books, run, doubles)
    assert not books.faults, "\n".join(
        [f"{len(books.faults)} broken promises:", *books.faults[:40], str(figures)]
    )
    assert figures["unknowns"] > 0, "a run without one unknown outcome proves too little"
    return figures


async def receipts_read(run: Run) -> None:
    """Wait until what was answered 200, which says stored, is also read; a receipt that is lost never is."""

    async def all_read() -> bool:
        return not receipts_missing(await open_books(run.caller, run.emulator), run.emulator)

    with contextlib.suppress(AssertionError):
        # What is still missing is told by name in the verdict.
        await until(all_read, 40, "every receipt is read", 0.2)


def judge_inbound(books: Books, run: Run) -> None:
    """Each word of a customer is one event."""
    heard = Counter(
        event["data"].get("provider_message_id")
        for event in books.events
        if event["type"] == "inbound.received"
    )
    said = {m.wamid for m in run.emulator.world.messages.values() if m.direction == "in"}
    books.faults += [f"inbound {wamid} was never told" for wamid in sorted(said - heard.keys())[:10]]
    books.faults += [f"inbound {wamid} was told {n} times" for wamid, n in heard.items() if n > 1]


async def judge_replays(books: Books, run: Run) -> None:
    """A key asked again after all the kills gives the same message."""
    for key in run.chance.sample(sorted(run.load.accepted), min(50, len(run.load.accepted))):
        await run.load.ask(key, run.load.bodies[key])
    books.faults += run.load.contradictions


def figures_of(books: Books, run: Run, doubles: int) -> dict[str, Any]:
    """What happened, for the report."""
    statuses = Counter(view["status"] for view in books.messages.values())
    assert set(statuses) <= FINAL or books.faults
    return {
        "seed": run.plan.seed,
        "kills": sum(gateway.starts - 1 for gateway in run.gateways),
        "accepted": len(run.load.accepted),
        "answers": dict(run.load.answers),
        "final": dict(statuses),
        "attempts": len(books.attempts),
        "unknowns": len(books.unknown),
        "settled_by_hand": run.settled_by_hand,
        "doubles": doubles,
        "inbound": run.said,
        "events": len(books.events),
        "told": {
            name: {
                "first": len(sink.firsts),
                "again": sink.again,
                "posts": sink.posts,
                "refused": sink.refused,
            }
            for name, (sink, _, _) in run.subscribers.items()
        },
    }
