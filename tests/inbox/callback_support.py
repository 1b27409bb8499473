"""What tests of the inbox share: an inbox and a reader on a store, and signed callbacks as Meta sends them."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from msgspec import Struct
from tests.support import FakeClock, SeededNumber, new_store, seed_number

from waypost.config import Inbox
from waypost.inbox.accept import CallbackInbox
from waypost.inbox.reader import Reader
from waypost.store import journal
from waypost.store.database import Store
from waypost.store.journal import Event

SAMPLES: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "samples" / "cloud_api" / "callbacks.json").read_text()
)
_SAMPLE_WABA, _SAMPLE_NUMBER = "102290129340398", "106540352242922"
SECRET = b"app-secret"


def sign(raw: bytes, secret: bytes = SECRET) -> str:
    """The header Meta puts on `raw`."""
    return "sha256=" + hmac.new(secret, raw, hashlib.sha256).hexdigest()


class Bench(Struct, frozen=True):
    """A gateway's way in, on a fresh store."""

    store: Store
    clock: FakeClock
    number: SeededNumber
    inbox: CallbackInbox
    reader: Reader

    def sample(self, name: str) -> bytes:
        """One of the provider's samples, for our number and WABA; non-ASCII escaped, as Meta sends it."""
        text = json.dumps(SAMPLES[name])
        return self.ours(text)

    def ours(self, text: str) -> bytes:
        """The sample's number and WABA put right."""
        waba = "20000000000" + self.number.waba_id.removeprefix("wab_")
        return text.replace(_SAMPLE_WABA, waba).replace(_SAMPLE_NUMBER, self.number.phone_number_id).encode()

    def messages(self, *items: dict[str, Any], **value: Any) -> bytes:
        """A callback with these messages (or other parts of a `messages` change)."""
        metadata = {"phone_number_id": _SAMPLE_NUMBER, "display_phone_number": "1"}
        change = {"field": "messages", "value": {"metadata": metadata, "messages": list(items)} | value}
        return self.ours(json.dumps({"entry": [{"id": _SAMPLE_WABA, "changes": [change]}]}))

    async def take(self, raw: bytes) -> bool:
        """Let the inbox store a signed callback."""
        return await self.inbox.accept(self.number.app_id, sign(raw), raw)

    async def read(self) -> None:
        """Read all that is stored."""
        while await self.reader.step() == 0.0:
            pass

    async def receive(self, *raws: bytes) -> None:
        """Take callbacks and read them."""
        for raw in raws:
            await self.take(raw)
        await self.read()

    async def events(self, *kinds: str) -> list[Event]:
        """The journal's lines of these kinds (a kind ending in `.` is a prefix)."""
        found = await self.store.read(journal.after, 0, 100_000)
        return [
            e for e in found if e.kind in kinds or any(k[-1] == "." and e.kind.startswith(k) for k in kinds)
        ]

    async def content(self, event: Event) -> Any:
        """The content an event refers to."""
        assert event.content_id is not None
        body = (await self.store.read(journal.contents, [event.content_id]))[event.content_id]
        assert body is not None
        return json.loads(body)

    async def row(self, sql: str, *values: Any) -> Any:
        """The first row of a query."""
        return await self.store.read(lambda reading: reading.one(sql, values))

    async def rows(self, sql: str, *values: Any) -> Any:
        """The rows of a query."""
        return await self.store.read(lambda reading: reading.rows(sql, values))


async def new_bench(folder: Path, **over: Any) -> Bench:
    """An inbox and a reader on a fresh store with one number."""
    store, clock = new_store(folder), FakeClock()
    number = await seed_number(store)
    return Bench(store, clock, number, CallbackInbox(store, clock), Reader(store, clock, Inbox(), **over))


def said(message_id: str, body: str = "hello", at: int = 1795348800, **over: Any) -> dict[str, Any]:
    """A text by a customer; 1795348800 is the start of the tests' clock."""
    return {
        "id": message_id, "from": "16505551234", "timestamp": str(at), "type": "text", "text": {"body": body}
    } | over  # fmt: skip


def receipt(message_id: str, status: str, at: int = 1795348800, **over: Any) -> dict[str, Any]:
    """A receipt."""
    return {"id": message_id, "status": status, "timestamp": str(at), "recipient_id": "16505551234"} | over
