"""What the URL of an outside place must look like; each check gives the remedy, or None when it is fine."""

import re
from urllib.parse import urlsplit


def is_postgres_url(value: str) -> str | None:
    """Say what is wrong with the URL of a PostgreSQL database."""
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("postgresql", "postgres") and parts.path.strip("/")
    except ValueError:
        sound = None
    return None if sound else "give postgresql://user:password@host:port/database"


def are_nats_urls(value: str) -> str | None:
    """Say what is wrong with the URLs of NATS servers."""
    sound = all(re.match(r"(nats|tls)://[^\s/]+$", each) for each in value.split(","))
    return None if sound else "give nats://user:password@host:4222, several servers separated by commas"


def is_amqp_url(value: str) -> str | None:
    """Say what is wrong with the URL of a RabbitMQ server."""
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("amqp", "amqps") and parts.hostname
    except ValueError:
        sound = None
    return None if sound else "give amqp://user:password@host:5672/vhost"


def is_second_place(value: str) -> str | None:
    """Say what is wrong with the URL of a second place: a folder that is there, or another database."""
    parts = urlsplit(value)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return None
    if parts.scheme in ("postgresql", "postgres"):
        return is_postgres_url(value)
    return "give file:///folder (a bucket is mounted as one) or postgresql://user:password@host:port/database"
