"""Media over the wire: upload from a file, look up its address, download bounded, delete.

The address of a download comes from the other side and is asked for with our token, so it is followed only to Meta's
own hosts over https, or to the host the number itself speaks to; redirects are not followed at all.
"""

from collections.abc import Callable
from pathlib import Path

import aiohttp
from msgspec import Struct
from yarl import URL

from waypost.domain.outcomes import Failed
from waypost.transports.base import Access
from waypost.transports.cloud_api.api import failure_of_command
from waypost.transports.cloud_api.management import Ok, decoded
from waypost.transports.cloud_api.wire import Lost, Reply, Wire

TOO_LARGE = "too large"
_META_HOSTS = ("facebook.com", "fbsbx.com", "whatsapp.net", "fbcdn.net")
# 100 MB at a modest 1 MB/s; a peer that trickles is cut off here.
_TRANSFER_SECONDS = 120.0
_UPLOAD_SECONDS = 120.0


class MediaAddress(Struct, frozen=True):
    """Where media can be fetched for five minutes. `sha256` in hex or base64, as Meta pleases."""

    url: str
    mime_type: str | None = None
    sha256: str | None = None
    file_size: int | str | None = None


class _Uploaded(Struct, frozen=True):
    id: str


class CloudMedia:
    """The media calls of the Cloud API."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def upload(self, access: Access, path: Path, mime_type: str, filename: str) -> Ok[str] | Failed:
        """Upload a file, streamed from disk; gives Meta's media id, good for 30 days."""
        route = self._wire.route(access)
        with path.open("rb") as file:
            form = aiohttp.FormData()
            form.add_field("messaging_product", "whatsapp")
            form.add_field("type", mime_type)
            form.add_field("file", file, filename=filename, content_type=mime_type)
            heard = await self._wire.ask("POST", route.number / "media", route.headers, form, _UPLOAD_SECONDS)
        failure = failure_of_command(heard)
        if failure is not None:
            return failure
        assert isinstance(heard, Reply)
        answer = decoded(heard, _Uploaded)
        return Ok(answer.value.id) if isinstance(answer, Ok) else answer

    async def address(self, access: Access, provider_media_id: str) -> Ok[MediaAddress] | Failed:
        """Ask where media can be fetched: a fresh address, good for five minutes."""
        route = self._wire.route(access)
        url = route.root / provider_media_id
        if not route.is_flat:
            url = url.with_query(phone_number_id=access.phone_number_id)
        heard = await self._wire.ask("GET", url, route.headers)
        failure = failure_of_command(heard)
        if failure is not None:
            return failure
        assert isinstance(heard, Reply)
        return decoded(heard, MediaAddress)

    async def download(
        self, access: Access, address: str, sink: Callable[[bytes], None], bytes_max: int
    ) -> Ok[None] | Failed:
        """Stream what lies at `address` into `sink`. Beyond `bytes_max` it fails with the title `too large`."""
        route = self._wire.route(access)
        url = _allowed(address, route.root, route.is_flat)
        if url is None:
            return Failed(None, "fail", "Address refused", "The media address is not on Meta's hosts.")
        heard = await self._wire.fetch(url, route.headers, sink, bytes_max, _TRANSFER_SECONDS)
        if isinstance(heard, Reply) and heard.status == 200:
            if not heard.whole:
                return Failed(None, "fail", TOO_LARGE, f"More than {bytes_max} bytes.")
            return Ok(None)
        if isinstance(heard, Reply) and heard.status == 404:
            # Meta answers any failed download with 404, an address past its five minutes among them.
            return Failed(None, "retry", "HTTP 404", "The address is past its time, or the media is gone.")
        if isinstance(heard, Lost):
            return Failed(None, "retry", "Broke off", heard.reason)
        return failure_of_command(heard) or Failed(None, "retry", "Nonsense", "Not a download.")

    async def delete(self, access: Access, provider_media_id: str) -> Ok[None] | Failed:
        """Delete media at Meta."""
        route = self._wire.route(access)
        failure = failure_of_command(
            await self._wire.ask("DELETE", route.root / provider_media_id, route.headers)
        )
        return failure or Ok(None)


def _allowed(address: str, root: URL, is_flat: bool) -> URL | None:
    """Give the address if our token may go there."""
    try:
        url = URL(address, encoded=True)
    except ValueError:
        return None
    host = (url.host or "").lower()
    if is_flat and host != root.host:
        # 360dialog hands out Meta's address and serves the same path on its own host, with its own key.
        return root.origin().join(url.relative()) if url.absolute else None
    if url.scheme == root.scheme and url.host == root.host and url.port == root.port:
        return url
    if url.scheme == "https" and any(host == each or host.endswith(f".{each}") for each in _META_HOSTS):
        return url
    return None
