"""Which kinds of event a subscriber, a pull or a stream wants: `message.sent`, `message.*`, or all of them."""

from collections.abc import Sequence

from waypost.domain.errors import InvalidRequest
from waypost.domain.kinds import KINDS

PATTERNS_MAX = 100


def check(patterns: Sequence[str], field: str = "kinds") -> tuple[str, ...]:
    """Give the patterns without repeats; raises `InvalidRequest` for one that no kind of event matches."""
    for pattern in patterns:
        if not any(_matches(pattern, kind) for kind in KINDS):
            raise InvalidRequest(
                "No kind of event matches this pattern.",
                code="unknown_kind",
                field=field,
                remedy="Use a kind such as message.sent, a family such as message.*, or leave it out for all.",
            )
    return tuple(dict.fromkeys(patterns))


def _matches(pattern: str, kind: str) -> bool:
    if pattern.endswith(".*"):
        return kind.startswith(pattern[:-1])
    return pattern in ("*", kind)


class Filter:
    """Answers for one list of patterns; an empty one wants everything."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(patterns)
        self._known: dict[str, bool] = {}

    def wants(self, kind: str) -> bool:
        """Say whether events of `kind` are wanted."""
        known = self._known.get(kind)
        if known is None:
            known = not self._patterns or any(_matches(pattern, kind) for pattern in self._patterns)
            self._known[kind] = known
        return known
