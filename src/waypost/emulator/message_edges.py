"""Edges of a number that send: messages, marketing_messages, message_history."""

import base64
from typing import Any

from waypost.emulator.answers import Answer, page, project
from waypost.emulator.graph import Call, Edge
from waypost.emulator.phone_state import Message
from waypost.emulator.sending import send

Wire = dict[str, Any]


async def _messages(call: Call) -> Answer:
    body = await call.parameters()
    return await send(call.stage, call.stage.world.numbers[call.node], body, call.raw)


async def _marketing(call: Call) -> Answer:
    body = await call.parameters()
    return await send(call.stage, call.stage.world.numbers[call.node], body, call.raw, marketing=True)


def _history_line(message: Message) -> Wire:
    events = [
        {
            "id": base64.urlsafe_b64encode(f"{message.wamid}/{status}".encode()).decode().rstrip("="),
            "delivery_status": status.upper(),
            "timestamp": int(at.timestamp()),
            "webhook_update_state": "DELIVERED",
        }
        for status, at in message.status_at.items()
        if status in ("sent", "delivered", "read", "failed")
    ]
    return {"id": message.wamid, "message_id": message.wamid, "events": {"data": events}}


async def _history(call: Call) -> Answer:
    wanted = call.query.get("message_id")
    if wanted is not None:
        found = call.stage.world.messages.get(wanted)
        lines = [found] if found is not None and found.number_id == call.node else []
    else:
        lines = [
            message
            for message in reversed(call.stage.world.messages.values())
            if message.direction == "out" and message.number_id == call.node
        ]
    rows = [project(_history_line(message), call.fields()) for message in lines]
    return Answer.of(page(rows, call.query, f"{call.stage.base_url}/{call.node}/message_history"))


EDGES: dict[tuple[str, str, str], Edge] = {
    ("POST", "number", "messages"): _messages,
    ("POST", "number", "marketing_messages"): _marketing,
    ("GET", "number", "message_history"): _history,
}
