"""Webhooks to the app's callback: signed over escaped bytes, batched, retried for a week, in bounded memory.

One POST is under way per receiver, so order is kept as long as the receiver answers 200; a POST refused goes
to the side and comes back later with falling frequency, as Meta's does, without holding up what follows.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import aiohttp

from waypost.emulator.agenda import Agenda
from waypost.emulator.ports import Clock, Dice, busy
from waypost.emulator.world import App, Number, Waba, World

Wire = dict[str, Any]

# At once, then with falling frequency for 7 days (overview page of the webhooks documentation, 2026).
RETRY_AFTER_SECONDS = (0.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 7200.0, 14400.0, 21600.0, 43200.0)
RETRY_SPAN_SECONDS = 7 * 86400.0
UPDATES_PER_POST_MAX = 1000
BODY_BYTES_MAX = 3 * 1024 * 1024
PENDING_UPDATES_MAX = 100_000
RETRY_BYTES_MAX = 64 * 1024 * 1024
TRIES_KEPT_MAX = 5_000
TRY_TIMEOUT_SECONDS = 10.0
MESSAGE_FIELDS = frozenset(
    {"messages", "message_echoes", "smb_message_echoes", "calls", "history", "standby"}
)


@dataclass(frozen=True, slots=True)
class Update:
    """One change to tell."""

    waba_id: str
    field: str
    value: Wire
    at: datetime


@dataclass(slots=True)
class Packet:
    """A body on its way: tried until it is answered 200 or a week is over."""

    id: int
    body: bytes
    updates: int
    first_at: datetime
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Try:
    """One POST and what came of it; `outcome` is the HTTP status as text, or why there is none."""

    packet_id: int
    attempt: int
    url: str
    at: datetime
    updates: int
    outcome: str
    body: bytes
    signature: str


@dataclass(slots=True)
class Receiver:
    """One callback URL of one app, its queue and its figures."""

    app_id: str
    url: str
    pending: deque[Update] = field(default_factory=deque)
    again: deque[Packet] = field(default_factory=deque)
    waiting: dict[int, Packet] = field(default_factory=dict)
    waiting_bytes: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    idle: bool = True
    answered: int = 0
    refused: int = 0
    dropped: int = 0
    expired: int = 0


def escaped(body: Wire) -> bytes:
    """The body as Meta writes it: non-ASCII as lower-case \\uXXXX, the slash left plain."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def signature_of(secret: str, body: bytes) -> str:
    """The value of X-Hub-Signature-256."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Webhooks:
    """Queues, receivers and the record of tries."""

    def __init__(self, world: World, clock: Clock, agenda: Agenda, dice: Dice) -> None:
        self._dice = dice
        self._world = world
        self._clock = clock
        self._agenda = agenda
        self._session: aiohttp.ClientSession | None = None
        self._packet_count = 0
        self.receivers: dict[tuple[str, str], Receiver] = {}
        self.tries: deque[Try] = deque(maxlen=TRIES_KEPT_MAX)
        self.updates_per_post_max = UPDATES_PER_POST_MAX
        self.shape: Literal["changes", "entries", "merged"] = "changes"
        self.try_timeout_seconds = TRY_TIMEOUT_SECONDS
        self.unrouted = 0

    async def start(self) -> None:
        """Open the client."""
        self._session = aiohttp.ClientSession(auto_decompress=False)
        for receiver in self.receivers.values():
            receiver.task = asyncio.create_task(self._work(receiver))

    async def stop(self) -> None:
        """Stop the workers and close the client; what was not told stays untold."""
        for receiver in self.receivers.values():
            if receiver.task is not None:
                receiver.task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await receiver.task
                receiver.task = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def verify(self, url: str, verify_token: str) -> str | None:
        """The handshake: None when the receiver repeats the challenge, else why not."""
        challenge = str(self._dice.randrange(10**9, 10**10))
        query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": verify_token}
        if self._session is None:
            return "the emulator is not started"
        try:
            timeout = aiohttp.ClientTimeout(total=self.try_timeout_seconds)
            with busy(self._clock):
                async with self._session.get(
                    url, params=query, timeout=timeout, allow_redirects=False
                ) as answer:
                    text = (await answer.content.read(4096)).decode("utf-8", "replace")
        except (TimeoutError, aiohttp.ClientError, ValueError) as fault:
            return f"no answer ({type(fault).__name__})"
        if answer.status != 200:
            return f"HTTP {answer.status}"
        return None if text == challenge else "the challenge was not repeated"

    def targets(self, waba_id: str, field_name: str, number: Number | None) -> list[tuple[App, str]]:
        """Where an update goes: number override, then WABA override, then the app's own callback."""
        waba: Waba | None = self._world.wabas.get(waba_id)
        found: list[tuple[App, str]] = []
        for app_id, override in (waba.subscriptions if waba else {}).items():
            app = self._world.apps.get(app_id)
            if app is None:
                continue
            url = app.callback_url
            if field_name in MESSAGE_FIELDS:
                if number is not None and number.override is not None:
                    url = number.override.url
                elif override is not None:
                    url = override.url
            if url:
                found.append((app, url))
        return found

    def tell(self, update: Update, number: Number | None) -> None:
        """Queue an update for every receiver it concerns."""
        targets = self.targets(update.waba_id, update.field, number)
        if not targets:
            self.unrouted += 1
        for app, url in targets:
            receiver = self._receiver(app.id, url)
            receiver.pending.append(update)
            if len(receiver.pending) > PENDING_UPDATES_MAX:
                receiver.pending.popleft()
                receiver.dropped += 1
            receiver.idle = False
            receiver.wake.set()

    async def tell_now(self, update: Update, number: Number | None) -> None:
        """POST an update and wait for its answer, ahead of whatever is queued."""
        for app, url in self.targets(update.waba_id, update.field, number):
            await self._post(self._receiver(app.id, url), self._packet([update]))

    def counts(self) -> list[Wire]:
        """The figures of each receiver."""
        return [
            {
                "app_id": r.app_id, "url": r.url, "pending": len(r.pending), "waiting": len(r.waiting),
                "answered": r.answered, "refused": r.refused, "dropped": r.dropped, "expired": r.expired,
            }
            for r in self.receivers.values()
        ]  # fmt: skip

    @property
    def quiet(self) -> bool:
        """Nothing is queued or on the wire (retries booked for later do not count)."""
        return all(r.idle for r in self.receivers.values())

    def _receiver(self, app_id: str, url: str) -> Receiver:
        receiver = self.receivers.get((app_id, url))
        if receiver is None:
            receiver = self.receivers[app_id, url] = Receiver(app_id, url)
        if receiver.task is None and self._session is not None:
            receiver.task = asyncio.create_task(self._work(receiver))
        return receiver

    async def _work(self, receiver: Receiver) -> None:
        while True:
            if not receiver.pending and not receiver.again:
                receiver.idle = True
                receiver.wake.clear()
                await receiver.wake.wait()
                receiver.idle = False
            with busy(self._clock):
                if receiver.again:
                    await self._post(receiver, receiver.again.popleft())
                if receiver.pending:
                    batch: list[Update] = []
                    while receiver.pending and len(batch) < self.updates_per_post_max:
                        batch.append(receiver.pending.popleft())
                    for packet in self._packets(batch):
                        await self._post(receiver, packet)

    def _packet(self, updates: list[Update]) -> Packet:
        self._packet_count += 1
        body = escaped({"object": "whatsapp_business_account", "entry": entries_of(updates, self.shape)})
        return Packet(self._packet_count, body, len(updates), self._clock.now())

    def _packets(self, updates: list[Update]) -> list[Packet]:
        packet = self._packet(updates)
        if len(packet.body) <= BODY_BYTES_MAX or len(updates) == 1:
            return [packet]
        half = len(updates) // 2
        return self._packets(updates[:half]) + self._packets(updates[half:])

    async def _post(self, receiver: Receiver, packet: Packet) -> None:
        app = self._world.apps[receiver.app_id]
        signature = signature_of(app.secret, packet.body)
        packet.tries += 1
        outcome = await self._speak(receiver.url, packet.body, signature)
        self.tries.append(
            Try(
                packet.id,
                packet.tries,
                receiver.url,
                self._clock.now(),
                packet.updates,
                outcome,
                packet.body,
                signature,
            )
        )
        if outcome == "200":
            receiver.answered += 1
        else:
            receiver.refused += 1
            self._book_retry(receiver, packet)

    async def _speak(self, url: str, body: bytes, signature: str) -> str:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "facebookexternalua",
            "X-Hub-Signature-256": signature,
        }
        if self._session is None:
            return "not started"
        timeout = aiohttp.ClientTimeout(total=self.try_timeout_seconds)
        try:
            post = self._session.post(url, data=body, headers=headers, timeout=timeout, allow_redirects=False)
            async with post as answer:
                await answer.content.read(65536)
                return str(answer.status)
        except (TimeoutError, aiohttp.ClientError, ValueError, OSError) as fault:
            return type(fault).__name__

    def _book_retry(self, receiver: Receiver, packet: Packet) -> None:
        age_seconds = (self._clock.now() - packet.first_at).total_seconds()
        delay = RETRY_AFTER_SECONDS[min(packet.tries - 1, len(RETRY_AFTER_SECONDS) - 1)]
        if age_seconds + delay > RETRY_SPAN_SECONDS:
            receiver.expired += packet.updates
            return
        receiver.waiting[packet.id] = packet
        receiver.waiting_bytes += len(packet.body)
        while receiver.waiting_bytes > RETRY_BYTES_MAX:
            oldest = next(iter(receiver.waiting))
            gone = receiver.waiting.pop(oldest)
            receiver.waiting_bytes -= len(gone.body)
            receiver.dropped += gone.updates

        def retry(packet_id: int = packet.id) -> None:
            due = receiver.waiting.pop(packet_id, None)
            if due is not None:
                receiver.waiting_bytes -= len(due.body)
                receiver.again.append(due)
                receiver.idle = False
                receiver.wake.set()

        self._agenda.after(delay, retry)


