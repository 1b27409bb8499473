"""Wires the rooms into one gateway: its parts, its two faces, its loops; started and stopped in order."""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from starlette.types import ASGIApp

from waypost.app.brokers import brokers
from waypost.app.disk import DiskWatch
from waypost.app.execution import ThreadedExecution
from waypost.app.listening import Ears
from waypost.app.loops import Loop
from waypost.app.opening import open_engine
from waypost.app.ports import PooledRandomness, SystemClock, SystemRandomness
from waypost.app.probe import StoreProbe
from waypost.app.second_place import open_second_place
from waypost.app.shared_clock import SharedClock
from waypost.config import Config, Outbox
from waypost.domain.ids import IdSource
from waypost.domain.ports import Clock
from waypost.domain.retry import RetryRules
from waypost.inbox.accept import CallbackInbox
from waypost.inbox.reader import Reader
from waypost.numbers.access import AccessBook
from waypost.numbers.health import HealthRefresher
from waypost.numbers.media import MediaFetcher, Uploads
from waypost.numbers.media_files import MediaFiles
from waypost.numbers.registry import Numbers
from waypost.numbers.templates import NumberPreflight, TemplateBook, Templates, TemplateSync
from waypost.operations.withdrawing import Withdrawals
from waypost.outbox.accept import Acceptor
from waypost.outbox.holding import Holding
from waypost.outbox.sender import Sender
from waypost.outbox.sweeper import Sweeper
from waypost.store.database import Store
from waypost.store.engine import Committed, Engine
from waypost.transports.cloud_api.api import CloudApi, new_wire
from waypost.transports.cloud_api.management import Management
from waypost.transports.cloud_api.media import CloudMedia
from waypost.transports.egress import Egress
from waypost.web.api.operations import release
from waypost.web.asgi import application
from waypost.web.auth import bootstrap
from waypost.web.parts import Parts
from waypost.web.routes import all_routes
from waypost.webhooks.teller import Teller

log = structlog.get_logger("waypost.app")
Step = Callable[[], Awaitable[float]]
Loops = tuple[Loop, ...]


