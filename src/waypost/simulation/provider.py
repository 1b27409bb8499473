"""The simulated provider: takes messages or not, answers truly or not, and tells what became of them in callbacks.

`ledger` is what really happened, which is what the invariants compare the gateway with.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

from waypost.domain.outcomes import Failed, Outcome, Sent, Unknown
from waypost.simulation.clocks import WallClock
from waypost.simulation.loop import SeededLoop, end
from waypost.simulation.plan import CALL_SECONDS, Inbound, Odd, Oddness
from waypost.transports.base import Access, Done, Recipient

APP_SECRET = b"simulated-secret"
_encode = msgspec.json.encode
_decode_content = msgspec.json.Decoder(dict[str, Any]).decode
# A customer's own id of a message, in the text that is sent: how the provider knows what a try belongs to.
_KEY_PREFIX = "text "
ReceiptName = Literal["sent", "delivered", "read", "failed"]


class Call(Struct):
    """One call as it really was."""

    echo: str
    key: int
    ordinal: int
    process: str
    at_seconds: float
    odd: Oddness | None
    taken: bool = False
    said_no: bool = False
    wamid: str = ""


class Line(Struct, frozen=True):
    """A number as the provider knows it."""

    number_id: str
    phone_number_id: str
    meta_waba_id: str
    app_id: str


Post = Callable[[str, str, bytes, Callable[[], None]], None]


class Provider:
    """`post(app_id, signature, raw, taken)` brings a callback to the gateway until it answers 200."""

    def __init__(
        self, loop: SeededLoop, wall: WallClock, chance: Random, odds: Sequence[Odd], post: Post
    ) -> None:
        self._loop, self._wall, self._chance, self._post = loop, wall, chance, post
        self._odds = {(odd.key, odd.ordinal): odd.oddness for odd in odds}
        self._tries: dict[int, int] = {}
        self._named = 0
        self.ledger: dict[str, Call] = {}
        self.proven: dict[str, set[ReceiptName]] = {}  # by echo: receipts that the gateway answered 200 for
        self.heard: set[str] = set()  # customers' messages that the gateway answered 200 for
        self.lines: dict[str, Line] = {}  # by our number id
        self.is_calm = False

    def call(
        self, process: str, access: Access, to: Recipient, content: bytes, echo: str
    ) -> tuple[float, Outcome]:
        """Take a call; gives when it is answered, in seconds from now, and how."""
        key = int(_decode_content(content)["text"]["body"].removeprefix(_KEY_PREFIX))
        ordinal = self._tries[key] = self._tries.get(key, 0) + 1
        odd = None if self.is_calm else self._odds.get((key, ordinal))
        call = Call(echo, key, ordinal, process, self._loop.time(), odd)
        self.ledger[echo] = call
        return self._react(self.lines[access.number_id], to, call)

    def _react(self, line: Line, to: Recipient, call: Call) -> tuple[float, Outcome]:
        draw, odd = self._chance.random, call.odd
        arrives, answers = draw() * 0.3, 0.3 + draw() * 0.7
        match odd:
            case "timeout_not_taken":
                return CALL_SECONDS, Unknown("timeout")
            case "cut_not_taken":
                return arrives, Unknown("broken_off")
            case "stumbled" | "refused" | "wait_number":
                call.said_no = True
                return answers, _refusal(odd)
            case "slow":
                answers = CALL_SECONDS * 0.95
        self._named += 1
        call.wamid = f"wamid.{self._named}"
        self._later(arrives, self._take, call)
        self._receipts(line, to, call, arrives, answers)
        match odd:
            case "timeout_taken":
                return CALL_SECONDS, Unknown("timeout")
            case "cut_taken":
                return arrives, Unknown("broken_off")
            case "refused_but_sent":
                call.said_no = True
                return answers, _refusal("stumbled")
        return answers, Sent(call.wamid)

    def _take(self, call: Call) -> None:
        call.taken = True

    def _receipts(self, line: Line, to: Recipient, call: Call, arrives: float, answers: float) -> None:
        draw, odd = self._chance.random, call.odd
        if odd == "silent":
            return
        names: tuple[ReceiptName, ...] = (
            ("sent", "delivered", "read") if draw() < 0.5 else ("sent", "delivered")
        )
        code = 0
        if odd in ("failed_receipt", "stumbled_receipt"):
            names, code = ("sent", "failed"), 131026 if odd == "failed_receipt" else 131000
        start = arrives if odd == "receipt_first" else answers
        together = draw() < 0.3
        rows: list[tuple[ReceiptName, bytes]] = []
        for name in names:
            rows.append((name, self._receipt(to, call, name, code)))
        if together:
            self._tell(line, call, rows, start + draw() * 3)
            return
        for row in rows:
            for _ in range(3 if odd == "repeated" else 1):
                self._tell(line, call, [row], start + draw() * 3)

    def _tell(
        self, line: Line, call: Call, rows: Sequence[tuple[ReceiptName, bytes]], seconds: float
    ) -> None:
        names = {name for name, _ in rows}

        def taken() -> None:
            self.proven.setdefault(call.echo, set()).update(names)

        raw = _callback(line, b'"statuses":[' + b",".join(body for _, body in rows) + b"]")
        self._later(seconds, self._send, line, raw, taken)

    def _send(self, line: Line, raw: bytes, taken: Callable[[], None]) -> None:
        self._post(line.app_id, sign(raw), raw, taken)

    def _receipt(self, to: Recipient, call: Call, name: ReceiptName, code: int) -> bytes:
        body: dict[str, Any] = {
            "id": call.wamid,
            "status": name,
            "timestamp": str(int(self._wall.now().timestamp())),
            "recipient_id": to.value.removeprefix("+"),
            "biz_opaque_callback_data": call.echo,
        }
        if name == "failed":
            body["errors"] = [{"code": code, "title": "simulated"}]
        return _encode(body)

    def hear(self, item: Inbound, line: Line, phone: str) -> None:
        """Let a customer write."""
        wamid = f"wamid.in.{item.key}"
        message = {
            "from": phone.removeprefix("+"),
            "id": wamid,
            "timestamp": str(int(self._wall.now().timestamp())),
            "type": "text",
            "text": {"body": f"heard {item.key}"},
        }
        for copy in range(item.copies):
            # The same message in other bytes: known by its id, not by the callback's digest.
            raw = _callback(line, b'"messages":[' + _encode(message) + b"]" + b" " * copy)
            seconds = self._chance.random() * 4 * copy
            self._later(seconds, self._send, line, raw, lambda: self.heard.add(wamid))

    def _later(self, seconds: float, work: Callable[..., object], *args: Any) -> None:
        self._loop.call_later(seconds, work, *args, context=self._loop.world.context)


def sign(raw: bytes) -> str:
    """Give the header Meta puts on `raw`."""
    return "sha256=" + hmac.digest(APP_SECRET, raw, hashlib.sha256).hex()


def text_of(key: int) -> str:
    """Give the text of a planned message."""
    return f"{_KEY_PREFIX}{key}"


def _callback(line: Line, part: bytes) -> bytes:
    head = (
        f'{{"object":"whatsapp_business_account","entry":[{{"id":"{line.meta_waba_id}","changes":[{{"field":'
        f'"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"1",'
        f'"phone_number_id":"{line.phone_number_id}"}},'
    )
    return head.encode() + part + b"}}]}]}"


def _refusal(odd: Oddness) -> Failed:
    match odd:
        case "refused":
            return Failed(131026, "fail_contact", "simulated", "cannot be reached")
        case "wait_number":
            return Failed(130429, "wait_number", "simulated", "too fast", 2.0)
        case _:
            return Failed(131000, "retry", "simulated", "something went wrong")


class Speaking(Protocol):
    """What the transport of one process needs of it."""

    name: str


class SimulatedTransport:
    """The transport of one process. `speaks` is told of every call as it begins."""

    def __init__(
        self, loop: SeededLoop, provider: Provider, process: Speaking, speaks: Callable[[str, str, str], None]
    ) -> None:
        self._loop, self._provider, self._process, self._speaks = loop, provider, process, speaks

    async def send(self, access: Access, recipient: Recipient, content: bytes, echo: str) -> Outcome:
        """Try once to send."""
        self._speaks(self._process.name, access.number_id, echo)
        seconds, outcome = self._provider.call(self._process.name, access, recipient, content, echo)
        answered = self._loop.create_future()
        self._loop.call_later(seconds, end, answered, context=self._loop.world.context)
        await answered
        return outcome

    async def mark_read(self, access: Access, provider_message_id: str, typing: bool) -> Done:
        """Say yes."""
        return Done()
