"""Every setting of Waypost, a class for each section: type, default, bounds and one line of help."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import ipaddress
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from waypost.config.queue_rows import QueueRow, are_queue_rows, queue_rows
from waypost.config.urls import are_nats_urls, is_amqp_url, is_postgres_url, is_second_place

T = typing.TypeVar("T")
Check = Callable[[typing.Any], str | None]

LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})
_MIB = 1024 * 1024
_DAY = 86_400


def _is_host(value: str) -> str | None:
    return None if value and not re.search(r"[\s/]", value) else "give a host name or an IP address"


def _is_url(value: str) -> str | None:
    """Say what is wrong with the base of a URL; an address with a user or a query is refused."""
    try:
        parts = urlsplit(value)
        sound = (
            parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        sound = None
    if not sound or parts.username or parts.query or parts.fragment:
        return (
            "give an http or https URL without user, query or fragment, such as https://gateway.example.org"
        )
    return None


def _are_networks(value: tuple[str, ...]) -> str | None:
    for each in value:
        try:
            ipaddress.ip_network(each)
        except ValueError:
            return "give IP addresses or networks, such as 10.0.0.0/8"
    return None


def _is_key(value: str) -> str | None:
    try:
        sound = len(base64.b64decode(value, validate=True)) == 32
    except (binascii.Error, ValueError):
        sound = False
    return None if sound else "give 32 random bytes in base64, such as `openssl rand -base64 32` prints"


def _are_delays(value: tuple[float, ...]) -> str | None:
    if not value or any(each <= 0 for each in value) or list(value) != sorted(value):
        return "give at least one delay, each above 0 and none shorter than the one before"
    return None


def _is_graph_version(value: str) -> str | None:
    return None if re.fullmatch(r"v\d{1,3}\.\d", value) else "give a version such as v26.0"


def _is_path(value: str) -> str | None:
    return None if value.strip() and "\0" not in value else "give a path"


def _set(
    default: T,
    help: str,
    *,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
    check: Check | None = None,
    secret: bool = False,
) -> T:
    """Declare one setting; a secret comes from the environment only and is never shown."""
    metadata = {
        "help": help,
        "least": least,
        "most": most,
        "choices": choices,
        "check": check,
        "secret": secret,
    }
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """The HTTP face: where it listens and how much it reads."""

    host: str = _set("127.0.0.1", "Address to listen on.", check=_is_host)
    port: int = _set(8080, "Port to listen on; 0 lets the system choose.", least=0, most=65_535)
    allow_public_bind: bool = _set(
        False, "Allow an address other than loopback. Put TLS in front first: keys travel in a header."
    )
    public_url: str | None = _set(
        None, "How the world reaches this gateway, for callback URLs; Meta calls https only.", check=_is_url
    )
    trusted_proxies: tuple[str, ...] = _set(
        (), "Addresses or networks whose X-Forwarded-For and -Proto are believed.", check=_are_networks
    )
    request_body_bytes_max: int = _set(
        _MIB,
        "Largest body of an API request; media uploads have `inbox.media_bytes_max`.",
        least=1024,
        most=64 * _MIB,
    )
    # Meta states 3 MB for one callback; the slack is for what a proxy or a later Graph version adds.
    callback_body_bytes_max: int = _set(
        4 * _MIB, "Largest body of a callback.", least=3 * _MIB, most=64 * _MIB
    )
    drain_seconds: float = _set(
        30.0,
        "How long a stop waits for requests and calls under way; keep the supervisor's limit above.",
        least=0,
    )

    @property
    def is_loopback(self) -> bool:
        """Say whether only this machine can reach the listener."""
        if self.host.lower() in LOOPBACK_NAMES:
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def base_url(self) -> str:
        """Return the URL to print and to build callback URLs from, without a slash at its end."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = self.host.strip("[]")
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The database: the embedded file, or one that several processes share."""

    path: str = _set(
        "waypost-data/waypost.sqlite",
        "The SQLite file; its directory is made if absent. With `store.url` only the directory is used.",
        check=_is_path,
    )
    url: str | None = _set(
        None,
        "PostgreSQL 15 or newer, shared by any number of processes: `postgresql://user:password@host:port/database`.",
        check=is_postgres_url,
        secret=True,
    )
    second_place: str | None = _set(
        None,
        "Where withdrawals are kept a second time, outside of the database: `file:///folder` or `postgresql://…`.",
        check=is_second_place,
        secret=True,
    )
    batch_rows_max: int = _set(512, "Most operations committed in one transaction.", least=1, most=100_000)
    queue_rows_max: int = _set(
        10_000, "Most operations waiting for the writer; beyond, requests get 503 with Retry-After.", least=1
    )
    read_connections: int = _set(2, "Connections kept open for reading.", least=1, most=64)
    disk_free_bytes_min: int = _set(
        64 * _MIB, "With less free disk than this nothing new is accepted; reading goes on.", least=0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The key that tokens and app secrets are encrypted with at rest."""

    key_file: str = _set(
        "waypost-data/master.key",
        "File of the master key; made with mode 0600 on the first start.",
        check=_is_path,
    )
    master_key: str | None = _set(
        None,
        "The master key itself, 32 bytes in base64; takes the place of the file.",
        check=_is_key,
        secret=True,
    )

    @property
    def master_key_bytes(self) -> bytes | None:
        """Return the key given by the environment, or None when the file holds it."""
        return None if self.master_key is None else base64.b64decode(self.master_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """Sending: leases, tries, waiting and expiry."""

    lease_seconds: float = _set(
        30.0, "How long a lane is held; above `provider_timeout_seconds`.", least=1, most=3600
    )
    provider_timeout_seconds: float = _set(
        20.0, "How long one call to the provider may take before its outcome is unknown.", least=0.1, most=600
    )
    attempts_max: int = _set(8, "Most attempts for one message.", least=1, most=100)
    backoff_seconds_min: float = _set(2.0, "First wait before another attempt.", least=0.01)
    backoff_seconds_max: float = _set(900.0, "Longest wait before another attempt.", least=0.01, most=_DAY)
    in_flight_max: int = _set(512, "Most calls under way in this process.", least=1, most=10_000)
    per_number_in_flight_max: int = _set(256, "Most calls under way for one number.", least=1, most=10_000)
    sweep_interval_seconds: float = _set(
        5.0,
        "How often strays are looked for: ended leases, expiries, overdue messages.",
        least=0.05,
        most=3600,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudApi:
    """Meta's Cloud API; a number may have its own base URL, version and authentication header."""

    base_url: str = _set("https://graph.facebook.com", "Base URL of numbers that name none.", check=_is_url)
    graph_version: str = _set("v26.0", "Graph version of numbers that name none.", check=_is_graph_version)
    connections_max: int = _set(300, "Most connections to the provider.", least=1, most=10_000)
    health_refresh_seconds: float = _set(
        900.0, "How often health, quality, throughput tier and limit are read.", least=10
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """Callbacks and media."""

    # Design §5: raw callbacks go seven days after reading.
    raw_retention_days: int = _set(7, "How long a raw callback is kept once read.", least=1, most=365)
    parse_batch_callbacks_max: int = _set(
        500, "Most callbacks read in one transaction.", least=1, most=10_000
    )
    # Meta's largest kind, the document, is 100 MB.
    media_bytes_max: int = _set(100 * _MIB, "Largest media, in either direction.", least=1024)
    media_attempts_max: int = _set(8, "Most tries to fetch one inbound media.", least=1, most=100)
    media_dir: str = _set("waypost-data/media", "Directory of the stored media.", check=_is_path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """Our POSTs to subscribers."""

    timeout_seconds: float = _set(15.0, "How long a subscriber may take to answer.", least=0.1, most=120)
    in_flight_max: int = _set(64, "Most POSTs under way in this process.", least=1, most=10_000)
    per_subscriber_in_flight_max: int = _set(8, "Most POSTs under way to one subscriber.", least=1, most=1000)
    batch_events_max: int = _set(
        100, "Most events in one POST to a subscriber that asked for batches.", least=1, most=100
    )
    # Standard Webhooks' suggested schedule; its sum is 3.1 days, above the three days we promise.
    retry_delays_seconds: tuple[float, ...] = _set(
        (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0),
        "Waits between the tries of one event; the last one is also the end.",
        check=_are_delays,
    )
    park_after_seconds: float = _set(
        3600.0, "How long an event that alone fails holds back its conversation before it is parked.", least=1
    )
    pause_after_seconds: float = _set(
        5 * 86_400.0,
        "A subscriber that answered nothing well for this long is paused, with the reason.",
        least=60,
    )
    allow_private_addresses: bool = _set(
        False, "Allow subscriber URLs on loopback and private networks, and over plain http."
    )
    secret_overlap_hours: float = _set(
        24.0, "How long the old secret still signs after a rotation.", least=0, most=720
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """Brokers of your own, as another way in and out; none is needed."""

    nats_url: str | None = _set(
        None,
        "NATS servers with JetStream: `nats://user:password@host:4222`.",
        check=are_nats_urls,
        secret=True,
    )
    nats_credentials_file: str | None = _set(None, "A NATS credentials file (JWT and seed).", check=_is_path)
    rabbitmq_url: str | None = _set(
        None, "A RabbitMQ server: `amqp://user:password@host:5672/vhost`.", check=is_amqp_url, secret=True
    )
    sources: tuple[str, ...] = _set(
        (),
        "Queues to take drafts from, rows of `broker queue key-id`; the key needs messages:send.",
        check=are_queue_rows,
    )
    forwards: tuple[str, ...] = _set(
        (),
        "Queues to forward the journal to, rows of `broker queue key-id`; the key needs events:read.",
        check=are_queue_rows,
    )
    forward_from: str = _set(
        "now", "Where a forward that is new begins in the journal.", choices=("now", "beginning")
    )
    in_flight_max: int = _set(200, "Most messages of one source taken at a time.", least=1, most=10_000)

    @property
    def source_rows(self) -> tuple[QueueRow, ...]:
        """Return the rows of `sources`, read."""
        return queue_rows(self.sources)

    @property
    def forward_rows(self) -> tuple[QueueRow, ...]:
        """Return the rows of `forwards`, read."""
        return queue_rows(self.forwards)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """API keys."""

    rotation_overlap_hours: float = _set(
        24.0, "How long the old key still works after a rotation.", least=0, most=720
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """Stored answers of requests with an Idempotency-Key."""

    retention_hours: float = _set(72.0, "How long a stored answer is replayed.", least=1, most=720)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The log on standard error; it holds ids and no content."""

    level: str = _set("info", "Least level that is written.", choices=("debug", "info", "warning", "error"))
    format: str = _set(
        "auto", "`auto` is console on a terminal, else json.", choices=("auto", "console", "json")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Prometheus figures on /metrics."""

    enabled: bool = _set(True, "Serve /metrics.")
    public: bool = _set(
        False, "Serve /metrics without a key; a proxy on this machine would open it to the world."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings, checked."""

    http: Http = Http()
    store: Store = Store()
    secrets: Secrets = Secrets()
    outbox: Outbox = Outbox()
    cloud_api: CloudApi = CloudApi()
    inbox: Inbox = Inbox()
    webhooks: Webhooks = Webhooks()
    queues: Queues = Queues()
    keys: Keys = Keys()
    idempotency: Idempotency = Idempotency()
    log: Log = Log()
    metrics: Metrics = Metrics()

    @property
    def claims_in_flight_max(self) -> int:
        """Return how many attempts may be open at once: a claim needs a free connection."""
        return min(self.outbox.in_flight_max, self.cloud_api.connections_max)
