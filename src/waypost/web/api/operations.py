"""Is it alive, is it ready, what are its figures, what can this release do; and 501 for what it can't do yet."""

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from waypost.domain.drafts import AnyDraft
from waypost.domain.errors import CapabilityMissing, Forbidden, NotFound, Unavailable
from waypost.web import metrics
from waypost.web.routing import Answer, Ask, Route, Scope

_TAG = "operations"
_NOT_YET = "Designed and not built in this release."


class Health(Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"]


class Ready(Struct, frozen=True):
    """The gateway can serve."""

    status: Literal["ready"]


class Draining(Struct, frozen=True):
    """The process takes nothing more and ends when nothing is under way."""

    status: Literal["draining"]
    process_id: Annotated[int, Meta(description="Of the operating system: gone once it has drained.")]
    attempts_in_flight: Annotated[int, Meta(description="Calls to the provider that are under way now.")]


class Capability(Struct, frozen=True):
    """One thing a user might expect."""

    name: str
    available: bool
    reason: Annotated[str, Meta(description="Why not, when it is not available.")] | None = None


class TransportShown(Struct, frozen=True):
    """What one WhatsApp dialect carries."""

    name: str
    available: bool
    reason: str | None
    content: Annotated[list[str], Meta(description="Kinds of content that can be sent.")]
    features: list[Capability]


class Capabilities(Struct, frozen=True):
    """What this release does and does not do; what is not there answers 501 `capability_missing`."""

    release: str
    transports: list[TransportShown]
    gateway: list[Capability]


def release() -> str:
    """Give the version of this installation."""
    try:
        return version("waypost")
    except PackageNotFoundError:
        return "0 (not installed)"


def _content_kinds() -> list[str]:
    return sorted(str(each.__struct_config__.tag) for each in get_args(AnyDraft))


_CAPABILITIES = Capabilities(
    release(),
    [
        TransportShown(
            "cloud",
            True,
            None,
            _content_kinds(),
            [
                Capability("receipts", True),
                Capability("read marks and typing", True),
                Capability("media", True),
                Capability("templates", True),
                Capability("groups", False, _NOT_YET),
                Capability("calls", False, "Calls are told as events; taking part in them is not built."),
                Capability("flows: data endpoint", False, _NOT_YET),
            ],
        ),
        TransportShown(
            "linked", False, "Linked devices come with a later release; numbers are `cloud` only.", [], []
        ),
    ],
    [
        Capability("webhooks", True),
        Capability("event pull and stream", True),
        Capability("conversations and hand-over", True),
        Capability("campaigns", False, _NOT_YET),
        Capability("evidence packs", False, _NOT_YET),
        Capability("erasure", False, _NOT_YET),
        Capability("PostgreSQL", False, "This release keeps its rows in SQLite, in one process."),
    ],
)


async def _healthz(ask: Ask) -> Health:
    return Health("ok")


async def _readyz(ask: Ask) -> Ready:
    reasons = [reason for check in ask.parts.readiness if (reason := await check()) is not None]
    if reasons:
        raise Unavailable(
            " ".join(reasons),
            code="not_ready",
            remedy="Wait, or run `waypost doctor`.",
            retry_after_seconds=2,
        )
    return Ready("ready")


async def _drain(ask: Ask) -> Draining:
    if ask.caller.actor != "operator":
        raise Forbidden(
            "A process is drained by who runs it.",
            code="operator_only",
            remedy="Run `waypost drain` on its machine, or send it SIGTERM.",
        )
    if ask.parts.stop is None:
        raise Unavailable("No gateway runs here.", code="not_running", remedy="There is nothing to drain.")
    return Draining("draining", *ask.parts.stop())


async def _metrics(ask: Ask) -> Answer:
    if not ask.parts.config.metrics.enabled:
        raise NotFound("Figures are switched off.", code="metrics_off", remedy="Set metrics.enabled.")
    body = await ask.parts.metrics.exposition(ask.parts.store, ask.now)
    return Answer(200, body, content_type=metrics.CONTENT_TYPE)


async def _capabilities(ask: Ask) -> Capabilities:
    return _CAPABILITIES


def _not_built(noun: str, name: str, read: Scope, write: Scope) -> tuple[Route, ...]:
    """Give the routes of a noun that is designed and not built: whoever tries them is told so, not a bare 404."""

    async def run(ask: Ask) -> None:
        raise CapabilityMissing(
            f"This release has no {name}.", remedy="GET /v1/capabilities lists what there is, and what comes."
        )

    path, told = f"/v1/{noun}", f"{name} (not in this release)"
    problems = (CapabilityMissing,)
    return (
        Route("GET", path, read, f"List {told}", run, status=501, problems=problems, tag=noun),
        Route(
            "POST",
            path,
            write,
            f"Make {told}",
            run,
            status=501,
            problems=problems,
            tag=noun,
            reads="raw",
            idempotency="none",
        ),
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/healthz", None, "Is the process alive?", _healthz, answer=Health, tag=_TAG),
    Route(
        "GET",
        "/readyz",
        None,
        "Can it serve?",
        _readyz,
        answer=Ready,
        problems=(Unavailable,),
        tag=_TAG,
        description="503 `not_ready` names every reason.",
    ),
    Route(
        "GET",
        "/metrics",
        "operations:read",
        "Figures for Prometheus",
        _metrics,
        answer=str,
        problems=(NotFound,),
        produces="text/plain",
        tag=_TAG,
        description="They span the whole installation. Public when `metrics.public` is set.",
    ),
    Route(
        "POST",
        "/v1/process:drain",
        "operations:write",
        "Stop this process in order",
        _drain,
        answer=Draining,
        status=202,
        problems=(Forbidden, Unavailable),
        tag=_TAG,
        reads="raw",
        idempotency="none",
        description="On the operator's socket only. It hands its lanes and roles to the other processes, says not"
        " ready on `/readyz`, lets what is under way end, and exits.",
    ),
    Route(
        "GET",
        "/v1/capabilities",
        "operations:read",
        "What this release can do",
        _capabilities,
        answer=Capabilities,
        tag=_TAG,
    ),
    *_not_built("campaigns", "campaigns", "messages:read", "messages:send"),
    *_not_built("evidence", "evidence packs", "operations:read", "operations:write"),
)
