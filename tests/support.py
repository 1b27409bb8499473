"""What tests share: a clock that is told the time, seeded chance, a store on a real file, a number to send from."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct
from tests import engines

from waypost.domain.classes import CLASSES
from waypost.domain.errors import WaypostError
from waypost.domain.outcomes import Outcome, Sent
from waypost.domain.retry import RetryRules
from waypost.domain.times import to_ms
from waypost.outbox.holding import Holding
from waypost.outbox.sender import Sender
from waypost.policies.decide import decide
from waypost.store import journal, messages
from waypost.store.accept import Acceptance, Acceptances, Taken, accept
from waypost.store.database import Store
from waypost.store.engine import single
from waypost.store.idempotency import Answer
from waypost.store.transaction import Transaction
from waypost.transports.base import Access, Done, Recipient

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class FakeClock:
    """A clock that moves only when told."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> datetime:
        self.at += timedelta(seconds=seconds)
        return self.at

    def monotonic(self) -> float:
        return (self.at - START).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        # Whoever sleeps in a circle lets the others have their turn.
        await asyncio.sleep(0)


class SeededRandomness:
    """The same chance for the same seed."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def token_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def random(self) -> float:
        return self._random.random()


def new_store(folder: Path, seed: int = 1) -> Store:
    """A store in `folder` on the engine this test runs on, run inline; the same folder is the same store."""
    return Store(engines.current.open(folder, SeededRandomness(seed)))


class SeededNumber(Struct, frozen=True):
    tenant_id: str
    number_id: str
    app_id: str
    waba_id: str
    portfolio_id: str
    phone_number_id: str


@single
def _seed(tx: Transaction, over: dict[str, object]) -> SeededNumber:
    suffix = str(over.get("suffix", "1"))
    tenant = str(over.get("tenant_id", "ten_1"))
    at = to_ms(START)
    named = SeededNumber(
        tenant, f"num_{suffix}", f"app_{suffix}", f"wab_{suffix}", f"pfo_{suffix}", f"10000000000{suffix}"
    )
    seal = tx.codec.seal
    tx.execute("INSERT INTO tenants VALUES (?, 'Test', ?) ON CONFLICT DO NOTHING", (tenant, at))
    tx.execute(
        "INSERT INTO portfolios VALUES (?, ?, ?, 'TIER_250', 1, ?)", (named.portfolio_id, tenant, suffix, at)
    )
    tx.execute(
        "INSERT INTO apps VALUES (?, ?, ?, ?, ?, 1, ?, NULL)",
        (
            named.app_id,
            tenant,
            f"90000{suffix}",
            seal(f"app:{named.app_id}:secret", b"app-secret"),
            seal(f"app:{named.app_id}:verify_token", b"verify-me"),
            at,
        ),
    )
    tx.execute(
        "INSERT INTO wabas VALUES (?, ?, ?, ?, ?, '{}', NULL, 1, ?)",
        (named.waba_id, tenant, named.portfolio_id, named.app_id, f"20000000000{suffix}", at),
    )
    tx.execute(
        "INSERT INTO numbers (id, tenant_id, kind, waba_id, app_id, portfolio_id, phone_number_id, phone, label,"
        " base_url, graph_version, auth_header, token, state, pace_per_second, health, version, created_at)"
        " VALUES (?, ?, 'cloud', ?, ?, ?, ?, ?, 'test', ?, 'v26.0', 'Authorization: Bearer', ?, 'active', ?, '{}', 1,"
        " ?)",
        (
            named.number_id,
            tenant,
            named.waba_id,
            named.app_id,
            named.portfolio_id,
            named.phone_number_id,
            f"+4930000000{suffix}",
            over.get("base_url", "http://127.0.0.1:1"),
            seal(f"number:{named.number_id}", b"token"),
            over.get("pace_per_second", 80),
            at,
        ),
    )
    return named


async def seed_number(store: Store, **over: object) -> SeededNumber:
    """Put a tenant, portfolio, app, WABA and an active cloud number in place.

    Keys: suffix, tenant_id, base_url, pace_per_second."""
    return await store.write(_seed, over)


class ScriptedTransport:
    """Answers attempts from a list of outcomes (the last one repeats) and remembers what was spoken."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.spoken: list[tuple[str, str, bytes]] = []  # (echo, recipient, content)
        self.gate: asyncio.Event | None = None

    async def send(self, access: Access, recipient: Recipient, content: bytes, echo: str) -> Outcome:
        self.spoken.append((echo, recipient.value, content))
        turn = len(self.spoken)
        if self.gate is not None:
            await self.gate.wait()
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Sent) and outcome.provider_message_id == "auto":
            return Sent(f"wamid.{turn}")
        return outcome

    async def mark_read(self, access: Access, provider_message_id: str, typing: bool) -> Done:
        return Done()


