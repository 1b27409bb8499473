"""What must always hold, each a function that gives a sentence when it does not.

Written from the guarantees, not from the code: they look at the journal, the rows, the provider's ledger and what
subscribers took.
"""

from collections.abc import Callable, Iterable, Mapping

from waypost.domain.classes import CLASSES, RANKS
from waypost.domain.statuses import FINAL, WAITING
from waypost.simulation.history import History, Story
from waypost.simulation.plan import CALL_SECONDS, LEASE_SECONDS
from waypost.simulation.provider import Call
from waypost.store import rehearsal
from waypost.store.journal import Event

_FORWARD = {"sent": 1, "delivered": 2, "read": 3, "played": 4}
_AFTER_TAKEN = {"sent": {"delivered", "read", "played", "failed", "retrying"}}
# What the provider's clock, the network and a pause can add to the time between a claim and its call.
_LATE_SECONDS_MAX = LEASE_SECONDS + CALL_SECONDS + 1.0

Line = Callable[[History, Event, Story | None], str | None]


def positions_have_no_gaps(history: History, event: Event, story: Story | None) -> str | None:
    """Journal positions follow each other without a gap, in commit order."""
    if event.position != len(history.lines):
        return f"line {len(history.lines)} has position {event.position}"
    return None


def a_status_never_moves_back(history: History, event: Event, story: Story | None) -> str | None:
    """Delivered, read and played only go forward; whatever ended without being sent only evidence changes."""
    if story is None or story.position != event.position or not story.before:
        return None
    old, new = story.before, story.status
    if old in _FORWARD:
        allowed = _AFTER_TAKEN.get(old, {name for name, rank in _FORWARD.items() if rank > _FORWARD[old]})
    elif old == "unresolved":
        allowed = {*_FORWARD, "failed"}
    elif old in FINAL:
        allowed = set(_FORWARD)
    else:
        return None
    return None if new in allowed else f"{story.row.id} went from {old} to {new}"


def nothing_is_sent_after_a_known_outcome(history: History, event: Event, story: Story | None) -> str | None:
    """An attempt starts only while the message waits: not beside another one, not after an outcome."""
    if not _is_attempt(event, story) or story is None:
        return None
    if story.before not in WAITING:
        return f"{story.row.id} was attempted while {story.before}"
    return None


def unknown_is_resent_only_when_declared(history: History, event: Event, story: Story | None) -> str | None:
    """A message whose outcome is not known goes again only if it was declared that it may, and after its wait."""
    if story is None or story.position != event.position or story.before != "unknown":
        return None
    if story.status != "retrying":
        return None
    if event.reason == "declared_on_unknown":
        return None if story.row.on_unknown == "resend" else f"{story.row.id} was resent unasked"
    # Else the provider itself said, late, that it did not take it.
    return (
        None
        if event.actor == "meta" or "code" in event.facts
        else f"{story.row.id} was resent without a word"
    )


def claims_are_fenced(history: History, event: Event, story: Story | None) -> str | None:
    """An attempt is claimed by the process that holds its lane, under the lane's present epoch."""
    if not _is_attempt(event, story) or story is None:
        return None
    attempt = story.attempts[-1]
    if attempt.epoch != attempt.lane_epoch:
        return f"{attempt.id} was claimed under epoch {attempt.epoch}, the lane is at {attempt.lane_epoch}"
    if attempt.claimed_by != attempt.owner:
        return f"{attempt.claimed_by} claimed {attempt.id}, but {attempt.owner} holds the lane"
    return None


def epochs_only_rise(history: History, event: Event, story: Story | None) -> str | None:
    """Each takeover of a lane raises its epoch."""
    if event.kind != "lane.taken":
        return None
    earlier = [e.version for e in history.lines[:-1] if e.aggregate_id == event.aggregate_id]
    return (
        f"{event.aggregate_id} was taken again at {event.version}"
        if earlier and max(earlier) >= event.version
        else None
    )


def versions_have_no_gaps(history: History, event: Event, story: Story | None) -> str | None:
    """A message's lines are numbered without a gap."""
    if story is None:
        return None
    if event.version == story.lines:
        return None
    return f"line {story.lines} of {story.row.id} has version {event.version}"


def nobody_overtakes(history: History, event: Event, story: Story | None) -> str | None:
    """In a conversation nothing of the same class goes before its turn, nothing at all beside an attempt in flight,
    and nothing past an unknown one sooner than both classes bear."""
    if not _is_attempt(event, story) or story is None:
        return None
    for other in history.conversations[story.conversation]:
        if other is story:
            continue
        if other.status in WAITING and other.row.rank == story.row.rank and other.place < story.place:
            return f"{story.row.id} overtook {other.row.id}, which is {other.status}"
        if other.status == "sending":
            return f"{story.row.id} was attempted beside {other.row.id}"
        if other.status == "unknown" and other.unknown_at is not None:
            until = other.unknown_at + _bears(other.row.rank, story.row.rank)
            if until > event.at:
                return f"{story.row.id} passed {other.row.id}, which is unknown"
    return None


def expiry_is_honoured(history: History, event: Event, story: Story | None) -> str | None:
    """No attempt starts when the message's time is over."""
    if not _is_attempt(event, story) or story is None:
        return None
    return None if event.at < story.row.expires_at else f"{story.row.id} was attempted after it expired"