class Gateway:
    """A built gateway. `close` alone ends one whose loops were never started."""

    def __init__(self, config: Config, engine: Engine, execution: ThreadedExecution, owner: str) -> None:
        self.config, self._engine, self._execution = config, engine, execution
        clock = _clock(engine)
        randomness = SystemRandomness()
        ids = IdSource(PooledRandomness())
        self.store = store = Store(engine, execution)
        self.disk = DiskWatch(Path(config.store.path).absolute().parent, config.store.disk_free_bytes_min)
        self._wire = new_wire(config.cloud_api, config.outbox.provider_timeout_seconds)
        transport, management, media = CloudApi(self._wire), Management(self._wire), CloudMedia(self._wire)
        self._egress = Egress(config.webhooks.allow_private_addresses)
        self._access = access = AccessBook(store, clock)
        files = MediaFiles(Path(config.inbox.media_dir), config.inbox.media_bytes_max, asyncio.to_thread)
        self._files = files
        self.holding = _holding(store, clock, config, owner)
        self.sender = Sender(
            store, transport, access.access_of, clock, self.holding,
            in_flight_max=config.claims_in_flight_max,
            per_number_in_flight_max=config.outbox.per_number_in_flight_max,
            rules=_rules(config.outbox),
        )  # fmt: skip
        self.teller = Teller(store, clock, randomness, self._egress.post, config.webhooks)
        reader = Reader(store, clock, config.inbox, _rules(config.outbox))
        book = TemplateBook(store, clock)
        preflight = NumberPreflight(store, book, clock)
        sync = TemplateSync(store, management, access, clock)
        acceptor = Acceptor(store, preflight, ids, clock, self.disk.check, self.sender.expect)
        self._withdrawals = Withdrawals(store, clock, open_second_place(config), asyncio.to_thread, _replayed)
        self.parts = Parts(
            store=store,
            clock=clock,
            ids=ids,
            randomness=randomness,
            config=config,
            readiness=(self._why_not_ready, self._withdrawals.why_not_ready),
            stop=self._stop_soon,
            transport=transport,
            access_of=access.access_of,
            cloud=management,
            acceptor=acceptor,
            inbox=CallbackInbox(store, clock, self.disk.check),
            numbers=Numbers(store, management, access, config.cloud_api, clock),
            templates=Templates(store, management, access, clock),
            template_book=book,
            template_sync=sync,
            uploads=Uploads(store, media, access, files, ids, clock),
            media_files=files,
            egress=self._egress,
            withdrawals=self._withdrawals,
        )
        execution.told = self.parts.metrics.batch
        self._brokers = brokers(config, store, acceptor, clock, self.parts.metrics.queued)
        fetcher = MediaFetcher(
            store, media, access, files, clock,
            bytes_max=config.inbox.media_bytes_max, attempts_max=config.inbox.media_attempts_max,
        )  # fmt: skip
        health = HealthRefresher(store, management, access, clock, config.cloud_api.health_refresh_seconds)
        workers = (Sweeper(store, clock, config.outbox.sweep_interval_seconds), reader, fetcher, health, sync)
        self._loops = self._new_loops(*(each.step for each in workers)) + _loops_of(clock)
        self._ears = Ears(store)
        self._by_work = {"callbacks": self._loop("reader"), "media": self._loop("media")}
        self._tasks: list[asyncio.Task[None]] = []
        self._probe = StoreProbe(store, clock.monotonic)
        self._draining = False
        self.told_to_stop = asyncio.Event()
        # On a fresh store: the key made for its owner, the only time it is seen.
        self.first_key: str | None = None
        routes = all_routes(config)
        self.application: ASGIApp = application(self.parts, routes)
        self.local_application: ASGIApp = application(self.parts, routes, local=True)

    def _new_loops(self, sweep: Step, read: Step, fetch: Step, refresh: Step, synchronise: Step) -> Loops:
        role, teller = self.holding.role, self.teller
        # Alone, nobody else would tell: an endpoint gets all its time to answer.
        rest = teller.rest if self._engine.shared else teller.drain
        return (
            Loop("sender", self.sender.step, self.sender.woken),
            Loop("sweeper", sweep, role=role("sweeper")),
            Loop("reader", read, role=role("reader")),
            Loop("teller", teller.step, teller.woken, role=role("teller"), begin=teller.begin, rest=rest),
            Loop("media", fetch, role=role("fetcher")),
            Loop("health", refresh, role=role("health")),
            Loop("templates", synchronise, role=role("templates")),
            Loop("withdrawals", self._withdrawals.step, role=role("withdrawals")),
            *self._broker_loops(),
        )

    def _broker_loops(self) -> Loops:
        # Drafts are taken by every process; the journal goes out through one, so that it keeps its order.
        sources = (Loop(f"source {each.name}", each.step) for each in self._brokers.sources)
        forwards = (
            Loop(
                f"forward {each.name}", each.step, each.woken,
                role=self.holding.role(f"forward {each.name}"), begin=each.begin,
            )
            for each in self._brokers.forwards
        )  # fmt: skip
        return (*sources, *forwards)

    def _told(self, commit: Committed) -> None:
        for work in commit.waiting & self._by_work.keys():
            self._by_work[work].woken.set()
        if "keys" in commit.waiting:
            self.parts.key_cache.forget()
        if "access" in commit.waiting:
            self._access.forget_all()
            if self.parts.inbox is not None:
                self.parts.inbox.forget()

    def _loop(self, name: str) -> Loop:
        return next(loop for loop in self._loops if loop.name == name)

    async def start(self) -> None:
        """Make the first tenant and key on a fresh store, recover what a dead process left, then run the loops."""
        self.first_key = await bootstrap(self.parts)
        if not self._engine.shared:
            # A folder that processes share may be in the middle of taking another one's.
            self._files.clear_incoming()
        found = await self.sender.recover()
        if found:
            log.warning("attempts_without_outcome", count=found)
        # Known to the others before it is ready: a balancer may take another away for it.
        await self.holding.keep({})
        await self.parts.metrics.begin(self.store, self.parts.clock.now())
        self.store.follow(self._told)
        self._ears.start()
        self._tasks = [asyncio.create_task(loop.run(), name=loop.name) for loop in self._loops]

    async def _why_not_ready(self) -> str | None:
        if self._draining:
            return "draining"
        if not self._tasks:
            return "not started"
        if (fault := await self._probe.why_not()) is not None:
            return fault
        if self.disk.low():
            return "the disk is nearly full"
        stopped = [task.get_name() for task in self._tasks if task.done()]
        if stopped:
            return f"stopped: {', '.join(stopped)}"
        return None

    def _stop_soon(self) -> tuple[int, int]:
        """Be told to stop, as SIGTERM does; gives this process's id and how many attempts are being spoken."""
        self._draining = True
        self.told_to_stop.set()
        return os.getpid(), self.sender.in_flight

    def drain(self) -> None:
        """Say `not ready` from now on and end the streams; what is under way goes on."""
        self._draining = True
        self.parts.bell.close()

    async def stop(self) -> None:
        """Hand the lanes over, end the loops after their present step and let what is under way end, hand the roles
        over, close."""
        self._draining = True
        self._brokers.drain()
        for loop in self._loops:
            loop.stop()
        by_name = {task.get_name(): task for task in self._tasks}
        await asyncio.gather(self._end_sending(by_name.pop("sender", None)), *by_name.values())
        self._tasks = []
        await self.holding.leave()
        await self.close()

    async def _end_sending(self, stepping: asyncio.Task[None] | None) -> None:
        # Before the other loops have come to rest: other processes go on sending at once.
        if stepping is not None:
            await stepping
            await self.sender.drain()

    async def close(self) -> None:
        """Close connections, threads and the database."""
        await self._ears.stop()
        await self._brokers.close()
        await self._wire.close()
        await self._egress.close()
        self._withdrawals.close()
        await self._execution.close()
        self._engine.close()


