"""What routes are given to work with, built by `app` and by tests.

Frozen: a route changes rows, never its parts.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from waypost.config import Config
from waypost.domain.ids import IdSource
from waypost.domain.ports import Clock, Randomness
from waypost.inbox.accept import CallbackInbox
from waypost.numbers.media import Uploads
from waypost.numbers.media_files import MediaFiles
from waypost.numbers.registry import Numbers
from waypost.numbers.templates import TemplateBook, Templates, TemplateSync
from waypost.operations.withdrawing import Withdrawals
from waypost.store.database import Store
from waypost.transports.egress import Egress
from waypost.web.memory import KeyCache, UnderWay
from waypost.web.metrics import Metrics
from waypost.webhooks.bell import Bell

# Says in a sentence why the gateway can't serve now, or None when this part can.
Readiness = Callable[[], Awaitable[str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Ports, store and workflow entries. What a test doesn't use may stay None."""

    store: Store
    clock: Clock
    ids: IdSource
    randomness: Randomness
    config: Config
    readiness: tuple[Readiness, ...] = ()
    stop: Callable[[], tuple[int, int]] | None = (
        None  # begins to drain; gives the process's id, attempts under way
    )
    acceptor: Any = None  # outbox.accept.Acceptor
    access_of: Any = None  # async (number_id) -> transports.base.Access
    transport: Any = None  # transports.base.Transport
    inbox: CallbackInbox | None = None
    cloud: Any = None  # transports.cloud_api.management.Management
    numbers: Numbers | None = None
    templates: Templates | None = None
    template_sync: TemplateSync | None = None
    template_book: TemplateBook | None = None
    uploads: Uploads | None = None
    media_files: MediaFiles | None = None
    egress: Egress | None = None
    withdrawals: Withdrawals | None = None
    bell: Bell = field(default_factory=Bell)
    metrics: Metrics = field(default_factory=Metrics)
    key_cache: KeyCache = field(default_factory=KeyCache)
    under_way: UnderWay = field(default_factory=UnderWay)