def entries_of(updates: list[Update], shape: str) -> list[Wire]:
    """The `entry` array: one change per update, one entry per update, or neighbours merged into one value."""
    entries: list[Wire] = []
    for update in updates:
        change: Wire = {"field": update.field, "value": update.value}
        entry: Wire = {"id": update.waba_id}
        if update.field not in MESSAGE_FIELDS:
            entry["time"] = int(update.at.timestamp())
        last = entries[-1] if entries and shape != "entries" and entries[-1]["id"] == update.waba_id else None
        if last is None or ("time" in entry) != ("time" in last):
            entries.append({**entry, "changes": [change]})
            continue
        if shape == "merged" and _merge(last["changes"][-1], change):
            continue
        last["changes"].append(change)
    return entries


def _merge(into: Wire, change: Wire) -> bool:
    """Join two values of one number into one; False when they do not go together."""
    ours, theirs = into["value"], change["value"]
    if (
        into["field"] != "messages"
        or change["field"] != "messages"
        or ours.get("metadata") != theirs.get("metadata")
    ):
        return False
    joined = dict(ours)
    for key in ("contacts", "messages", "statuses"):
        lines = [
            *ours.get(key, []),
            *(c for c in theirs.get(key, []) if key != "contacts" or c not in ours.get(key, [])),
        ]
        if lines:
            joined[key] = lines
    into["value"] = joined
    return True
