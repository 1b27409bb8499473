"""One row of the settings that bind a broker's queue to an API key: `broker queue key-id`."""

import re
from dataclasses import dataclass
from typing import Literal, cast

Broker = Literal["nats", "rabbitmq"]

_ROW = re.compile(r"(nats|rabbitmq) ([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*) (key_[0-9a-z]{26})")
_NAME_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue (RabbitMQ) or subject (NATS JetStream), and the key whose tenant, scopes and environment count."""

    broker: Broker
    queue: str
    key_id: str


def queue_rows(values: tuple[str, ...]) -> tuple[QueueRow, ...]:
    """Read the rows that the settings hold; they were checked."""
    found = [_ROW.fullmatch(" ".join(value.split())) for value in values]
    return tuple(QueueRow(cast(Broker, match[1]), match[2], match[3]) for match in found if match is not None)


def are_queue_rows(values: tuple[str, ...]) -> str | None:
    """Give the remedy when a row is none, or when one queue stands in two of them."""
    rows = queue_rows(values)
    if len(rows) != len(values) or any(len(row.queue) > _NAME_LENGTH_MAX for row in rows):
        return "give rows such as `nats orders.whatsapp key_…`: the broker (nats or rabbitmq), a queue, a key's id"
    if len({(row.broker, row.queue) for row in rows}) != len(rows):
        return "name each queue once"
    return None
