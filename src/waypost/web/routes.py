"""All routes of this release, in one tuple: what is served, documented and tested for its scope."""

from dataclasses import replace

from waypost.config import Config
from waypost.web import callbacks
from waypost.web.api import (
    contacts,
    conversations,
    events,
    golive,
    inbound,
    keys,
    media,
    messages,
    numbers,
    operations,
    quotas,
    stuck,
    subscribers,
    templates,
    withdrawals,
)
from waypost.web.openapi import document_routes
from waypost.web.routing import Route

# Reached without a key, each for a reason: probes, the document, and Meta's callbacks, which carry a signature.
PUBLIC = frozenset({"/healthz", "/readyz", "/openapi.json", "/docs", "/callbacks/{app_id}"})

_NOUNS: tuple[tuple[Route, ...], ...] = (
    messages.ROUTES,
    inbound.ROUTES,
    conversations.ROUTES,
    contacts.ROUTES,
    withdrawals.ROUTES,
    media.ROUTES,
    templates.ROUTES,
    numbers.ROUTES,
    golive.ROUTES,
    subscribers.ROUTES,
    events.ROUTES,
    stuck.ROUTES,
    keys.ROUTES,
    quotas.ROUTES,
    operations.ROUTES,
    callbacks.ROUTES,
)


def all_routes(config: Config) -> tuple[Route, ...]:
    """Give every route, as the configuration wants it."""
    declared = tuple(route for noun in _NOUNS for route in noun)
    if config.metrics.public:
        declared = tuple(
            replace(route, scope=None) if route.path == "/metrics" else route for route in declared
        )
    return declared + document_routes(declared, operations.release())
