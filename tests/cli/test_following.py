"""Following the stream: it comes back behind the last event after every break, and gives up only at the start."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from waypost.cli.api import Api, Refused, Told, Unreachable

_END = b"Connection: close\r\n\r\n"
_PROBLEM = b"Content-Type: application/problem+json\r\nContent-Length: "
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + _END
_BUSY = b"HTTP/1.1 503 Busy\r\n" + _PROBLEM + b"15\r\n" + _END
_GONE = b"HTTP/1.1 409 No\r\n" + _PROBLEM + b"27\r\n" + _END


async def follow(answers: list[bytes], wanted: int) -> tuple[list[Told], list[str]]:
    """Follow a server that gives these answers in turn; gives what was told, and the request lines."""
    asked: list[str] = []
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.decode().split(" ")[1])
        writer.write(left.pop(0))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    told: list[Told] = []
    async with server, aiohttp.ClientSession() as http:
        stream: AsyncIterator[Told] = Api(http, base, True).follow("/s", None, ("message.*",))
        async for each in stream:
            told.append(each)
            if len(told) == wanted:
                break
        await stream.aclose()  # type: ignore[attr-defined]
    return told, asked


async def test_after_a_break_it_goes_on_behind_the_last_event() -> None:
    first = (
        _HEAD
        + b': alive\nid: evt_t_4\n\nid: evt_t_5\nevent: x\ndata: {"id":\ndata: "evt_t_5"}\n\nid: evt_t_6\nda'
    )
    second = _HEAD + b'id: evt_t_6\ndata: {"id":"evt_t_6"}\n\n'
    told, asked = await follow([first, _BUSY + b'{"code":"busy"}', second], 2)
    assert told == [Told("evt_t_5", {"id": "evt_t_5"}), Told("evt_t_6", {"id": "evt_t_6"})]
    assert asked == ["/s?kinds=message.*", *["/s?kinds=message.*&after=evt_t_5"] * 2]


async def test_a_sign_of_life_alone_moves_the_place_to_come_back_to() -> None:
    quiet = _HEAD + b": alive\nid: evt_t_9\n\n"
    told, asked = await follow([quiet, _HEAD + b'id: evt_t_10\ndata: {"a": 1}\n\n'], 1)
    assert told[0].id == "evt_t_10"
    assert asked[1].endswith("&after=evt_t_9")


async def test_an_event_larger_than_any_buffer_is_read_whole() -> None:
    large = "x" * 900_000
    told, _ = await follow([_HEAD + f'id: e\ndata: {{"a": "{large}"}}\n\n'.encode()], 1)
    assert told[0].event == {"a": large}


async def test_a_cursor_from_before_a_restore_is_refused_and_not_tried_again() -> None:
    first = _HEAD + b'id: evt_t_5\ndata: {"a": 1}\n\n'
    with pytest.raises(Refused) as refused:
        await follow([first, _GONE + b'{"code":"timeline_changed"}'], 2)
    assert refused.value.code == "timeline_changed"


async def test_nobody_there_at_the_start_is_told_at_once() -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(Unreachable):
            async for _ in Api(http, "http://127.0.0.1:9", True).follow("/s", "evt_t_1"):
                pass
