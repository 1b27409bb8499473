"""The order of the rules. Each rule is a function of the facts that gives a decision, or None when it has no opinion;
the first opinion that is not `Allow` decides."""

from collections.abc import Callable

from waypost.domain.decisions import Allow, Decision, Facts
from waypost.policies.assignment import relieved
from waypost.policies.expiry import too_late
from waypost.policies.withdrawal import not_replayed, withdrew

Rule = Callable[[Facts], Decision | None]

RULES: tuple[Rule, ...] = (too_late, relieved, withdrew, not_replayed)


def decide(facts: Facts) -> Decision:
    """Say whether the message may go now."""
    for rule in RULES:
        decision = rule(facts)
        if decision is not None:
            return decision
    return Allow()
