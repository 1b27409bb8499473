"""The demo's own subscriber: takes webhooks, checks their signature as a customer's endpoint would, and says so."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TOLD = ("inbound.received", "message.sent", "message.delivered", "message.read", "message.failed")


class DemoSubscriber:
    """An endpoint at `/events`; `secret` (`whsec_…`) is set once the gateway has given it."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce
        self.secret = ""
        self.application = Starlette(routes=[Route("/events", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        if not self._signed(request, body):
            self._announce("  webhook  refused: the signature does not match")
            return Response(status_code=401)
        payload = json.loads(body)
        for event in payload.get("events", [payload]):
            if event["type"] in _TOLD:
                self._announce(f"  webhook  {event['type']:<18} signature valid   {event['id']}")
        return Response(status_code=204)

    def _signed(self, request: Request, body: bytes) -> bool:
        signed = (
            f"{request.headers.get('webhook-id')}.{request.headers.get('webhook-timestamp')}.".encode() + body
        )
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        given = request.headers.get("webhook-signature", "").split()
        return any(hmac.compare_digest(expected, one) for one in given)
