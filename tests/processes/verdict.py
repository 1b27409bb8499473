"""After the kills: holds the gateway's word, the emulator's ledger and the subscribers' books against each other.

Everything is read the way a user would: `/v1/messages`, `/v1/events`, and what arrived at the subscribers.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.processes.harness import Api
from tests.processes.load import Load
from tests.processes.sink import Sink, position_of

from waypost.emulator import Emulator

FINAL = frozenset(
    {"sent", "delivered", "read", "played", "failed", "expired", "cancelled", "refused", "unresolved"}
)
TAKEN = frozenset({"sent", "delivered", "read", "played"})


@dataclass
class Books:
    """The three accounts of one run."""

    messages: dict[str, Any]
    events: list[Any]
    attempts: dict[str, str]  # attempt id → message id
    spoken: dict[str, list[str]]  # message id → attempt ids in the emulator's ledger, in its order
    unknown: set[str]  # attempts that were `unknown` at some time
    faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Note a broken promise."""
        self.faults.append(text)


async def open_books(api: Api, emulator: Emulator) -> Books:
    """Read everything."""
    messages = {view["id"]: view async for view in api.pages("/v1/messages")}
    events = await api.events()
    attempts: dict[str, str] = {}
    latest: dict[str, str] = {}
    unknown: set[str] = set()
    for event in events:
        facts, message_id = event["data"], event["aggregate_id"]
        if event["type"] == "message.attempted":
            attempts[facts["attempt_id"]] = latest[message_id] = message_id
            latest[message_id] = facts["attempt_id"]
        elif event["type"] == "message.unknown":
            unknown.add(facts.get("attempt_id") or latest[message_id])
    spoken: dict[str, list[str]] = defaultdict(list)
    books = Books(messages, events, attempts, spoken, unknown)
    for line in emulator.world.ledger:
        owner = attempts.get(line.biz_opaque_callback_data or "")
        if owner is None:
            books.fault(f"{line.wamid} went out and no journal line knows its attempt")
        else:
            spoken[owner].append(line.biz_opaque_callback_data or "")
    return books


def judge_messages(books: Books, load: Load) -> None:
    """Every 202 is one message in one final status, and nothing else was taken."""
    for key, message_id in load.accepted.items():
        view = books.messages.get(message_id)
        if view is None:
            books.fault(f"{key} was answered 202 and {message_id} is not there")
        elif view["status"] not in FINAL:
            books.fault(f"{message_id} stays {view['status']} ({view['reason']})")
    strays = books.messages.keys() - set(load.accepted.values())
    for stray in strays:
        books.fault(f"{stray} was taken without a 202 that its caller, who insisted, ever saw")
    if len(set(load.accepted.values())) != len(load.accepted):
        books.fault("two keys were answered with one message")
    for contradiction in load.contradictions:
        books.fault(contradiction)
    finals: Counter[str] = Counter()
    for event in books.events:
        if event["type"].startswith("message.") and event["type"].split(".")[1] in (
            "expired",
            "cancelled",
            "refused",
            "unresolved",
        ):
            finals[event["aggregate_id"]] += 1
    for message_id, count in finals.items():
        if count > 1:
            books.fault(f"{message_id} ended {count} times")


def judge_ledger(books: Books) -> int:
    """No message missing at the emulator, and each double explained; gives the number of doubles."""
    doubles = 0
    for message_id, view in books.messages.items():
        spoken = books.spoken.get(message_id, [])
        if view["status"] in TAKEN and not spoken:
            books.fault(f"{message_id} is {view['status']} and the provider never saw it")
        if spoken and view["status"] not in TAKEN:
            books.fault(
                f"{message_id} is {view['status']} ({view['reason']}), yet the provider took it: "
                "its receipts carried our id"
            )
        if len(set(spoken)) != len(spoken):
            books.fault(f"an attempt of {message_id} was spoken twice")
        if len(spoken) > 1:
            doubles += 1
            if view["on_unknown"] != "resend":
                books.fault(f"{message_id} was doubled although its policy is {view['on_unknown']}")
            for earlier in sorted(spoken)[:-1]:
                if earlier not in books.unknown:
                    books.fault(f"{message_id} was sent again after {earlier}, which was not unknown")
    return doubles


def receipts_missing(books: Books, emulator: Emulator) -> dict[str, str]:
    """The messages whose status is not the best that the provider told of them, and what it told."""
    order = ("sent", "delivered", "read", "played")
    best: dict[str, str] = {}
    for line in emulator.world.ledger:
        message_id = books.attempts.get(line.biz_opaque_callback_data or "")
        told = emulator.world.messages[line.wamid].status
        if message_id is not None and told in order:
            best[message_id] = max(best.get(message_id, told), told, key=order.index)
    unknown: Any = {"status": "missing"}
    return {
        message_id: told
        for message_id, told in best.items()
        if books.messages.get(message_id, unknown)["status"] != told
    }


def judge_receipts(books: Books, emulator: Emulator) -> None:
    """What the provider told of a message is its status: no callback answered 200 is lost."""
    for message_id, told in receipts_missing(books, emulator).items():
        status = books.messages[message_id]["status"] if message_id in books.messages else "missing"
        books.fault(f"{message_id} is {status}; the provider told {told} and was answered 200")


def judge_journal(books: Books) -> None:
    """Versions of an aggregate are contiguous from 1: no change of state was lost or made twice."""
    seen: dict[str, int] = defaultdict(int)
    last = 0
    for event in books.events:
        position = position_of(event["id"])
        if position <= last:
            books.fault(f"{event['id']} was pulled after {last}")
        last = position
        aggregate, version = event["aggregate_id"], event["version"]
        if version != seen[aggregate] + 1:
            books.fault(f"{aggregate} goes from version {seen[aggregate]} to {version}")
        seen[aggregate] = version


def judge_sink(books: Books, sink: Sink, wanted: set[str]) -> None:
    """Push and pull agree, and first tellings are in order within each conversation."""
    pulled = {event["id"] for event in books.events if event["id"] in wanted}
    for missing in sorted(pulled - sink.firsts.keys(), key=position_of)[:10]:
        books.fault(f"{sink.name} never heard of {missing}")
    for extra in sorted(sink.firsts.keys() - {event["id"] for event in books.events}, key=position_of)[:10]:
        books.fault(f"{sink.name} heard of {extra}, which cannot be pulled")
    last: dict[str, int] = {}
    for event in sink.firsts.values():
        key = order_key(event)
        position = position_of(event["id"])
        if position < last.get(key, 0):
            books.fault(f"{sink.name}: {event['id']} of {key} was first told after {last[key]}")
        last[key] = max(position, last.get(key, 0))
    books.faults += [f"{sink.name}: {text}" for text in sink.bad]


def order_key(event: Any) -> str:
    """What an event is in order with."""
    named = event
    if named.get("number_id") and named.get("contact_id"):
        return f"{named['number_id']}:{named['contact_id']}"
    return str(named.get("aggregate_id"))
