"""Prometheus figures, in a registry of their own.

Counters of what happened follow the journal (nothing counts beside it, so a figure can't disagree with it); gauges
of what is open are computed when asked; only requests and write batches are counted where they happen.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from waypost.domain.classes import RANKS
from waypost.store import journal, measures
from waypost.store.database import Store

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_OUTCOMES = (
    "sent", "retrying", "failed", "unknown", "unresolved", "refused", "expired", "cancelled",
)  # fmt: skip
# A reason may be a sentence of an operator's: only codes become labels, which also bounds their number.
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,40}")


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "waypost_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "waypost_request_seconds",
            "Time to answer a request.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch_rows = Histogram(
            "waypost_write_batch_rows", "Operations in one commit.", buckets=_ROWS, registry=registry
        )
        self._batch_seconds = Histogram(
            "waypost_write_batch_seconds", "Time of one commit.", buckets=_SECONDS, registry=registry
        )
        self._events = Counter(
            "waypost_events", "Lines of the journal since this process started.", ["kind"], registry=registry
        )
        self._accepts = Counter("waypost_accepts", "Messages accepted.", registry=registry)
        self._queued = Counter(
            "waypost_queue_drafts",
            "Drafts from a team's own queue, by fate.",
            ["source", "fate"],
            registry=registry,
        )
        self._outcomes = Counter(
            "waypost_outcomes", "Outcomes of messages, by code.", ["outcome", "code"], registry=registry
        )
        self._started_at = Gauge(
            "waypost_counting_since_seconds", "When counting of events began, Unix time.", registry=registry
        )
        # Looking up a child by its labels costs more than counting: found once, kept.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._position: int | None = None

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; `route` is the declared path, never the one asked for."""
        known = self._children.get((method, route, status))
        if known is None:
            known = self._children[method, route, status] = (
                self._requests.labels(method, route, str(status)),
                self._request_seconds.labels(method, route),
            )
        known[0].inc()
        known[1].observe(max(0.0, seconds))

    def batch(self, rows: int, seconds: float) -> None:
        """Count one commit of `rows` operations."""
        self._batch_rows.observe(rows)
        self._batch_seconds.observe(seconds)

    def queued(self, source: str, fate: str) -> None:
        """Count one draft from a queue: taken, repeated, later or buried."""
        self._queued.labels(source, fate).inc()

    async def begin(self, store: Store, now: datetime) -> None:
        """Count events from here on; `app` calls it at start."""
        self._started_at.set(now.timestamp())
        self._position = await store.read(journal.position_now)

    async def exposition(self, store: Store, now: datetime) -> bytes:
        """Give every figure as of `now` in Prometheus' text format."""
        if self._position is None:
            await self.begin(store, now)
        await self._follow(store)
        found = await store.read(measures.measure, now)
        moment = CollectorRegistry(auto_describe=False)
        moment.register(_Moment(found))
        return generate_latest(self._registry) + generate_latest(moment)

    async def _follow(self, store: Store) -> None:
        while True:
            after = self._position or 0
            upto, told = await store.read(measures.counted, after)
            # Two scrapes at once would count a stretch twice: whoever comes second leaves it.
            if upto == after or self._position != after:
                return
            self._position = upto
            for each in told:
                self._count(each)

    def _count(self, told: measures.Told) -> None:
        self._events.labels(told.kind).inc(told.count)
        if told.kind == "message.accepted":
            self._accepts.inc(told.count)
        noun, _, verb = told.kind.partition(".")
        if noun == "message" and verb in _OUTCOMES:
            code = told.reason or "none"
            self._outcomes.labels(verb, code if _CODE.fullmatch(code) else "other").inc(told.count)


class _Moment:
    """Renders the measures of one moment as gauges."""

    def __init__(self, found: measures.Measures) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        found = self._found
        classes = [((RANKS.get(queue.rank, str(queue.rank)), queue.status), queue) for queue in found.queues]
        labels = ("class", "status")
        yield _gauge("queue_messages", "Messages waiting.", labels, ((k, q.messages) for k, q in classes))
        yield _gauge(
            "queue_age_seconds", "Age of the oldest.", labels, ((k, q.age_seconds) for k, q in classes)
        )
        yield from self._lanes()
        yield from self._followers()
        yield from self._plain()

    def _lanes(self) -> Iterator[Metric]:
        lanes = self._found.lanes
        yield _gauge(
            "lane_state",
            "1 for the state a number's sending is in.",
            ("number_id", "state"),
            (((lane.number_id, lane.state), 1) for lane in lanes),
        )
        one = ("number_id",)
        yield _gauge("lane_held", "Somebody sends.", one, (((x.number_id,), int(x.held)) for x in lanes))
        yield _gauge("lane_epoch", "Take-overs.", one, (((x.number_id,), x.epoch) for x in lanes))
        yield _gauge(
            "lane_slow_seconds",
            "How long the provider asked the number to wait.",
            one,
            (((x.number_id,), x.slow_seconds) for x in lanes),
        )

    def _followers(self) -> Iterator[Metric]:
        followers, one = self._found.followers, ("subscriber_id",)
        yield _gauge(
            "webhook_lag_seconds",
            "Age of the oldest event not told.",
            one,
            (((x.subscriber_id,), x.lag_seconds) for x in followers),
        )
        yield _gauge(
            "webhook_lag_events",
            "Journal lines behind the cursor.",
            one,
            (((x.subscriber_id,), x.lag_events) for x in followers),
        )
        yield _gauge(
            "webhook_parked_events",
            "Events parked.",
            one,
            (((x.subscriber_id,), x.parked) for x in followers),
        )
        yield _gauge(
            "webhook_state",
            "1 for the state a subscriber is in.",
            ("subscriber_id", "state"),
            (((x.subscriber_id, x.state), 1) for x in followers),
        )

    def _plain(self) -> Iterator[Metric]:
        found = self._found
        rows: tuple[tuple[str, str, float], ...] = (
            ("journal_position", "Last position of the journal.", found.position),
            ("unknown_messages", "Messages whose outcome is not known.", found.unknown.count),
            ("unknown_age_seconds", "How long the oldest has been unknown.", found.unknown.age_seconds),
            ("attempts_in_flight", "Attempts without an answer yet.", found.in_flight),
            ("callbacks_unread", "Callbacks stored and not yet read.", found.callbacks_unread.count),
            ("callback_lag_seconds", "Age of the oldest unread.", found.callbacks_unread.age_seconds),
            ("callbacks_parked", "Callbacks that could not be read.", found.callbacks_parked),
            ("receipts_parked", "Receipts that match nothing yet.", found.receipts_parked.count),
            ("receipts_parked_age_seconds", "Age of the oldest.", found.receipts_parked.age_seconds),
            ("media_wanted", "Inbound media not fetched yet.", found.media_wanted),
        )
        for name, told, value in rows:
            yield _gauge(name, told, (), [((), value)])


def _gauge(
    name: str, told: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"waypost_{name}", told, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family
