"""A message from the command line: sent, shown with its story, followed, refused."""

import json

import pytest
from tests.cli.house import House, until

from waypost.emulator import DEMO

PHONE = f"+{DEMO.phone_digits}"


def send(house: House, text: str = "Your table is ready.") -> str:
    return str(house.ok("send", "--to", PHONE, text)["id"])


def test_a_message_is_shown_from_accepted_to_read_with_times(house: House, number_id: str) -> None:
    said = house.run("send", "--from", number_id, "--to", PHONE, "Your table is ready.")
    assert said.code == 0
    message_id, status, *_ = said.out.split()
    assert status == "accepted"
    shown = until(
        lambda: page if "→ read +" in (page := house.run("messages", "show", message_id)).out else None
    )
    chain = shown.out.splitlines()[1]
    assert [part.split()[0] for part in chain.split(" → ")] == ["accepted", "sent", "delivered", "read"]
    assert chain.split()[1].endswith("Z")
    steps = [line.split("\t")[2] for line in shown.out.splitlines() if "\t+" in line and "Z\t" in line]
    assert steps[:3] == ["accepted", "attempted", "sent"]
    assert "delivered" in steps
    assert "Your table is ready." in shown.out
    assert "The person read it." in shown.out
    assert "wamid." in shown.out


def test_plain_output_has_no_escapes_and_a_terminal_gets_colours(house: House, number_id: str) -> None:
    send(house)
    plain = house.run("messages", "list")
    assert "\x1b" not in plain.out
    assert plain.out.splitlines()[0].split("\t")[:2] == ["id", "status"]
    coloured = house.run("messages", "list", FORCE_COLOR="1", COLUMNS="200")
    assert "\x1b[" in coloured.out
    assert "\t" not in coloured.out


def test_what_a_customer_could_write_cannot_steer_the_terminal(house: House, number_id: str) -> None:
    message_id = send(house, "red \x1b[31m and a bell \x07 and \u202e turned")
    shown = house.run("messages", "show", message_id)
    assert "red �[31m and a bell � and � turned" in shown.out
    assert not {"\x1b", "\x07", "\u202e"} & set(shown.out)


def test_a_refusal_names_code_field_and_remedy_and_exits_1(house: House, number_id: str) -> None:
    said = house.run("send", "--to", "0155 5000111", "hi")
    assert (said.code, said.out) == (1, "")
    assert "error (invalid_request at to):" in said.errors
    assert "what to do: Write a plus sign" in said.errors


def test_a_failed_message_tells_what_meta_said_and_what_to_do(house: House, number_id: str) -> None:
    placed = house.emulator.fault(kind="error", code=131026)
    try:
        message_id = send(house)
        shown = until(
            lambda: (
                page
                if " failed" in (page := house.run("messages", "show", message_id)).out.partition("\n")[0]
                else None
            )
        )
    finally:
        house.emulator.faults.remove(placed.id)
    assert shown.out.splitlines()[0] == f"{message_id}  failed"
    assert "Meta said: 131026" in shown.out
    assert "What to do:" in shown.out


def test_a_template_and_a_draft_are_sent(house: House, number_id: str) -> None:
    house.ok("templates", "sync", "--number", number_id)
    listed = house.run("templates", "list")
    assert "hello_world\ten_US" in listed.out
    sent = house.ok("send", "--to", PHONE, "--template", "hello_world")
    assert sent["class"] in ("utility", "marketing")
    draft = house.folder / "draft.json"
    draft.write_text(
        json.dumps({"from": number_id, "to": PHONE, "type": "text", "text": {"body": "drafted"}})
    )
    message_id = house.ok("send", "--draft", str(draft))["id"]
    assert "content     drafted" in house.run("messages", "show", message_id).out
    typed = house.run("send", "--draft", "-", "--json", typed=draft.read_text())
    assert typed.json["id"] != message_id


def test_the_same_idempotency_key_sends_once(house: House, number_id: str) -> None:
    words = ("send", "--to", PHONE, "once", "--idempotency-key", "the-order-17")
    assert house.ok(*words)["id"] == house.ok(*words)["id"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("send", "--to", PHONE), "give one of: a text"),
        (("send", "--to", PHONE, "hi", "--template", "x"), "give one of: a text"),
        (("send", "hi"), "whom to?"),
        (("send", "--draft", "/nowhere.json"), "cannot be read"),
        (("messages", "list", "--limit", "0"), "--limit"),
        (("stuck", "settle", "msg_1", "--action", "shout", "--reason", "x"), "one of: resend"),
        (("stuck", "settle", "num_1", "--action", "fail", "--reason", "x"), "does not fit num_1"),
        (("keys", "create", "x"), "say what it may do"),
        (("keys", "create", "x", "--scope", "messages:shout"), "unknown: messages:shout"),
        (("listen", "--forward-to", "localhost:3000"), "give an http or https URL"),
        (("messages", "list", "--url", "http://127.0.0.1:1"), "wants a key too"),
    ],
)
def test_wrong_usage_exits_2_and_says_why(house: House, words: tuple[str, ...], told: str) -> None:
    said = house.run(*words)
    assert said.code == 2
    assert told in said.errors


def test_an_unknown_message_is_told_as_such(house: House) -> None:
    said = house.run("messages", "show", "msg_nothere")
    assert said.code == 1
    assert "error (not_found at message_id)" in said.errors


def test_tail_tells_the_whole_story_of_a_message_in_order(house: House, number_id: str) -> None:
    message_id = send(house)
    timeline = until(lambda: read(house, message_id))
    first = f"evt_{house.gateway.store.timeline}_0"
    count = timeline[-1]["event_id"].rsplit("_", 1)[1]
    told = house.run("messages", "tail", "--all", "--json", "--after", first, "--count", count).lines
    assert len(told) == int(count)
    kinds = [each["type"] for each in told if each["aggregate_id"] == message_id]
    assert kinds == [each["type"] for each in timeline]
    only = house.run("messages", "tail", "--after", first, "--count", "3", "--number", number_id)
    assert len(only.out.splitlines()) == 3
    assert all(" message." in line for line in only.out.splitlines())


def read(house: House, message_id: str) -> list[dict[str, str]] | None:
    """The timeline once the message was read."""
    timeline: list[dict[str, str]] = house.ok("messages", "show", message_id)["timeline"]
    return timeline if timeline[-1]["type"] == "message.read" else None
