"""RabbitMQ (AMQP 0-9-1): a queue to take from with manual acknowledgement, persistent publishes with confirms.

Queues that are there are used as they are; one that is missing is declared durable.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity

from waypost.queues.base import KEY_HEADER, PROBLEM_HEADER, TYPE_HEADER, BrokerDown, Outgoing, Received

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
_CONTENT_TYPE = "application/json"


class _Link:
    """One connection with one channel, opened when needed; after any fault the next use opens another."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    async def open(self) -> AbstractChannel:
        """Give an open channel with publisher confirms."""
        if self._connection is None:
            self._connection = await aio_pika.connect(self._url, timeout=_CONNECT_SECONDS)
        if self._channel is None:
            # A publish that no queue takes must raise: the default confirms it.
            self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        return self._channel

    def standing(self) -> AbstractChannel:
        """Give the channel that stands; what belongs to a channel must not go out through the next one."""
        if self._channel is None or not self.is_up:
            raise ConnectionError("the connection is gone")
        return self._channel

    async def queue(self, name: str) -> AbstractQueue:
        """Give the queue, declared durable if it was missing; one with other arguments is used as it is."""
        try:
            return await (await self.open()).declare_queue(name, passive=True, timeout=_ANSWER_SECONDS)
        except ChannelNotFoundEntity:
            # The server closes the channel with this answer.
            self._channel = None
            return await (await self.open()).declare_queue(name, durable=True, timeout=_ANSWER_SECONDS)

    @property
    def is_up(self) -> bool:
        """Say whether connection and channel stand, as far as is known."""
        return (
            self._connection is not None
            and not self._connection.is_closed
            and self._channel is not None
            and not self._channel.is_closed
        )

    async def close(self) -> None:
        """Close; what was received and not settled comes again."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(AMQPError, OSError, RuntimeError, TimeoutError):
                await connection.close()

    @contextlib.asynccontextmanager
    async def faults(self) -> AsyncIterator[None]:
        """Turn what the client raises into `BrokerDown`, and begin with a new connection after it."""
        try:
            yield
        # The client tells a closed channel as a RuntimeError, a closed connection as one of OSError's family.
        except (AMQPError, OSError, RuntimeError, TimeoutError) as error:
            await self.close()
            raise BrokerDown(f"RabbitMQ: {type(error).__name__}") from None


class RabbitSource:
    """Takes from one queue; its dead letters go to `<queue>.dead`."""

    def __init__(self, url: str, queue: str, prefetch_messages: int = 200) -> None:
        self._link = _Link(url)
        self._queue, self._dead, self._prefetch_messages = queue, f"{queue}.dead", prefetch_messages
        self._waiting: asyncio.Queue[AbstractIncomingMessage] | None = None

    async def receive(self, limit: int, wait_seconds: float) -> Sequence[Received]:
        """Give up to `limit` messages as soon as there is one, none after `wait_seconds`."""
        async with self._link.faults():
            waiting = await self._open()
            try:
                found = [await asyncio.wait_for(waiting.get(), wait_seconds)]
            except TimeoutError:
                # Proves the connection; and a queue that was deleted would else stay silent for ever.
                channel = self._link.standing()
                await channel.declare_queue(self._queue, passive=True, timeout=_ANSWER_SECONDS)
                return []
            while len(found) < limit and not waiting.empty():
                found.append(waiting.get_nowait())
            return [self._received(each) for each in found]

    async def _open(self) -> asyncio.Queue[AbstractIncomingMessage]:
        if self._waiting is None or not self._link.is_up:
            await self._link.close()
            # What the old connection brought can't be settled any more: it comes again.
            waiting: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
            self._waiting = waiting
            await self._link.queue(self._dead)
            queue = await self._link.queue(self._queue)
            await queue.channel.set_qos(self._prefetch_messages)
            await queue.consume(waiting.put, timeout=_ANSWER_SECONDS)
        return self._waiting

    def _received(self, message: AbstractIncomingMessage) -> Received:
        headers = {name.lower(): value for name, value in message.headers.items()}
        given = headers.get(KEY_HEADER.lower(), message.message_id)
        key = given.decode("latin-1") if isinstance(given, bytes) else None if given is None else str(given)
        place = key if key is not None and key.isprintable() else str(message.delivery_tag)
        return Received(message.body, key, f"rabbitmq:{self._queue}:{place}", message)

    async def done(self, received: Received) -> None:
        """Acknowledge."""
        async with self._link.faults():
            await received.ticket.ack()

    async def later(self, received: Received, delay_seconds: float) -> None:
        """Keep it, unsettled, for the next `receive`; the waiting is done by who receives.

        Given back to the server it would come again at once, and each return counts: from RabbitMQ 4 on a quorum
        queue drops a message after the twentieth.
        """
        async with self._link.faults():
            self._link.standing()
            if self._waiting is not None:
                self._waiting.put_nowait(received.ticket)

    async def bury(self, received: Received, problem: bytes) -> None:
        """Publish to `<queue>.dead`, and acknowledge once that is kept."""
        headers = dict(received.ticket.headers) | {PROBLEM_HEADER: problem.decode()}
        dead = aio_pika.Message(
            received.body,
            headers=headers,
            message_id=received.ticket.message_id,
            content_type=received.ticket.content_type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        async with self._link.faults():
            channel = self._link.standing()
            await channel.default_exchange.publish(dead, self._dead, mandatory=True, timeout=_ANSWER_SECONDS)
            await received.ticket.ack()

    async def close(self) -> None:
        """Let go of the connection."""
        self._waiting = None
        await self._link.close()


class RabbitSink:
    """Publishes to one queue; the event's id is the `message_id`."""

    def __init__(self, url: str, queue: str) -> None:
        self._link, self._queue = _Link(url), queue
        self._is_kept = False

    async def publish(self, event: Outgoing) -> None:
        """Return once the server has confirmed that the queue keeps the event."""
        message = aio_pika.Message(
            event.body,
            message_id=event.id,
            type=event.kind,
            headers={TYPE_HEADER: event.kind},
            content_type=_CONTENT_TYPE,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        async with self._link.faults():
            if not self._link.is_up:
                await self._link.close()
                self._is_kept = False
            if not self._is_kept:
                await self._link.queue(self._queue)
                self._is_kept = True
            channel = await self._link.open()
            await channel.default_exchange.publish(
                message, self._queue, mandatory=True, timeout=_ANSWER_SECONDS
            )

    async def close(self) -> None:
        """Let go of the connection."""
        await self._link.close()
