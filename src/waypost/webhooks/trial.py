"""Sends a test event to one subscriber at once, past its queue, and says what the endpoint answered."""

from collections.abc import Sequence

from msgspec import Struct

from waypost.domain.ports import Clock
from waypost.domain.times import to_ms
from waypost.store import subscriber_progress as progress
from waypost.store import subscribers
from waypost.store.database import Store
from waypost.store.transaction import Reading
from waypost.transports.egress import Unreachable
from waypost.webhooks.payloads import body_of, tellings
from waypost.webhooks.signing import signed_headers
from waypost.webhooks.teller import Post
from waypost.webhooks.verdicts import verdict_of

_SAID_CHARACTERS_MAX = 500


class Trial(Struct, frozen=True):
    """What came of a test. `status` None: no answer; `fault` says why. `said`: how its answer begins."""

    event_id: str
    told: bool
    status: int | None
    fault: str | None
    took_seconds: float
    said: str


async def try_out(
    store: Store, clock: Clock, post: Post, timeout_seconds: float, turn: subscribers.Turn
) -> Trial:
    """Journal `subscriber.tested` and POST it, whatever state the subscriber is in."""
    position: int = await store.write(subscribers.tested, turn)

    def needed(
        reading: Reading,
    ) -> tuple[subscribers.Subscriber, Sequence[subscribers.SigningKey], progress.Page]:
        found = subscribers.show(reading, turn.tenant_id, turn.subscriber_id)
        keys = subscribers.signing_keys(reading, found.id)
        return found, keys, progress.at(reading, turn.tenant_id, [position])

    found, keys, page = await store.read(needed)
    began = clock.now()
    told = tellings(page.events, page.contents, to_ms(began))
    webhook_id, body = body_of(told, found.batch_events_max > 1)
    answer = await post(found.url, signed_headers(webhook_id, body, keys, began), body, timeout_seconds)
    took = (clock.now() - began).total_seconds()
    event_id = told[0].event.id
    if isinstance(answer, Unreachable):
        return Trial(event_id, False, None, answer.fault, took, "")
    verdict = verdict_of(answer, clock.now())
    is_told = verdict.meaning == "told"
    said = answer.body.decode(errors="replace")[:_SAID_CHARACTERS_MAX]
    return Trial(event_id, is_told, answer.status, None if is_told else verdict.fault, took, said)
