"""Drafts from a queue into the same acceptance as `POST /v1/messages`, at least once in and once taken.

A message is settled with the broker only after the commit that took it, so whatever is cut off in between comes
again, and its key finds the stored answer. What can't ever be taken goes to the dead letters with the reason; what
can't be taken now goes back, and the queue waits with us.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec
import structlog

from waypost.domain.drafts import decode_draft
from waypost.domain.errors import InvalidRequest, TooLarge, WaypostError, places
from waypost.domain.ports import Clock
from waypost.domain.problems import problem_of
from waypost.queues.acting import acting
from waypost.queues.base import Acting, Received, Source, Take
from waypost.store import keys
from waypost.store.database import Store
from waypost.store.idempotency import claim_of

log = structlog.get_logger("waypost.queues")

Fate = Literal["taken", "repeated", "later", "buried"]

_WAIT_SECONDS = 1.0
# What fails for no reason of its own (a bug, a refusing provider) is tried this often before it is a dead letter.
_TRIES_MAX = 10
_TRIES_KEPT = 10_000
_RETRY_SECONDS = 1.0
_TOUCH_SECONDS = 60.0
# The request that a message stands for: a key used in both ways is one message, if the bodies are the same bytes.
_METHOD, _PATH = "POST", "/v1/messages"


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a source: messages in one commit, bytes of a body, how long a key is remembered."""

    in_flight_max: int
    body_bytes_max: int
    retention: timedelta


class Ingress:
    """One source. `counts` says what became of its messages since this process started."""

    def __init__(
        self,
        name: str,
        source: Source,
        key_id: str,
        take: Take,
        store: Store,
        clock: Clock,
        limits: Limits,
        counted: Callable[[str, Fate], None] = lambda name, fate: None,
    ) -> None:
        self.name = name
        self.counts: dict[Fate, int] = {"taken": 0, "repeated": 0, "later": 0, "buried": 0}
        self._source, self._key_id, self._take = source, key_id, take
        self._store, self._clock, self._limits, self._counted = store, clock, limits, counted
        self._tries: dict[str, int] = {}
        self._touched_at: datetime | None = None

    async def step(self) -> float:
        """Take what the queue gives, waiting up to a second for it; gives seconds until it wants to run again."""
        now = self._clock.now()
        who = await acting(self._store, self._key_id, "messages:send", now)
        found = await self._source.receive(self._limits.in_flight_max, _WAIT_SECONDS)
        if not found:
            return 0.0
        # All of them before any fault is told: a task left running would settle behind the next step's back.
        waits = await asyncio.gather(*(self._one(each, who) for each in found), return_exceptions=True)
        for wait in waits:
            if isinstance(wait, BaseException):
                raise wait
        await self._note_use(who, now)
        return max(wait for wait in waits if isinstance(wait, float))

    async def _one(self, received: Received, who: Acting) -> float:
        """Take one message and settle it; gives how long to leave the queue alone."""
        try:
            fate: Fate = await self._taken(received, who)
        except WaypostError as error:
            return await self._refused(received, error)
        except Exception as error:
            log.error(
                "queue_step_failed", error=type(error).__name__, at=places(error), of=received.reference
            )
            internal = WaypostError(
                "The gateway made a mistake; nothing more is told here.",
                remedy="Look for the request id in the gateway's log.",
            )
            return await self._refused(received, internal)
        # Counted when committed: should the broker not hear of it, what comes again is counted as repeated.
        self._count(fate)
        self._tries.pop(received.reference, None)
        await self._source.done(received)
        return 0.0

    async def _taken(self, received: Received, who: Acting) -> Fate:
        if received.key is None:
            raise InvalidRequest(
                "The message has no key, so a repeat of it could not be told from another message.",
                code="message_key_missing",
                field="Idempotency-Key",
                remedy="Set the header Idempotency-Key, or the broker's message id (Nats-Msg-Id, message_id).",
            )
        limit = self._limits.body_bytes_max
        if len(received.body) > limit:
            raise TooLarge(f"The body has more than {limit:,} bytes.", remedy="Send media by reference.")
        expires_at = self._clock.now() + self._limits.retention
        claim = claim_of(who.tenant_id, received.key, _METHOD, _PATH, b"", received.body, expires_at)
        answer = await self._take(decode_draft(received.body), who, claim)
        return "repeated" if answer.replayed else "taken"

    async def _refused(self, received: Received, error: WaypostError) -> float:
        if self._may_pass(received, error):
            delay_seconds = float(error.retry_after_seconds or _RETRY_SECONDS)
            await self._source.later(received, delay_seconds)
            self._count("later")
            return delay_seconds
        problem = problem_of(error, received.reference)
        await self._source.bury(received, ascii_json(msgspec.to_builtins(problem)))
        self._tries.pop(received.reference, None)
        self._count("buried")
        log.warning("queue_message_buried", of=received.reference, code=error.code)
        return 0.0

    def _may_pass(self, received: Received, error: WaypostError) -> bool:
        """Say whether the same message may be taken another time."""
        if error.status in (429, 503):
            return True
        if error.status not in (500, 502):
            return False
        tries = self._tries.get(received.reference, 0) + 1
        if len(self._tries) >= _TRIES_KEPT:
            self._tries.clear()
        self._tries[received.reference] = tries
        return tries < _TRIES_MAX

    def _count(self, fate: Fate) -> None:
        self.counts[fate] += 1
        self._counted(self.name, fate)

    async def _note_use(self, who: Acting, now: datetime) -> None:
        if self._touched_at is None or (now - self._touched_at).total_seconds() >= _TOUCH_SECONDS:
            self._touched_at = now
            try:
                await self._store.write(keys.touch, keys.Touch(who.actor.removeprefix("key:"), now))
            except WaypostError as error:
                # The messages are settled; the time of last use may wait.
                log.debug("key_use_not_noted", code=error.code)

    async def close(self) -> None:
        """Let go of the broker; what was received and not settled comes again."""
        await self._source.close()


def ascii_json(value: object) -> bytes:
    """Give JSON that fits a header: ASCII, on one line."""
    text = msgspec.json.encode(value).decode()
    pairs = (char if ord(char) < 128 else "".join(f"\\u{unit:04x}" for unit in _utf16(char)) for char in text)
    return "".join(pairs).encode("ascii")


def _utf16(char: str) -> list[int]:
    raw = char.encode("utf-16-be")
    return [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]
