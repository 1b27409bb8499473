"""From what Meta answered to a command to what its caller is told: the code, Meta's words, what to do next."""

from waypost.domain.errors import InvalidRequest, ProviderRefused, Unavailable, WaypostError
from waypost.domain.outcomes import Failed
from waypost.transports.cloud_api.errors import rule_of

TOKEN_CODES = frozenset({0, 190})


def refusal(failure: Failed, doing: str) -> WaypostError:
    """Give the error for a command that Meta refused or did not answer."""
    if failure.code is None and failure.reaction in ("retry", "wait_number"):
        return Unavailable(
            f"{doing}: Meta could not be reached ({failure.title}: {failure.detail})",
            code="provider_unreachable",
            remedy="try again in a moment; check the base URL and the network if it goes on",
            retry_after_seconds=int(failure.retry_after_seconds or 5),
        )
    rule = rule_of(failure.code)
    words = f": {failure.detail}" if failure.detail and failure.detail != failure.title else ""
    code = f" (code {failure.code})" if failure.code is not None else ""
    return ProviderRefused(
        f"{doing}: Meta says {failure.title}{code}{words}",
        remedy=rule.remedy if rule is not None else "see Meta's error reference for this code",
    )


def token_refusal(failure: Failed, doing: str) -> WaypostError:
    """As `refusal`, but a token that Meta does not take is the caller's field."""
    if failure.code in TOKEN_CODES or (failure.code is None and failure.reaction == "stop_lane"):
        return InvalidRequest(
            f"{doing}: Meta does not accept this token ({failure.detail or failure.title})",
            code="token_refused",
            field="token",
            remedy="make a system user token with whatsapp_business_messaging and whatsapp_business_management",
        )
    return refusal(failure, doing)