async def access_of(number_id: str) -> Access:
    return Access(number_id, "1", "http://127.0.0.1:1", "v26.0", "Authorization: Bearer", "t")


def text_acceptance(
    number: SeededNumber, clock: FakeClock, message_id: str, to: str = "+4915550001111", **over: Any
) -> Acceptances:
    """A text ready to be taken, as one request."""
    values: dict[str, Any] = {
        "id": message_id,
        "tenant_id": number.tenant_id,
        "number_id": number.number_id,
        "portfolio_id": number.portfolio_id,
        "recipient_kind": "phone",
        "recipient": to,
        "contact_id": None,
        "content": b'{"type":"text","text":{"body":"hello"}}',
        "type": "text",
        "rank": CLASSES["reply"].rank,
        "assignee": None,
        "metadata": None,
        "on_unknown": "wait",
        "not_before": None,
        "expires_at": clock.now() + timedelta(days=1),
        "deliver_by": None,
        "actor": "key:key_1",
    } | over
    item = Acceptance(**values)

    def render(taken: Sequence[Taken]) -> Answer | WaypostError:
        return taken[0] if isinstance(taken[0], WaypostError) else Answer(202, b"{}")

    return Acceptances((item,), render, None, clock.now(), decide)


async def accept_text(
    store: Store, number: SeededNumber, clock: FakeClock, to: str = "+4915550001111", **over: Any
) -> str:
    """Take a text straight through the store's operation; gives the message id."""
    message_id = store.engine.ids.new("message", clock.now())
    await store.write(accept, text_acceptance(number, clock, message_id, to, **over))
    return message_id


def new_sender(store: Store, transport: ScriptedTransport, clock: FakeClock, **over: Any) -> Sender:
    """A sender with room for everything, holding every lane alone."""
    holds: dict[str, Any] = {"owner": "life-1", "alone": True, "lease_seconds": 30.0, "call_seconds": 20.0}
    sends: dict[str, Any] = {"in_flight_max": 100, "per_number_in_flight_max": 100, "rules": RetryRules()}
    unlike_sends = {name: value for name, value in over.items() if name not in sends}
    holding = Holding(store, clock, **holds | unlike_sends)
    return Sender(
        store, transport, access_of, clock, holding, **{n: over.get(n, v) for n, v in sends.items()}
    )


async def settle(sender: Sender, steps: int = 6) -> None:
    """Step the sender and let what it speaks come to an end."""
    for _ in range(steps):
        await sender.step()
        for _ in range(20):
            await asyncio.sleep(0)


async def status_of(store: Store, number: SeededNumber, message_id: str) -> str:
    """The message's present status."""
    return (await store.read(messages.get, number.tenant_id, message_id)).status


async def kinds_of(store: Store, number: SeededNumber, aggregate_id: str) -> list[str]:
    """The kinds of an aggregate's timeline."""
    return [event.kind for event in await store.read(journal.of_aggregate, number.tenant_id, aggregate_id)]