EVERY_LINE: tuple[Line, ...] = (
    positions_have_no_gaps,
    a_status_never_moves_back,
    nothing_is_sent_after_a_known_outcome,
    unknown_is_resent_only_when_declared,
    claims_are_fenced,
    epochs_only_rise,
    versions_have_no_gaps,
    nobody_overtakes,
    expiry_is_honoured,
)


def every_call_has_its_attempt(
    history: History, echo: str, ledger: Mapping[str, Call], at_ms: int
) -> str | None:
    """What is spoken was claimed and committed, is spoken once, and not long after its expiry."""
    story = history.by_attempt.get(echo)
    if story is None:
        return f"{echo} was spoken without a committed claim"
    if echo in ledger:
        return f"{echo} was spoken twice"
    if at_ms > story.row.expires_at + int(_LATE_SECONDS_MAX * 1000):
        return f"{echo} was spoken long after {story.row.id} expired"
    return None


def one_live_holder(history: History, process: str, echo: str) -> str | None:
    """Nobody begins a call under an old epoch while another process holds the lane."""
    attempt = rehearsal.attempt(history.reading, echo)
    if attempt is None or attempt.owner in (process, None) or attempt.epoch >= attempt.lane_epoch:
        return None
    return f"{process} spoke {echo} under epoch {attempt.epoch}; {attempt.owner} holds {attempt.lane_epoch}"


def first_tellings_are_in_order(position: int, earlier: Iterable[int], told: set[int]) -> str | None:
    """A subscriber hears of a conversation's events for the first time in their order."""
    missed = next((each for each in earlier if each < position and each not in told), None)
    return None if missed is None else f"event {position} was told before {missed}"


def marks_rest_on_answers(mark: int, wanted: Iterable[int], told: set[int], owed: set[int]) -> str | None:
    """A subscriber's mark passes no event that was neither told nor kept as owed."""
    missed = next((each for each in wanted if each <= mark and each not in told and each not in owed), None)
    return None if missed is None else f"the mark is at {mark}, but event {missed} was not told"


def accepted_is_kept(accepted: Mapping[int, str], history: History) -> str | None:
    """Every message answered `202` is there, once."""
    for key, message_id in accepted.items():
        if message_id not in history.stories:
            return f"text {key} was accepted as {message_id} and is not there"
    return None


def rows_say_what_the_journal_says(history: History) -> str | None:
    """Every message's row has the status and version of its last line."""
    for row in rehearsal.all_messages(history.reading):
        story = history.stories.get(row.id)
        if story is None or (row.status, row.version) != (story.status, story.version):
            return (
                f"{row.id} is {row.status} in its row and {story.status if story else 'not'} in the journal"
            )
    return None


def answered_callbacks_are_applied(history: History, proven: Mapping[str, set[str]]) -> str | None:
    """What a callback answered 200 proves of an attempt, its message shows."""
    for echo, names in proven.items():
        story = history.by_attempt.get(echo)
        if story is None:
            return f"a receipt was taken for {echo}, which nobody knows"
        best = max((_FORWARD.get(name, 0) for name in names), default=0)
        if best and "failed" not in names and _FORWARD.get(story.status, 0) < best:
            return f"{story.row.id} is {story.status} although {sorted(names)} were told of {echo}"
    return None


def doubles_were_declared(history: History, ledger: Mapping[str, Call]) -> str | None:
    """The provider took a message twice only where it had denied the first, or the caller had chosen a resend."""
    taken: dict[str, list[Call]] = {}
    for echo, call in ledger.items():
        if call.taken and echo in history.by_attempt:
            taken.setdefault(history.by_attempt[echo].row.id, []).append(call)
    for message_id, calls in taken.items():
        denied = all(call.said_no or call.odd == "stumbled_receipt" for call in calls[:-1])
        if len(calls) > 1 and not denied and history.stories[message_id].row.on_unknown != "resend":
            return f"the provider took {message_id} {len(calls)} times"
    return None


def heard_is_kept(heard: set[str], inbound: list[str]) -> str | None:
    """A customer's message whose callback was answered is there, once."""
    if len(set(inbound)) != len(inbound):
        return "a customer's message was kept twice"
    return (
        None if heard <= set(inbound) else f"{sorted(heard - set(inbound))} were answered and are not there"
    )


def all_are_told(subscriber_id: str, wanted: Iterable[int], told: set[int], parked: set[int]) -> str | None:
    """Every subscriber was told every event it wants, or has it parked in the open."""
    missed = [each for each in wanted if each not in told and each not in parked]
    return f"{subscriber_id} was never told of {missed[:5]}" if missed else None


def sendable(history: History, now_ms: int) -> list[Story]:
    """Give the waiting messages that nothing keeps from going now."""
    found = []
    for stories in history.conversations.values():
        if any(each.status in ("sending", "unknown") for each in stories):
            continue
        for story in stories:
            if story.status not in WAITING or story.row.not_before > now_ms:
                continue
            if any(
                other.status in WAITING and other.row.rank == story.row.rank and other.place < story.place
                for other in stories
            ):
                continue
            row = rehearsal.message(history.reading, story.row.id)
            # Rows behind somebody stand at a far time until they are moved up; a retry has its own, near one.
            if row is not None and not now_ms < row.due_at <= now_ms + 3_600_000:
                found.append(story)
    return found


def _is_attempt(event: Event, story: Story | None) -> bool:
    return event.kind == "message.attempted" and story is not None


def _bears(first: int, second: int) -> int:
    return min(CLASSES[RANKS[rank]].unknown_block_seconds for rank in (first, second)) * 1000
