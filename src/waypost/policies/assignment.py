"""A reply by somebody who no longer speaks for the conversation does not go: the hand-over may have come between."""

from waypost.domain.decisions import Decision, Facts, Refuse


def relieved(facts: Facts) -> Decision | None:
    """Refuse a message whose speaker was relieved by another; an unassigned conversation is open to both."""
    if facts.assignee is None or facts.conversation_assignee in (None, facts.assignee):
        return None
    return Refuse("assignee_relieved")
