"""A number's room wired to a real emulator over real sockets and a store on a real file."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support import FakeClock, SeededRandomness, new_store

from waypost.config import CloudApi as Settings
from waypost.domain.ids import IdSource
from waypost.emulator import DEMO, Emulator
from waypost.numbers.access import AccessBook
from waypost.numbers.health import HealthRefresher
from waypost.numbers.media import MediaFetcher, Uploads
from waypost.numbers.media_files import MediaFiles
from waypost.numbers.registry import NewNumber, Numbers
from waypost.numbers.templates import NumberPreflight, TemplateBook, Templates, TemplateSync
from waypost.store.database import Store
from waypost.store.journal import Event, after
from waypost.store.numbers import Number
from waypost.transports.cloud_api.api import new_wire
from waypost.transports.cloud_api.management import Management
from waypost.transports.cloud_api.media import CloudMedia

TENANT = "ten_1"
MEDIA_BYTES_MAX = 200_000


@dataclass
class House:
    emulator: Emulator
    store: Store
    clock: FakeClock
    management: Management
    access: AccessBook
    numbers: Numbers
    health: HealthRefresher
    sync: TemplateSync
    book: TemplateBook
    templates: Templates
    preflight: NumberPreflight
    files: MediaFiles
    uploads: Uploads
    fetcher: MediaFetcher

    def new_number(self, **over: Any) -> NewNumber:
        """The demo's number, as its owner would describe it."""
        given: dict[str, Any] = {
            "tenant_id": TENANT,
            "phone_number_id": DEMO.number_id,
            "waba_id": DEMO.waba_id,
            "token": DEMO.access_token,
            "app_secret": DEMO.app_secret,
            "verify_token": DEMO.verify_token,
        }
        return NewNumber(**(given | over))

    async def add(self, **over: Any) -> Number:
        return await self.numbers.add(self.new_number(**over), "operator")

    async def events(self) -> list[Event]:
        return await self.store.read(after, 0, 10_000)

    async def kinds(self) -> list[str]:
        return [event.kind for event in await self.events()]

    @property
    def token(self) -> Any:
        return self.emulator.world.tokens[DEMO.access_token]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    emulator = Emulator(strict=True, rates=False)
    settings = Settings(base_url=await emulator.start())
    store, clock = new_store(tmp_path), FakeClock()
    wire = new_wire(settings, 5.0)
    management, media = Management(wire), CloudMedia(wire)
    access = AccessBook(store, clock)
    book = TemplateBook(store, clock)
    files = MediaFiles(tmp_path / "media", MEDIA_BYTES_MAX)
    yield House(
        emulator=emulator,
        store=store,
        clock=clock,
        management=management,
        access=access,
        numbers=Numbers(store, management, access, settings, clock),
        health=HealthRefresher(store, management, access, clock, 900.0),
        sync=TemplateSync(store, management, access, clock),
        book=book,
        templates=Templates(store, management, access, clock),
        preflight=NumberPreflight(store, book, clock),
        files=files,
        uploads=Uploads(store, media, access, files, IdSource(SeededRandomness(9)), clock),
        fetcher=MediaFetcher(store, media, access, files, clock, bytes_max=MEDIA_BYTES_MAX, attempts_max=3),
    )
    await wire.close()
    await emulator.stop()
    store.engine.close()


def facts_of(events: list[Event], kind: str) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(event.facts) for event in events if event.kind == kind]
