"""What `doctor` finds outside: Meta and its clock, tokens, subscribers, the way callbacks come, what is stuck.

Each check asks once and waits a few seconds. Offline, each says that it could not be told, never that all is well.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp

from waypost.cli.api import Api, Refused, Unreachable, Wire
from waypost.cli.findings import Finding
from waypost.config import Config

ANSWER_SECONDS_MAX = 8.0
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
# Standard Webhooks lets consumers refuse what is five minutes off; TLS and Meta's tokens suffer much later.
_CLOCK_WARN_SECONDS, _CLOCK_FAIL_SECONDS = 5.0, 120.0


async def provider(http: aiohttp.ClientSession, bases: Sequence[str]) -> AsyncIterator[Finding]:
    """Ask each base URL for anything at all, and compare clocks with its answer."""
    for base in bases:
        try:
            before = datetime.now(UTC)
            async with http.get(base, allow_redirects=False) as answer:
                told = answer.headers.get("Date")
                yield Finding("ok", "Meta", f"{base} answers ({answer.status})")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            remedy = "check the network, DNS, a firewall or proxy on the way, and Meta's status page"
            yield Finding("fail", "Meta", f"{base} does not answer: {_named(error)}", remedy)
            continue
        yield _clock(base, told, before, datetime.now(UTC))


def _clock(base: str, told: str | None, before: datetime, after: datetime) -> Finding:
    try:
        theirs = parsedate_to_datetime(told or "")
    except ValueError:
        if urlsplit(base).hostname in _THIS_MACHINE:
            return Finding("ok", "clock", f"nothing to compare: {base} is on this machine")
        return Finding("warn", "clock", f"{base} tells no time to compare with", "check that NTP runs")
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=UTC)
    # Their header is in whole seconds, and the answer took its time: both are no skew.
    behind, ahead = (theirs - after).total_seconds(), (before - theirs).total_seconds() - 1.0
    off = max(behind, ahead, 0.0)
    where = "behind" if behind > ahead else "ahead of"
    if off >= _CLOCK_FAIL_SECONDS:
        return Finding(
            "fail", "clock", f"{off:,.0f} s {where} {base}", "let NTP set it: signatures will be refused"
        )
    if off >= _CLOCK_WARN_SECONDS:
        return Finding("warn", "clock", f"{off:,.0f} s {where} {base}", "check that NTP runs")
    return Finding("ok", "clock", f"agrees with {base}")


async def tokens(api: Api, numbers: Sequence[Wire]) -> AsyncIterator[Finding]:
    """Read each number at Meta with its token."""
    if not numbers:
        yield Finding("warn", "numbers", "there is none", "waypost golive")
    for number in numbers:
        name = f"{number['id']} ({number['phone'] or number['label'] or number['phone_number_id']})"
        try:
            found = await api.post(f"/v1/numbers/{number['id']}:refresh")
        except Refused as error:
            remedy = (
                error.remedy or "see the message; a token that is gone is replaced by `numbers rotate-token`"
            )
            yield Finding("fail", "token", f"{name}: {error.detail}", remedy)
            continue
        except Unreachable as error:
            yield Finding("fail", "token", f"{name}: {error}", error.remedy)
            continue
        health = found["health"].get("health_status", found["health"])
        verdict = health.get("can_send_message") if isinstance(health, dict) else None
        told = f"{name}: its token is accepted, quality {found['quality_rating'] or 'not told'}"
        if found["state"] != "active":
            why = found["state_reason"] or "no reason told"
            remedy = f"mend the reason, then waypost numbers resume {found['id']}"
            yield Finding(
                "warn" if found["state"] == "paused" else "fail",
                "number",
                f"{name} is {found['state']}: {why}",
                remedy,
            )
        elif verdict in ("LIMITED", "BLOCKED"):
            yield Finding("warn", "number", f"{name}: Meta says {verdict}", "see WhatsApp Manager")
        else:
            yield Finding("ok", "token", told)


async def endpoints(http: aiohttp.ClientSession, subscribers: Sequence[Wire]) -> AsyncIterator[Finding]:
    """Knock at each subscriber without telling it anything: any HTTP answer is a sign of life."""
    if not subscribers:
        yield Finding(
            "warn", "subscribers", "there is none: nobody hears of replies", "waypost subscribers add URL"
        )
    for one in subscribers:
        parts = urlsplit(one["url"])
        name = f"{one['id']} ({one['label'] or parts.hostname})"
        if one["state"] != "active":
            why = one["state_reason"] or "no reason told"
            remedy = f"waypost subscribers resume {one['id']}"
            yield Finding("warn", "subscribers", f"{name} is {one['state']}: {why}", remedy)
            continue
        try:
            async with http.head(one["url"], allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            told = f"{name} does not answer from here: {_named(error)}"
            yield Finding(
                "fail", "subscribers", told, "start it, or mend its address; its events wait meanwhile"
            )
            continue
        if one["health"]["failing_since"]:
            told = (
                f"{name} answers a knock ({status}), yet webhooks fail since {one['health']['failing_since']}"
            )
            yield Finding("warn", "subscribers", told, f"waypost subscribers test {one['id']}")
        else:
            yield Finding("ok", "subscribers", f"{name} answers a knock ({status})")


async def callbacks(
    http: aiohttp.ClientSession, config: Config, numbers: Sequence[Wire]
) -> AsyncIterator[Finding]:
    """Look at the address that Meta calls, from here."""
    url = config.http.public_url
    live = [each for each in numbers if urlsplit(each["base_url"]).hostname not in _THIS_MACHINE]
    if url is None:
        if live:
            remedy = "set http.public_url, put TLS in front, and `waypost numbers subscribe`"
            yield Finding(
                "warn", "callbacks", "no public address is set: no receipt or reply can come in", remedy
            )
        else:
            yield Finding("ok", "callbacks", "no public address is set, and no number needs one")
        return
    if not url.startswith("https://") and live:
        yield Finding("fail", "callbacks", f"{url} is not https: Meta will not call it", "put TLS in front")
        return
    try:
        async with http.get(f"{url.rstrip('/')}/healthz", allow_redirects=False) as answer:
            status = answer.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        remedy = "try it from outside: some networks cannot call their own public address"
        yield Finding("warn", "callbacks", f"{url} does not answer from here: {_named(error)}", remedy)
        return
    if status == 200:
        yield Finding("ok", "callbacks", f"{url} leads to this gateway, as seen from here")
    else:
        remedy = "let the proxy pass /callbacks/ through, and try it from outside"
        yield Finding("warn", "callbacks", f"{url}/healthz answers {status}", remedy)


async def waiting(api: Api) -> AsyncIterator[Finding]:
    """Say whether something waits for a person."""
    try:
        found = await api.get("/v1/stuck", limit=200)
    except Refused as error:
        yield Finding("warn", "stuck", f"could not be told: {error.detail}", error.remedy)
        return
    counts = [f"{len(rows)} {name}" for name, rows in found.items() if rows and name != "more"]
    if counts:
        yield Finding("warn", "stuck", ", ".join(counts), "waypost stuck list")
    else:
        yield Finding("ok", "stuck", "nothing waits for a person")


def _named(error: BaseException) -> str:
    """Name a fault of the network without the address it happened to repeat."""
    cause = getattr(error, "os_error", None)
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
