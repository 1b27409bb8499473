"""NATS JetStream: a durable pull consumer to take from, publish with acknowledgement to put into.

Streams that are there are used as they are; a subject that no stream keeps gets one of its own, on disk.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error, MaxPayloadError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy
from nats.js.errors import NotFoundError

from waypost.queues.base import KEY_HEADER, PROBLEM_HEADER, TYPE_HEADER, BrokerDown, Outgoing, Received

_MESSAGE_ID = "Nats-Msg-Id"
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
# After the first message, how long the rest of a batch is waited for.
_GATHER_SECONDS = 0.02


async def _quiet(error: Exception) -> None:
    """The client tells its faults twice; we hear them as exceptions."""


class _Link:
    """One connection, opened when needed; after any fault the next use opens another."""

    def __init__(self, url: str, credentials_file: str | None) -> None:
        self._url, self._credentials_file = url, credentials_file
        self._client: Client | None = None
        self._stream: JetStreamContext | None = None
        self._calls: set[asyncio.Task[object]] = set()

    async def open(self) -> JetStreamContext:
        """Give the open connection's JetStream."""
        if self._stream is None:
            # Reconnecting is ours: a client that does it by itself would hide for how long it has been away.
            self._client = await nats.connect(
                self._url.split(","),
                allow_reconnect=False,
                # It also counts first connections, and would try for two minutes.
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=int(_CONNECT_SECONDS),
                user_credentials=self._credentials_file,
                error_cb=_quiet,
                closed_cb=self._closed,
                name="waypost",
            )
            self._stream = self._client.jetstream(timeout=_ANSWER_SECONDS)
        return self._stream

    async def _closed(self) -> None:
        for call in self._calls:
            call.cancel()

    async def publish(
        self, stream: JetStreamContext, subject: str, body: bytes, headers: dict[str, str]
    ) -> None:
        """Return once the stream has stored it; fails at once when the connection goes, as the client would not."""
        call: asyncio.Task[object] = asyncio.ensure_future(
            stream.publish(subject, body, timeout=_ANSWER_SECONDS, headers=headers)
        )
        self._calls.add(call)
        try:
            await call
        except asyncio.CancelledError:
            if self.is_up:
                raise
            raise ConnectionError("the connection is gone") from None
        finally:
            self._calls.discard(call)

    def standing(self) -> JetStreamContext:
        """Give JetStream of the connection that stands."""
        if self._stream is None or not self.is_up:
            raise ConnectionError("the connection is gone")
        return self._stream

    @property
    def is_up(self) -> bool:
        """Say whether the connection stands, as far as is known."""
        return self._client is not None and self._client.is_connected

    async def flush(self) -> None:
        """Wait, as far as possible, until the server has read all that was sent."""
        if self._client is not None and self.is_up:
            with contextlib.suppress(Error, OSError):
                await self._client.flush(int(_CONNECT_SECONDS))

    async def close(self) -> None:
        """Close; what was received and not settled comes again."""
        client, self._client, self._stream = self._client, None, None
        if client is not None:
            with contextlib.suppress(Error, OSError):
                await client.close()

    @contextlib.asynccontextmanager
    async def faults(self) -> AsyncIterator[None]:
        """Turn what the client raises into `BrokerDown`, and begin with a new connection after it."""
        try:
            yield
        except MaxPayloadError:
            raise BrokerDown(
                "a message is larger than the NATS server takes",
                code="broker_payload_too_large",
                remedy="raise the server's max_payload",
            ) from None
        except (Error, OSError) as error:
            await self.close()
            raise BrokerDown(f"NATS: {type(error).__name__}") from None


async def _keep_subject(stream: JetStreamContext, subject: str, retention: RetentionPolicy) -> str:
    """Give the stream that keeps `subject`; makes one where there is none (twice the same is one)."""
    try:
        return await stream.find_stream_name_by_subject(subject)
    except NotFoundError:
        name = subject.replace(".", "-")
        await stream.add_stream(name=name, subjects=[subject], retention=retention)
        return name


