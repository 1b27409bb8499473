"""`/callbacks/{app_id}`: where Meta calls. The raw bytes go to the inbox; `200` means that they are on disk.

No key: a callback carries a signature instead, which the inbox checks. Anything but `200` makes Meta send it again,
for up to seven days.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from waypost.domain.errors import Forbidden, TooLarge, Unavailable
from waypost.inbox.accept import CallbackInbox
from waypost.web.routing import Answer, Ask, Route

_TAG = "callbacks"
_SIGNATURE = "x-hub-signature-256"
_OK = Answer(200, b"{}")


class Handshake(Struct, frozen=True, rename=lambda name: f"hub.{name}"):
    """What Meta asks when a callback address is set."""

    mode: Annotated[str, Meta(max_length=64, description="`subscribe`.")] = ""
    verify_token: Annotated[str, Meta(max_length=512, description="The app's verify token.")] = ""
    challenge: Annotated[str, Meta(max_length=512, description="Echoed as the whole body.")] = ""


def _inbox(ask: Ask) -> CallbackInbox:
    inbox: CallbackInbox | None = ask.parts.inbox
    if inbox is None:
        raise Unavailable("This process takes no callbacks.", code="no_inbox", retry_after_seconds=5)
    return inbox


async def receive(ask: Ask) -> Answer:
    """Store one callback."""
    await _inbox(ask).accept(ask.path["app_id"], ask.headers.get(_SIGNATURE), ask.raw)
    return _OK


async def handshake(ask: Ask) -> Answer:
    """Prove to Meta that the address is ours."""
    query: Handshake = ask.query
    challenge = await _inbox(ask).verify(ask.path["app_id"], query.mode, query.verify_token, query.challenge)
    return Answer(200, challenge.encode(), content_type="text/plain; charset=utf-8")


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST", path="/callbacks/{app_id}", scope=None, tag=_TAG, run=receive, reads="raw", hot=True,
        idempotency="none", body_limit="callback", summary="Take a callback from Meta",
        answer=dict[str, msgspec.Raw], problems=(Forbidden, TooLarge, Unavailable),
        description="Signed by Meta with the app's secret over the raw body; answered once it is on disk.",
    ),
    Route(
        method="GET", path="/callbacks/{app_id}", scope=None, tag=_TAG, run=handshake, query=Handshake,
        summary="Answer Meta's handshake", answer=str, produces="text/plain; charset=utf-8",
        problems=(Forbidden, Unavailable),
    ),
)  # fmt: skip
