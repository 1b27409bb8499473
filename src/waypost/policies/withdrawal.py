"""Nothing goes to a person who said no; and marketing waits while it is not known who did."""

from waypost.domain.decisions import Decision, Facts, Hold, Refuse

# What was asked for goes even so: a password to log in with, an answer in a conversation the person began.
_ASKED_FOR = ("otp", "reply")


def withdrew(facts: Facts) -> Decision | None:
    """Refuse what the person withdrew from: marketing, or everything that nobody asked for."""
    if facts.withdrawn_from is None or facts.message_class in _ASKED_FOR:
        return None
    if facts.withdrawn_from == "all" or facts.message_class == "marketing":
        return Refuse("contact_withdrew")
    return None


def not_replayed(facts: Facts) -> Decision | None:
    """Hold marketing after a restore until the withdrawals of the second place are replayed."""
    if facts.may_miss_withdrawals and facts.message_class == "marketing":
        return Hold("second_place_not_replayed")
    return None