def _holding(store: Store, clock: Clock, config: Config, owner: str) -> Holding:
    return Holding(
        store,
        clock,
        owner=owner,
        alone=not store.engine.shared,
        lease_seconds=config.outbox.lease_seconds,
        call_seconds=config.outbox.provider_timeout_seconds,
        capacity=config.claims_in_flight_max,
        roles=(
            *("fetcher", "health", "reader", "sweeper", "teller", "templates", "withdrawals"),
            *(f"forward {row.broker}:{row.queue}" for row in config.queues.forward_rows),
        ),
        release=release(),
    )


def _clock(engine: Engine) -> SystemClock | SharedClock:
    return SystemClock() if not engine.shared else SharedClock(engine.time_ms, SystemClock().monotonic)


def _loops_of(clock: SystemClock | SharedClock) -> Loops:
    return (Loop("clock", clock.step),) if isinstance(clock, SharedClock) else ()


def _replayed(applied: int | None) -> None:
    if applied is None:
        log.warning("restored_without_second_place", remedy="withdrawals after the backup are not known")
    else:
        log.info("second_place_replayed", applied=applied)


def _rules(settings: Outbox) -> RetryRules:
    return RetryRules(settings.attempts_max, settings.backoff_seconds_min, settings.backoff_seconds_max)


async def build(config: Config) -> Gateway:
    """Open the store of this configuration (made when there is none) and wire a gateway around it."""
    owner = f"gateway-{secrets.token_hex(8)}"
    engine = open_engine(config, owner)
    execution = ThreadedExecution(
        engine,
        batch_max=config.store.batch_rows_max,
        queue_max=config.store.queue_rows_max,
        readers=config.store.read_connections,
    )
    return Gateway(config, engine, execution, owner)
