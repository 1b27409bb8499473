"""What must hold between settings, as a table; a rule about settings that are wrong already is not asked."""

from collections.abc import Callable
from dataclasses import dataclass

from waypost.config.queue_rows import QueueRow
from waypost.config.settings import Config


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold between settings: which they are, the test, what is wrong, what to do."""

    settings: tuple[str, ...]
    holds: Callable[[Config], bool]
    problem: str
    remedy: str


def _brokers(config: Config) -> set[str]:
    return {row.broker for row in (*config.queues.source_rows, *config.queues.forward_rows)}


def _place(row: QueueRow) -> tuple[str, str]:
    return row.broker, row.queue


RULES: tuple[Rule, ...] = (
    Rule(
        ("http.host", "http.allow_public_bind"),
        lambda c: c.http.is_loopback or c.http.allow_public_bind,
        "this address is reachable from other machines",
        "listen on 127.0.0.1 behind a proxy with TLS, or set http.allow_public_bind to true",
    ),
    Rule(
        ("metrics.public", "http.allow_public_bind"),
        lambda c: not (c.metrics.public and c.http.allow_public_bind),
        "metrics without a key on a public address",
        "give your scraper a key with the scope operations:read, or listen on loopback",
    ),
    Rule(
        ("outbox.lease_seconds", "outbox.provider_timeout_seconds"),
        lambda c: c.outbox.lease_seconds > c.outbox.provider_timeout_seconds,
        "a call could outlive the lease of its lane",
        "make the lease longer than outbox.provider_timeout_seconds",
    ),
    Rule(
        ("outbox.backoff_seconds_min", "outbox.backoff_seconds_max"),
        lambda c: c.outbox.backoff_seconds_min <= c.outbox.backoff_seconds_max,
        "above outbox.backoff_seconds_max",
        "make it the smaller one",
    ),
    Rule(
        ("outbox.per_number_in_flight_max", "outbox.in_flight_max"),
        lambda c: c.outbox.per_number_in_flight_max <= c.outbox.in_flight_max,
        "above outbox.in_flight_max",
        "make it at most outbox.in_flight_max",
    ),
    Rule(
        ("webhooks.per_subscriber_in_flight_max", "webhooks.in_flight_max"),
        lambda c: c.webhooks.per_subscriber_in_flight_max <= c.webhooks.in_flight_max,
        "above webhooks.in_flight_max",
        "make it at most webhooks.in_flight_max",
    ),
    Rule(
        ("queues.sources", "queues.forwards", "queues.nats_url"),
        lambda c: c.queues.nats_url is not None or "nats" not in _brokers(c),
        "a row names nats, and queues.nats_url is not set",
        "set WAYPOST_QUEUES_NATS_URL, or remove the row",
    ),
    Rule(
        ("queues.sources", "queues.forwards", "queues.rabbitmq_url"),
        lambda c: c.queues.rabbitmq_url is not None or "rabbitmq" not in _brokers(c),
        "a row names rabbitmq, and queues.rabbitmq_url is not set",
        "set WAYPOST_QUEUES_RABBITMQ_URL, or remove the row",
    ),
    Rule(
        ("queues.forwards", "queues.sources"),
        lambda c: (
            not (
                {_place(row) for row in c.queues.source_rows} & {_place(row) for row in c.queues.forward_rows}
            )
        ),
        "a queue that drafts are taken from",
        "forward to another queue",
    ),
    Rule(
        ("store.second_place", "store.url"),
        lambda c: c.store.second_place is None or c.store.second_place != c.store.url,
        "the database itself",
        "name another place: what is lost with the database must not be lost there, too",
    ),
    Rule(
        ("store.queue_rows_max", "store.batch_rows_max"),
        lambda c: c.store.queue_rows_max >= c.store.batch_rows_max,
        "below store.batch_rows_max",
        "make it at least store.batch_rows_max",
    ),
)
