"""The phone page: a person sees the chat as the customer and answers. Rendered here, live over SSE."""

import asyncio
from collections.abc import AsyncIterator
from importlib.resources import files

from jinja2 import Environment, PackageLoader, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from waypost.emulator.media_edges import file_answer
from waypost.emulator.seed import DEMO
from waypost.emulator.stage import Stage

_KINDS = {"phone.js": "text/javascript", "phone.css": "text/css", "bubbles.js": "text/javascript"}
_PING_SECONDS = 15.0


def close_streams(stage: Stage) -> None:
    """Let every live stream end, so that the sockets can close."""
    stage.world.closing = True
    stage.world.touch()


def routes(stage: Stage) -> list[Route]:
    """All routes of the page."""
    pages = Environment(loader=PackageLoader("waypost.emulator", "pages"), autoescape=select_autoescape())

    async def show(_: Request) -> Response:
        numbers = list(stage.world.numbers.values())
        text = pages.get_template("phone.html").render(numbers=numbers, demo=DEMO)
        return HTMLResponse(text, headers={"Cache-Control": "no-store"})

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _KINDS:
            return Response(status_code=404)
        content = files("waypost.emulator").joinpath("pages", name).read_bytes()
        return Response(content, media_type=_KINDS[name], headers={"Cache-Control": "no-store"})

    async def live(_: Request) -> Response:
        return StreamingResponse(
            _changes(stage), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def file(request: Request) -> Response:
        media = stage.world.media.get(request.path_params["media_id"])
        if media is None:
            return Response(status_code=404)
        answer = file_answer(media, request.headers.get("range"))
        return Response(answer.body, answer.status, answer.headers, answer.media_type)

    return [
        Route("/", show),
        Route("/_emulator/media/{media_id}", file),
        Route("/_emulator/assets/{name}", asset),
        Route("/_emulator/live", live),
    ]


async def _changes(stage: Stage) -> AsyncIterator[str]:
    """One line per change of the world, folded while the reader is slow."""
    world = stage.world
    changed = asyncio.Event()
    world.watchers.add(changed.set)
    try:
        yield f"data: {world.version}\n\n"
        while not world.closing:
            try:
                await asyncio.wait_for(changed.wait(), _PING_SECONDS)
                changed.clear()
                yield f"data: {world.version}\n\n"
            except TimeoutError:
                yield ": still here\n\n"
    finally:
        world.watchers.discard(changed.set)
