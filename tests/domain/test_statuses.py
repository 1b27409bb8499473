"""The status table keeps its own theory."""

import itertools

from waypost.domain.statuses import BLOCKING, COMMANDS, FINAL, TABLE, TAKEN, WAITING, after

RANK = {"sent": 1, "delivered": 2, "read": 3, "played": 4}


def test_every_status_is_waiting_blocking_or_final():
    named = {*WAITING, *BLOCKING, *FINAL}
    assert named == {s for (s, _), n in TABLE.items() for s in (s, n)}
    assert len(WAITING) + len(BLOCKING) + len(FINAL) == len(named)


def test_receipts_never_move_a_status_back():
    for (status, move), new in TABLE.items():
        if status in RANK and move in RANK:
            assert RANK[new] > RANK[status]


def test_receipts_lead_to_the_best_one_in_whatever_order_they_come():
    for order in itertools.permutations(RANK):
        status = "sending"
        for move in order:
            status = after(status, move) or status
        assert status == "played"


def test_delivered_beats_failed_in_either_order():
    assert after("failed", "delivered") == "delivered"
    assert after("delivered", "refused_by_provider") is None


def test_only_waiting_messages_can_be_claimed_or_cancelled():
    for move in ("claim", "cancel", "expire"):
        assert {s for (s, m) in TABLE if m == move} == set(WAITING)


def test_nothing_sends_again_what_was_taken_but_a_stumble_told_by_the_provider():
    for status in TAKEN:
        moves = {m for (s, m), new in TABLE.items() if s == status and new in WAITING}
        assert moves <= {"stumbled"}
        assert not any((status, command) in TABLE for command in COMMANDS)
