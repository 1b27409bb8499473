"""What a restore is known to be missing: told by the second place, which went on after the backup was taken."""

from msgspec import Struct

from waypost.operations.restore import Restored
from waypost.store.second_place import SecondPlace


class KnownMissing(Struct, frozen=True):
    """What the second place saw after the recovery point; times in milliseconds.

    `last_seen_at`, `last_seen_position`: the journal's last heartbeat, None when there is none of the ended timeline.
    `journal_lines`: at least so many are lost. `withdrawals`: kept there since, to be replayed at the start.
    """

    last_seen_at: int | None
    last_seen_position: int | None
    journal_lines: int
    withdrawals: int


def known_missing(found: Restored, place: SecondPlace) -> KnownMissing:
    """Compare a restore with the second place; raises `Unavailable` when that cannot be read."""
    since = len({each.id for each in place.withdrawals() if each.at > found.taken_at})
    last = place.last_beat()
    # A heartbeat of another life of the journal counts other lines.
    if last is None or last.timeline != found.ended_timeline:
        return KnownMissing(None, None, 0, since)
    return KnownMissing(last.at, last.position, max(0, last.position - found.position), since)
