"""What a team does with its own broker: put messages into a queue, read what is in one."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import nats
from nats.js.api import ConsumerConfig, StreamConfig
from nats.js.errors import NotFoundError
from tests.queues.servers import Server

from waypost.queues.base import Sink, Source
from waypost.queues.nats_jetstream import NatsSink, NatsSource
from waypost.queues.rabbitmq import RabbitSink, RabbitSource


class Letter:
    """One message in a queue: the broker's id of it, headers, body."""

    def __init__(self, id: str | None, headers: dict[str, Any], body: bytes) -> None:
        self.id, self.headers, self.body = id, {name.lower(): value for name, value in headers.items()}, body


class Outside(ABC):
    # What a message is refused for when its producer set neither key nor id.
    keyless_code = "message_key_missing"

    def __init__(self, server: Server) -> None:
        self.server = server

    @abstractmethod
    async def put(self, queue: str, *letters: tuple[bytes, str | None]) -> None:
        """Put bodies, each with its Idempotency-Key; confirmed."""

    @abstractmethod
    async def put_with_id(self, queue: str, body: bytes, message_id: str) -> None:
        """Put one with the broker's own message id instead."""

    @abstractmethod
    async def read(self, queue: str) -> list[Letter]:
        """All that is in a queue, without taking it away."""

    @abstractmethod
    def source(self, queue: str) -> Source: ...

    @abstractmethod
    def sink(self, queue: str) -> Sink: ...

    @abstractmethod
    async def waiting(self, queue: str) -> int:
        """How many messages of the source are not settled yet."""


class NatsOutside(Outside):
    @asynccontextmanager
    async def _stream(self):
        client = await nats.connect(self.server.url, allow_reconnect=False)
        try:
            yield client.jetstream()
        finally:
            await client.close()

    async def _put(self, queue, body, headers):
        async with self._stream() as stream:
            try:
                await stream.find_stream_name_by_subject(queue)
            except NotFoundError:
                await stream.add_stream(
                    StreamConfig(name=queue.replace(".", "_"), subjects=[queue], retention="workqueue")
                )
            await stream.publish(queue, body, headers=headers)

    async def put(self, queue, *letters):
        for body, key in letters:
            await self._put(queue, body, None if key is None else {"Idempotency-Key": key})

    async def put_with_id(self, queue, body, message_id):
        await self._put(queue, body, {"Nats-Msg-Id": message_id})

    async def read(self, queue):
        async with self._stream() as stream:
            name = await stream.find_stream_name_by_subject(queue)
            count = (await stream.stream_info(name)).state.messages
            if not count:
                return []
            reader = await stream.pull_subscribe(queue, stream=name, config=ConsumerConfig())
            found = []
            while len(found) < count:
                found += await reader.fetch(count - len(found), timeout=5)
        return [
            Letter((each.headers or {}).get("Nats-Msg-Id"), each.headers or {}, each.data) for each in found
        ]

    def source(self, queue):
        return NatsSource(self.server.url, queue, ack_wait_seconds=1.5)

    def sink(self, queue):
        return NatsSink(self.server.url, queue)

    async def waiting(self, queue):
        async with self._stream() as stream:
            name = await stream.find_stream_name_by_subject(queue)
            return (await stream.stream_info(name)).state.messages


class RabbitOutside(Outside):
    # This client gives each message an id by chance, so the nearest thing to no key is an empty one.
    keyless_code = "bad_idempotency_key"

    @asynccontextmanager
    async def _channel(self):
        connection = await aio_pika.connect(self.server.url)
        try:
            yield await connection.channel(on_return_raises=True)
        finally:
            await connection.close()

    async def _put(self, queue, body, **over):
        async with self._channel() as channel:
            await channel.declare_queue(queue, durable=True)
            message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, **over)
            await channel.default_exchange.publish(message, queue)

    async def put(self, queue, *letters):
        for body, key in letters:
            await self._put(queue, body, headers={"Idempotency-Key": key or ""})

    async def put_with_id(self, queue, body, message_id):
        await self._put(queue, body, message_id=message_id)

    async def read(self, queue):
        async with self._channel() as channel:
            declared = await channel.declare_queue(queue, passive=True)
            found = []
            # Not acknowledged: closing the channel puts them back.
            while (message := await declared.get(no_ack=False, fail=False)) is not None:
                found.append(Letter(message.message_id, dict(message.headers), message.body))
        return found

    def source(self, queue):
        return RabbitSource(self.server.url, queue)

    def sink(self, queue):
        return RabbitSink(self.server.url, queue)

    async def waiting(self, queue):
        # The server counts what is ready: what a consumer holds shows once its connection is gone.
        await asyncio.sleep(0)
        async with self._channel() as channel:
            declared = await channel.declare_queue(queue, passive=True)
            return declared.declaration_result.message_count


OUTSIDES = {"nats": NatsOutside, "rabbitmq": RabbitOutside}
