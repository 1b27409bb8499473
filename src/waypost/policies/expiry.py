"""A message whose time has run out does not go."""

from waypost.domain.decisions import Decision, Facts, Refuse


def too_late(facts: Facts) -> Decision | None:
    """Refuse what has expired; expiry beats every retry and every hold."""
    return Refuse("expired") if facts.now >= facts.expires_at else None
