"""Tells subscribers what the journal says, from each one's mark on, until each says yes.

`step` reads the journal's end once for everybody, lets who is behind catch up, starts POSTs where there is something
to tell and room to do so, and writes progress in the background: always after the answer it rests on. A crash between
the two means that the same webhook, with the same id, is sent again. A subscriber that is slow or dead holds its own
share of the connections and nothing else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

import structlog

from waypost.config import Webhooks
from waypost.domain.errors import Unavailable
from waypost.domain.ports import Clock, Randomness
from waypost.domain.times import to_ms
from waypost.store import subscriber_progress as progress
from waypost.store import subscribers
from waypost.store.database import Store
from waypost.store.engine import Committed
from waypost.store.journal import position_now
from waypost.store.processes import Fence
from waypost.transports.egress import Reply, Unreachable
from waypost.webhooks.backlog import WINDOW_EVENTS, Entry
from waypost.webhooks.follower import Follower, Rules
from waypost.webhooks.payloads import body_of, tellings
from waypost.webhooks.signing import signed_headers
from waypost.webhooks.tail import Tail
from waypost.webhooks.verdicts import verdict_of

log = structlog.get_logger("waypost.webhooks")

Post = Callable[[str, Mapping[str, str], bytes, float], Awaitable[Reply | Unreachable]]

_PAGE_EVENTS = 1000
# Catching up takes turns, so that a hundred subscribers that are far behind don't keep the others from being told.
_CATCH_UPS_PER_STEP = 4
_REBUILDS_PER_STEP = 16
# A mark that moves over filtered events only is written this often: a crash costs looking at them again.
_MARK_WRITTEN_MS = 5_000
# Content held in memory longer than this is read again before it is told: it may have been erased.
_CONTENT_FRESH_MS = 30_000
_IDLE_SECONDS_MAX = 5.0
# At a hand-over an endpoint that is slower than this is told the same again by the next teller.
_REST_SECONDS = 1.0


class Teller:
    """Follows the journal for all active subscribers; `woken` is set when `step` has something to do."""

    def __init__(
        self, store: Store, clock: Clock, randomness: Randomness, post: Post, config: Webhooks
    ) -> None:
        self._store, self._clock, self._randomness, self._post = store, clock, randomness, post
        self._config = config
        self._rules = Rules(
            tuple(int(each * 1000) for each in config.retry_delays_seconds),
            int(config.park_after_seconds * 1000),
            int(config.pause_after_seconds * 1000),
        )
        self._followers: dict[str, Follower] = {}
        self._tail: Tail | None = None
        self._contents_from: dict[str, int] = {}  # tenant → position behind which the tail has its contents
        self._to_read: set[str] = set()  # subscribers to read from the store
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing: asyncio.Task[None] | None = None
        self._being_written: frozenset[str] = frozenset()
        self._turn = 0
        self._draining = False
        self._fence: Fence | None = None
        self.woken = asyncio.Event()
        store.follow(self._told)

    def begin(self, fence: Fence) -> None:
        """Start from what the store says: this process is the teller now, under `fence`."""
        self._fence, self._draining = fence, False
        self._forget()

    def _forget(self) -> None:
        """Drop all that is remembered; what is on the wire ends without a consequence, and is told again."""
        self._followers.clear()
        self._contents_from.clear()
        self._to_read.clear()
        self._tail = None
        self.woken.set()

    def _told(self, commit: Committed) -> None:
        # Before there is a tail nothing was read yet that a commit could have come after: a process that does not tell
        # sleeps through what the others commit.
        if self._tail is not None and commit.position > self._tail.end:
            self.woken.set()

    @property
    def in_flight(self) -> int:
        """Give the number of POSTs under way."""
        return len(self._tasks)

    async def step(self) -> float:
        """Do what is due; gives seconds until it wants to run again, sooner when `woken`."""
        now = self._clock.now()
        now_ms = to_ms(now)
        if self._tail is None:
            self._tail = Tail(await self._store.read(position_now))
            self._to_read.update(await self._store.read(subscribers.active_ids))
        is_behind = await self._read_end(self._tail, now_ms)
        is_behind |= await self._rebuild(self._tail, now_ms)
        is_behind |= await self._fill(self._tail, now_ms)
        if not self._draining:
            self._launch(now_ms)
        self._write(now)
        return 0.0 if is_behind and not self._draining else self._idle_seconds(now_ms)

    async def _read_end(self, tail: Tail, now_ms: int) -> bool:
        tenants = frozenset(follower.tenant_id for follower in self._followers.values())
        for tenant_id in tenants - self._contents_from.keys():
            self._contents_from[tenant_id] = tail.end
        for tenant_id in self._contents_from.keys() - tenants:
            del self._contents_from[tenant_id]
        if not tenants:
            end, changed = await self._store.read(progress.changed, tail.end)
            tail.skip(end)
            self._to_read.update(changed)
            return False
        page = await self._store.read(progress.head, tail.end, _PAGE_EVENTS, tenants)
        tail.extend(tellings(page.events, page.contents, now_ms), page.upto)
        self._to_read.update(event.aggregate_id for event in page.events if progress.speaks_of_change(event))
        return len(page.events) >= _PAGE_EVENTS

    async def _rebuild(self, tail: Tail, now_ms: int) -> bool:
        """Read subscribers that are new, changed, or due again after a failure. Gives whether more are to be read."""
        for follower in self._followers.values():
            if follower.id in self._to_read or (
                follower.backlog is None and now_ms >= follower.health.next_try_at
            ):
                follower.stale = True
                self._to_read.add(follower.id)
            elif follower.is_failing and now_ms < follower.health.next_try_at and self._is_free(follower):
                # Nothing is told for a while: what could be erased meanwhile is not kept in memory.
                follower.backlog = None
        ready = [key for key in sorted(self._to_read) if self._is_free(self._followers.get(key))]
        for subscriber_id in ready[:_REBUILDS_PER_STEP]:
            self._to_read.discard(subscriber_id)
            standing = await self._store.read(progress.standing, subscriber_id)
            known = self._followers.get(subscriber_id)
            if standing is None:
                self._followers.pop(subscriber_id, None)
            elif known is not None:
                known.begin(standing, now_ms)
            else:
                self._followers[subscriber_id] = Follower(
                    standing, self._rules, self._randomness.random, now_ms
                )
        return bool(ready)

    def _is_free(self, follower: Follower | None) -> bool:
        """Say whether nothing of this follower is on the wire or being written."""
        return follower is None or (follower.is_settled and follower.id not in self._being_written)

    async def _fill(self, tail: Tail, now_ms: int) -> bool:
        """Give each follower its next events; from the shared tail, or from its own place in the journal."""
        catch_ups = _CATCH_UPS_PER_STEP
        is_behind = False
        for follower in self._in_turn():
            backlog = follower.backlog
            if backlog is None or not follower.may_read(now_ms) or backlog.read_to >= tail.end:
                continue
            room = backlog.room
            if room <= 0:
                continue
            contents_from = self._contents_from.get(follower.tenant_id)
            if contents_from is not None and backlog.read_to >= max(tail.begin, contents_from):
                wanted, upto = tail.wanted(backlog.read_to, room, follower.wants)
                backlog.admit(wanted, upto, now_ms)
            elif catch_ups and room >= WINDOW_EVENTS // 2:
                catch_ups -= 1
                page = await self._store.read(
                    progress.behind,
                    follower.tenant_id,
                    backlog.read_to,
                    min(room, _PAGE_EVENTS),
                    follower.wants,
                )
                backlog.admit(tellings(page.events, page.contents, now_ms), page.upto, now_ms)
                is_behind = is_behind or page.upto < tail.end
            elif room >= WINDOW_EVENTS // 2:
                is_behind = True
        return is_behind

    def _in_turn(self) -> list[Follower]:
        followers = list(self._followers.values())
        self._turn += 1
        start = self._turn % max(len(followers), 1)
        return followers[start:] + followers[:start]

    def _launch(self, now_ms: int) -> None:
        slots = self._config.in_flight_max
        most = self._config.per_subscriber_in_flight_max
        fair = min(most, max(1, slots // max(1, len(self._followers))))
        hungry = self._in_turn()
        while hungry:
            still = []
            for follower in hungry:
                free = slots - len(self._tasks)
                # Above its fair share nobody gets into the last half: that is kept for who has none yet.
                if free > 0 and follower.wants_to_fly(now_ms, most if free > slots // 2 else fair):
                    entries, turn = follower.take()
                    if entries:
                        self._start(follower, entries, turn)
                        still.append(follower)
            hungry = still

    def _start(self, follower: Follower, entries: list[Entry], turn: int) -> None:
        task = asyncio.create_task(self._tell(follower, entries, turn))
        self._tasks.add(task)
        task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("webhook_abandoned", error=type(error).__name__)
        self.woken.set()

    async def _tell(self, follower: Follower, entries: list[Entry], turn: int) -> None:
        answer: Reply | Unreachable
        try:
            await self._freshen(follower, entries)
            told = [entry.telling for entry in entries if entry.telling is not None]
            if not told:
                follower.dropped(entries, to_ms(self._clock.now()))
                return
            webhook_id, body = body_of(told, follower.batch_events_max > 1)
            headers = signed_headers(webhook_id, body, follower.keys, self._clock.now())
            answer = await self._post(follower.url, headers, body, self._config.timeout_seconds)
        except Unavailable as fault:
            answer = Unreachable(fault.code)
        except Exception as error:
            # Whatever escapes is our bug: the endpoint waits like a failing one, and nothing is lost.
            log.error("webhook_failed", subscriber_id=follower.id, error=type(error).__name__)
            answer = Unreachable("internal_error")
        now = self._clock.now()
        verdict = verdict_of(answer, now)
        if verdict.meaning != "told":
            log.info("webhook_refused", subscriber_id=follower.id, fault=verdict.fault, events=len(entries))
        follower.answered(entries, verdict, turn, to_ms(now))

    async def _freshen(self, follower: Follower, entries: Sequence[Entry]) -> None:
        oldest = to_ms(self._clock.now()) - _CONTENT_FRESH_MS
        old = [entry for entry in entries if entry.telling is None or entry.telling.read_at < oldest]
        if old:
            page = await self._store.read(progress.at, follower.tenant_id, [entry.position for entry in old])
            read_at = to_ms(self._clock.now())
            found = {each.event.position: each for each in tellings(page.events, page.contents, read_at)}
            for entry in old:
                entry.telling = found.get(entry.position)

    def _write(self, now: datetime) -> None:
        """Start writing the progress of all followers that have some, unless a write is under way."""
        if self._writing is not None:
            return
        now_ms = to_ms(now)
        moves = []
        for follower in self._followers.values():
            is_late = now_ms - follower.written_at >= _MARK_WRITTEN_MS or self._draining
            if follower.has_news or (is_late and follower.has_moved):
                move = follower.harvest(now_ms)
                if move is not None:
                    moves.append(move)
        if moves:
            self._being_written = frozenset(move.subscriber_id for move in moves)
            self._writing = asyncio.create_task(
                self._advance(progress.Advance(tuple(moves), now, self._fence))
            )
            self._writing.add_done_callback(self._written)

    async def _advance(self, item: progress.Advance) -> None:
        while True:
            try:
                if not await self._store.write(progress.advance, item) and item.fence == self._fence:
                    log.warning("teller_was_succeeded")
                    self._forget()
                return
            except Unavailable as fault:
                # Until this is written nothing newer is, so the windows fill up and telling stops by itself.
                log.warning("progress_not_yet_written", code=fault.code)
                if self._draining:
                    raise
                await self._clock.sleep(fault.retry_after_seconds or 1)

    def _written(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            # What the store says is the truth: go back to it, at the price of repeats. What was learnt since is of
            # no use without what was lost: written alone, it could move the mark past an event still owed.
            log.error("progress_abandoned", error=type(error).__name__)
            for subscriber_id in self._being_written:
                self._followers.pop(subscriber_id, None)
            self._to_read.update(self._being_written)
        self._writing, self._being_written = None, frozenset()
        self.woken.set()

    def _idle_seconds(self, now_ms: int) -> float:
        """Give the time until something is due by itself; what waits for a connection or a write is woken by it."""
        times = [now_ms + int(_IDLE_SECONDS_MAX * 1000)]
        for follower in self._followers.values():
            if follower.is_failing:
                times.append(follower.health.next_try_at)
            elif follower.backlog is not None:
                times.append(follower.backlog.next_due_at() or 0)
            if follower.has_moved:
                times.append(follower.written_at + _MARK_WRITTEN_MS)
        return (min(time for time in times if time > now_ms) - now_ms) / 1000

    async def rest(self) -> None:
        """Before another process tells: start nothing more, give the answers a moment, write all progress."""
        self._draining = True
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=_REST_SECONDS)
        await self._write_all()
        self._forget()

    async def drain(self) -> None:
        """Start nothing more, let what is on its way be answered, and write all progress that the store takes."""
        self._draining = True
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        await self._write_all()

    async def _write_all(self) -> None:
        for _ in range(2):
            if self._writing is not None:
                await asyncio.wait({self._writing})
            self._write(self._clock.now())
        if self._writing is not None:
            await asyncio.wait({self._writing})
