"""Sending through the Cloud API: one POST per attempt, its outcome as a value, whatever the network does.

Paths: `{base_url}/{graph_version}/{phone_number_id}/messages`. A vendor may have its own form: an empty graph version
leaves that segment out, and `flat` leaves out the number too (360dialog: `https://waba-v2.360dialog.io/messages`).
"""

from typing import assert_never
from urllib.parse import urlsplit

from waypost.config import CloudApi as Settings
from waypost.domain.outcomes import Failed, Outcome, Unknown
from waypost.transports.base import Access, Done, Recipient
from waypost.transports.cloud_api.errors import command_failure, outcome_of
from waypost.transports.cloud_api.payloads import message_body, read_body
from waypost.transports.cloud_api.wire import Heard, Lost, NotReached, Reply, Wire, is_private_host

NOT_REACHED = "not reached"


def new_wire(settings: Settings, timeout_seconds: float) -> Wire:
    """Make the wire. Private addresses are allowed only when the configured base URL is one itself (the emulator)."""
    private = is_private_host(urlsplit(settings.base_url).hostname or "")
    return Wire(settings.connections_max, timeout_seconds, private)


class CloudApi:
    """The transport of cloud numbers; satisfies `transports.base.Transport`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def send(self, access: Access, recipient: Recipient, content: bytes, echo: str) -> Outcome:
        """Try once to send `content`; `echo` comes back with every receipt. Never raises for what the network does."""
        body = message_body(content, recipient, echo)
        route = self._wire.route(access)
        heard = await self._wire.ask("POST", route.messages, route.json_headers, body)
        match heard:
            case Reply():
                return outcome_of(heard.status, heard.headers, heard.body)
            case NotReached():
                return not_reached(heard)
            case Lost():
                return Unknown(heard.reason)
        assert_never(heard)

    async def mark_read(self, access: Access, provider_message_id: str, typing: bool) -> Done | Failed:
        """Mark an inbound message as read, and show typing for up to 25 s when asked."""
        route = self._wire.route(access)
        body = read_body(provider_message_id, typing)
        heard = await self._wire.ask("POST", route.messages, route.json_headers, body)
        return failure_of_command(heard) or Done()


def failure_of_command(heard: Heard) -> Failed | None:
    """Read what became of a command that may be repeated safely; None when it succeeded."""
    match heard:
        case Reply():
            return command_failure(heard.status, heard.headers, heard.body)
        case NotReached():
            return not_reached(heard)
        case Lost():
            return Failed(None, "retry", "no answer", heard.reason)
    assert_never(heard)


def not_reached(heard: NotReached) -> Failed:
    """Give the failure of a request that did not leave: another try doubles nothing."""
    return Failed(None, "retry", NOT_REACHED, heard.detail)