class NatsSource:
    """Takes from one subject through the durable consumer `waypost-…`, which all our processes share."""

    def __init__(
        self, url: str, subject: str, credentials_file: str | None = None, ack_wait_seconds: float = 30.0
    ) -> None:
        self._link = _Link(url, credentials_file)
        self._subject, self._dead, self._ack_wait_seconds = subject, f"{subject}.dead", ack_wait_seconds
        self._consumer: JetStreamContext.PullSubscription | None = None

    async def receive(self, limit: int, wait_seconds: float) -> Sequence[Received]:
        """Give up to `limit` messages as soon as there is one, none after `wait_seconds`."""
        async with self._link.faults():
            consumer = await self._open()
            found = await self._fetch(consumer, 1, wait_seconds)
            if found and limit > 1:
                found += await self._fetch(consumer, limit - 1, _GATHER_SECONDS)
            return [self._received(each) for each in found]

    async def _open(self) -> JetStreamContext.PullSubscription:
        if self._consumer is None or not self._link.is_up:
            await self._link.close()
            stream = await self._link.open()
            # What is acknowledged leaves a stream of ours; dead letters stay until a person is done with them.
            name = await _keep_subject(stream, self._subject, RetentionPolicy.WORK_QUEUE)
            await _keep_subject(stream, self._dead, RetentionPolicy.LIMITS)
            durable = f"waypost-{self._subject.replace('.', '-')}"
            rules = ConsumerConfig(
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=self._ack_wait_seconds,
                filter_subject=self._subject,
                max_deliver=-1,
            )
            self._consumer = await stream.pull_subscribe(self._subject, durable, stream=name, config=rules)
        return self._consumer

    async def _fetch(
        self, consumer: JetStreamContext.PullSubscription, limit: int, wait_seconds: float
    ) -> list[Msg]:
        try:
            return await consumer.fetch(limit, timeout=wait_seconds)
        # Python's own: the client's is one of these, and now and then it lets the bare one through.
        except TimeoutError:
            if not self._link.is_up:
                raise
            return []

    def _received(self, message: Msg) -> Received:
        headers = {name.lower(): value for name, value in (message.headers or {}).items()}
        key = headers.get(KEY_HEADER.lower(), headers.get(_MESSAGE_ID.lower()))
        place = message.metadata.sequence.stream
        return Received(message.data, key, f"nats:{self._subject}:{place}", message)

    async def done(self, received: Received) -> None:
        """Acknowledge."""
        async with self._link.faults():
            await received.ticket.ack()

    async def later(self, received: Received, delay_seconds: float) -> None:
        """Give it back; the server waits `delay_seconds` before it comes again."""
        async with self._link.faults():
            await received.ticket.nak(delay=delay_seconds)

    async def bury(self, received: Received, problem: bytes) -> None:
        """Publish to `<subject>.dead`, and acknowledge once that is kept."""
        # The id is the message's place, so that burying twice is once, also where both subjects share a stream.
        headers = {_MESSAGE_ID: f"dead:{received.reference}", PROBLEM_HEADER: problem.decode()}
        if received.key is not None and received.key.isprintable():
            headers[KEY_HEADER] = received.key
        async with self._link.faults():
            stream = self._link.standing()
            await self._link.publish(stream, self._dead, received.body, headers)
            await received.ticket.ack()

    async def close(self) -> None:
        """Let go of the connection, once the server has heard what is acknowledged."""
        self._consumer = None
        await self._link.flush()
        await self._link.close()


class NatsSink:
    """Publishes to one subject; the event's id is the `Nats-Msg-Id`."""

    def __init__(self, url: str, subject: str, credentials_file: str | None = None) -> None:
        self._link, self._subject = _Link(url, credentials_file), subject
        self._is_kept = False

    async def publish(self, event: Outgoing) -> None:
        """Return once the stream's leader has stored the event."""
        async with self._link.faults():
            if not self._link.is_up:
                await self._link.close()
                self._is_kept = False
            stream = await self._link.open()
            if not self._is_kept:
                await _keep_subject(stream, self._subject, RetentionPolicy.LIMITS)
                self._is_kept = True
            headers = {_MESSAGE_ID: event.id, TYPE_HEADER: event.kind}
            await self._link.publish(stream, self._subject, event.body, headers)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._link.close()
