"""Media in both directions: ours up to Meta, and what customers send down to local storage before Meta drops it."""

import asyncio
from datetime import timedelta

from msgspec import Struct

from waypost.domain.errors import NotFound, TooLarge, WaypostError
from waypost.domain.ids import IdSource
from waypost.domain.outcomes import Failed
from waypost.domain.ports import Clock
from waypost.domain.times import to_ms
from waypost.numbers.access import AccessBook
from waypost.numbers.media_files import Arrival, MediaFiles
from waypost.numbers.media_types import check_size, settled_type
from waypost.numbers.refusals import refusal
from waypost.store import media as rows
from waypost.store import numbers
from waypost.store.database import Store
from waypost.store.media import Media
from waypost.transports.base import Access
from waypost.transports.cloud_api.management import Ok
from waypost.transports.cloud_api.media import TOO_LARGE, CloudMedia

_AT_ONCE = 8
_LEASE_SECONDS = 300.0  # above the longest transfer, so that two fetchers never write one file
_BACKOFF_SECONDS_MIN = 5.0
_BACKOFF_SECONDS_MAX = 3_600.0
_IDLE_SECONDS = 30.0


class Uploads:
    """Takes files from callers to Meta."""

    def __init__(
        self,
        store: Store,
        cloud: CloudMedia,
        access: AccessBook,
        files: MediaFiles,
        ids: IdSource,
        clock: Clock,
    ) -> None:
        self._store, self._cloud, self._access = store, cloud, access
        self._files, self._ids, self._clock = files, ids, clock

    def begin(self) -> tuple[str, Arrival]:
        """Open a new upload: our id of it and where to write its bytes. Discard it when the caller goes away."""
        media_id = self._ids.new("media", self._clock.now())
        return media_id, self._files.arrive(media_id)

    async def finish(
        self,
        media_id: str,
        arrival: Arrival,
        tenant_id: str,
        number_id: str,
        told_type: str | None,
        filename: str | None,
        actor: str,
    ) -> Media:
        """Check the type and size of what arrived, upload it to Meta, keep it. Raises naming `type` or `file`."""
        await self._store.read(numbers.get, tenant_id, number_id)
        access = await self._access.access_of(number_id)
        mime_type = settled_type(told_type, filename, arrival.head)
        check_size(mime_type, arrival.size_bytes, arrival.head)
        path = await self._files.keep(arrival)
        answer = await self._cloud.upload(access, path, mime_type, filename or media_id)
        if isinstance(answer, Failed):
            # The file stays: it lies under its hash, and the caller's next try finds it there.
            raise refusal(answer, "uploading the media")
        item = rows.Uploaded(
            id=media_id,
            tenant_id=tenant_id,
            number_id=number_id,
            provider_media_id=answer.value,
            mime_type=mime_type,
            size_bytes=arrival.size_bytes,
            sha256=arrival.sha256,
            filename=filename,
            actor=actor,
            now=self._clock.now(),
        )
        kept: Media = await self._store.write(rows.uploaded, item)
        return kept


class _Fault(Struct, frozen=True):
    """Why a try failed. `is_final`: no other try can do better. `counts`: it used up one of the tries; what is wrong
    with Meta or the token does not, since the media waits there for days."""

    code: str
    is_final: bool = False
    counts: bool = True


