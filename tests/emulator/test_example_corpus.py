"""Every kind of message among the provider's published examples, with our own values, is accepted when lenient.

The examples themselves are not ours to ship; `tests/samples/meta_requests.json` holds a request of the same shape for
each kind, placeholders, odd spellings and missing types included.
"""

import contextlib
import copy
import json
from pathlib import Path

import pytest

from waypost.emulator import DEMO
from waypost.emulator.control_phones import message_line
from waypost.emulator.errors import GraphError
from waypost.emulator.interactive_rules import _KINDS as INTERACTIVE_KINDS
from waypost.emulator.rules import KINDS
from waypost.emulator.sending import send

CASES = json.loads((Path(__file__).parents[1] / "samples" / "meta_requests.json").read_text(encoding="utf-8"))


@pytest.fixture(params=CASES, ids=lambda case: case["name"])
def case(request):
    return request.param["body"]


async def test_each_kind_of_request_is_accepted_and_told(bench, case):
    status, answer = await bench.call("POST", f"/v23.0/{DEMO.number_id}/messages", json=case)
    assert status == 200, answer
    if case.get("status") == "read":
        assert answer == {"success": True}
        return
    assert answer["messages"][0]["id"].startswith("wamid.")
    await bench.pass_time()
    wanted = "failed" if case.get("type") == "reaction" else "sent"  # its target is a placeholder
    assert bench.inbox.values("statuses")[0]["status"] == wanted


def places(body, path=()):
    """Every place in a body."""
    if path:
        yield path
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


@pytest.mark.parametrize("junk", [None, "", -1, [], {}, [None], {"a": 1}, True, "x" * 5000], ids=repr)
async def test_junk_at_any_place_is_taken_or_refused_but_never_breaks(bench, junk):
    stage = bench.emulator.stage
    number = stage.world.numbers[DEMO.number_id]
    for strict in (False, True):
        stage.strict = strict
        for case in CASES:
            for path in places(case["body"]):
                body = copy.deepcopy(case["body"])
                holder = body
                for key in path[:-1]:
                    holder = holder[key]
                holder[path[-1]] = copy.deepcopy(junk)
                with contextlib.suppress(GraphError):
                    assert (await send(stage, number, body, b"")).status == 200
    for message in stage.world.messages.values():
        assert message_line(message)["id"] == message.wamid


def test_the_corpus_has_every_kind():
    bodies = [case["body"] for case in CASES]
    kinds = {kind for body in bodies for kind in KINDS if kind in body}
    assert kinds == set(KINDS) - {"pin"}  # pins are for groups, which the examples leave out
    assert {body["interactive"]["type"] for body in bodies if "interactive" in body} == set(INTERACTIVE_KINDS)
