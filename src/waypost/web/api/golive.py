"""`GET /v1/numbers/{number_id}/golive`: how far a number is on its way from a token to live, step by step."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from waypost.domain.errors import CapabilityMissing, NotFound
from waypost.numbers.golive import GoLive
from waypost.store import numbers
from waypost.web.routing import Ask, Route


class GoLiveStep(Struct, frozen=True):
    """One step with what its check found at Meta just now."""

    name: str
    title: str
    state: Annotated[Literal["ok", "todo", "failed"], Meta(description="`failed`: it could not be checked.")]
    message: str
    remedy: Annotated[str, Meta(description="What to do.")] | None
    undo: Annotated[str, Meta(description="The way back.")]


class GoLiveShown(Struct, frozen=True):
    """The whole walk; `live` when every step is ok."""

    number_id: str
    app_id: Annotated[str, Meta(description="Callbacks come to `/callbacks/{app_id}`.")]
    callback_uri: Annotated[str, Meta(description="That address, as the settings tell it.")] | None
    live: bool
    steps: list[GoLiveStep]


async def _walk(ask: Ask) -> GoLiveShown:
    parts = ask.parts
    if parts.numbers is None or parts.cloud is None:
        raise CapabilityMissing(
            "this gateway was started without a provider", remedy="start it with `waypost serve`"
        )
    number = await parts.store.read(numbers.get, ask.caller.tenant_id, ask.path["number_id"])
    public_url = parts.config.http.public_url
    public_url = None if public_url is None else public_url.rstrip("/")
    walk = GoLive(parts.store, parts.cloud, parts.numbers, ask.caller.tenant_id, number.id, public_url)
    steps = [
        GoLiveStep(
            each.name, each.title, each.finding.state, each.finding.message, each.finding.remedy, each.undo
        )
        for each in await walk.walk()
    ]
    return GoLiveShown(
        number.id,
        number.app_id,
        None if public_url is None else f"{public_url}/callbacks/{number.app_id}",
        all(step.state == "ok" for step in steps),
        steps,
    )


ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/v1/numbers/{number_id}/golive", "numbers:read", "How far a number is on its way to live", _walk,
        answer=GoLiveShown, problems=(NotFound, CapabilityMissing), tag="numbers",
        description="Reads Meta anew; changes nothing. A step that could not be checked does not hide the others.",
    ),
)  # fmt: skip