class MediaFetcher:
    """Fetches wanted inbound media: asks Meta for the address, downloads bounded, checks the hash, keeps."""

    def __init__(
        self,
        store: Store,
        cloud: CloudMedia,
        access: AccessBook,
        files: MediaFiles,
        clock: Clock,
        *,
        bytes_max: int,
        attempts_max: int,
    ) -> None:
        self._store, self._cloud, self._access = store, cloud, access
        self._files, self._clock = files, clock
        self._bytes_max, self._attempts_max = bytes_max, attempts_max

    async def step(self) -> float:
        """Fetch what is due, a few at once; gives the seconds until it wants to be called again."""
        due = await self._store.read(rows.due, self._clock.now(), _AT_ONCE)
        # One that raises (a full disk) must not leave the others behind with their files half written.
        results = await asyncio.gather(*(self._fetch(media) for media in due), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        next_at = await self._store.read(rows.next_due_at)
        if next_at is None:
            return _IDLE_SECONDS
        return min(max((next_at - self._clock.now()).total_seconds(), 0.0), _IDLE_SECONDS)

    async def _fetch(self, media: Media) -> None:
        now = self._clock.now()
        if media.provider_expires_at is not None and media.provider_expires_at <= to_ms(now):
            await self._store.write(
                rows.not_fetched, rows.NotFetched(media, "expired", media.fault or "expired", None, now)
            )
            return
        claim = rows.Claim(media, now + timedelta(seconds=_LEASE_SECONDS))
        taken: Media | None = await self._store.write(rows.claim, claim)
        if taken is None:
            return
        arrival: Arrival | None = None
        try:
            access = await self._access.access_of(taken.number_id)
            arrival = self._files.arrive(taken.id)
            fault = await self._download(access, taken, arrival)
            if fault is None:
                await self._files.keep(arrival)
        except NotFound:
            fault = _Fault("number_removed", is_final=True)
        except WaypostError as error:
            # A full disk: try again, the media waits at Meta.
            fault = _Fault(error.code, counts=False)
        finally:
            if arrival is not None:
                arrival.discard()
        if fault is not None:
            await self._put_off(taken, fault)
            return
        assert arrival is not None
        mime_type = taken.mime_type
        item = rows.Fetched(taken, arrival.sha256, arrival.size_bytes, mime_type, self._clock.now())
        await self._store.write(rows.fetched, item)

    async def _download(self, access: Access, media: Media, arrival: Arrival) -> _Fault | None:
        """Get the bytes into `arrival`, asking for a fresh address once when the first one is past its time."""
        told = media.sha256
        for is_last in (False, True):
            address = await self._cloud.address(access, media.provider_media_id or "")
            if isinstance(address, Failed):
                return _fault_of(address)
            told = told or rows.hex_of(address.value.sha256)
            try:
                answer = await self._cloud.download(access, address.value.url, arrival.write, self._bytes_max)
            except TooLarge:
                return _Fault("too_large", is_final=True)
            if isinstance(answer, Ok):
                break
            if answer.title == "HTTP 404" and not is_last and arrival.size_bytes == 0:
                continue
            return _fault_of(answer)
        if told is not None and arrival.sha256 != told:
            return _Fault("hash_mismatch")
        return None

    async def _put_off(self, media: Media, fault: _Fault) -> None:
        now = self._clock.now()
        is_over = fault.is_final or (fault.counts and media.tries >= self._attempts_max)
        if is_over:
            await self._store.write(rows.not_fetched, rows.NotFetched(media, "failed", fault.code, None, now))
            return
        # A share of its age: the waits grow by half each time, whatever the tries were spent on.
        age_seconds = (to_ms(now) - media.created_at) / 1_000
        seconds = min(max(age_seconds / 2, _BACKOFF_SECONDS_MIN), _BACKOFF_SECONDS_MAX)
        item = rows.NotFetched(
            media, "wanted", fault.code, now + timedelta(seconds=seconds), now, fault.counts
        )
        await self._store.write(rows.not_fetched, item)


def _fault_of(failure: Failed) -> _Fault:
    if failure.title == TOO_LARGE:
        return _Fault("too_large", is_final=True)
    if failure.title == "Address refused":
        return _Fault("address_refused", is_final=True)
    if failure.code == 100:
        # Gone at Meta, or not this token's: a few tries, since the id can be younger than Meta's own replicas.
        return _Fault("unknown_at_provider")
    if failure.title == "HTTP 404":
        return _Fault("not_found")
    return _Fault("provider_failed" if failure.code is None else f"provider_{failure.code}", counts=False)
