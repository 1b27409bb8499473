"""Makes the adapter that a row of the settings names; a broker's client is imported only where one is named."""

from waypost.config import Queues
from waypost.config.queue_rows import Broker, QueueRow
from waypost.domain.errors import Unavailable
from waypost.queues.base import Sink, Source

_EXTRAS: dict[Broker, str] = {"nats": "nats", "rabbitmq": "rabbitmq"}


def open_source(row: QueueRow, settings: Queues) -> Source:
    """Give the source of a row, not connected yet. Raises `Unavailable` naming the extra that is missing."""
    try:
        if row.broker == "nats":
            from waypost.queues.nats_jetstream import NatsSource

            return NatsSource(settings.nats_url or "", row.queue, settings.nats_credentials_file)
        from waypost.queues.rabbitmq import RabbitSource

        return RabbitSource(settings.rabbitmq_url or "", row.queue, settings.in_flight_max)
    except ImportError:
        raise _missing(row.broker) from None


def open_sink(row: QueueRow, settings: Queues) -> Sink:
    """Give the sink of a row, not connected yet. Raises `Unavailable` naming the extra that is missing."""
    try:
        if row.broker == "nats":
            from waypost.queues.nats_jetstream import NatsSink

            return NatsSink(settings.nats_url or "", row.queue, settings.nats_credentials_file)
        from waypost.queues.rabbitmq import RabbitSink

        return RabbitSink(settings.rabbitmq_url or "", row.queue)
    except ImportError:
        raise _missing(row.broker) from None


def _missing(broker: Broker) -> Unavailable:
    return Unavailable(
        f"a row of `queues` names {broker}, and its client is not installed",
        code="broker_client_missing",
        remedy=f"pip install 'waypost[{_EXTRAS[broker]}]'",
    )
