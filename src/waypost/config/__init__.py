"""The settings: a class for each section, read from a file and the environment, all mistakes told at once."""

from waypost.config.pages import render_docs
from waypost.config.reading import ConfigError, Mistake, Setting, find_file, load, settings
from waypost.config.settings import (
    CloudApi,
    Config,
    Http,
    Idempotency,
    Inbox,
    Keys,
    Log,
    Metrics,
    Outbox,
    Queues,
    Secrets,
    Store,
    Webhooks,
)

__all__ = [
    "CloudApi",
    "Config",
    "ConfigError",
    "Http",
    "Idempotency",
    "Inbox",
    "Keys",
    "Log",
    "Metrics",
    "Mistake",
    "Outbox",
    "Queues",
    "Secrets",
    "Setting",
    "Store",
    "Webhooks",
    "find_file",
    "load",
    "render_docs",
    "settings",
]
