"""The rules as rows: facts in, decision out."""

import msgspec
import pytest

from waypost.domain.decisions import Allow, Facts, Refuse
from waypost.policies.decide import RULES, decide

PLAIN = Facts("reply", "text", None, None, None, 2_000, 1_000)


@pytest.mark.parametrize(
    ("changed", "decision"),
    [
        ({}, Allow()),
        ({"now": 1_999}, Allow()),
        ({"now": 2_000}, Refuse("expired")),
        ({"assignee": "bot"}, Allow()),
        ({"assignee": "bot", "conversation_assignee": "bot"}, Allow()),
        ({"assignee": "bot", "conversation_assignee": "person"}, Refuse("assignee_relieved")),
        ({"assignee": "person", "conversation_assignee": "bot"}, Refuse("assignee_relieved")),
        ({"conversation_assignee": "person"}, Allow()),
        ({"assignee": "bot", "conversation_assignee": "person", "now": 3_000}, Refuse("expired")),
    ],
)
def test_the_first_rule_with_an_opinion_decides(changed, decision):
    assert decide(msgspec.structs.replace(PLAIN, **changed)) == decision


def test_every_rule_is_pure_and_has_no_opinion_on_a_plain_message():
    assert [rule(PLAIN) for rule in RULES] == [None] * len(RULES)
