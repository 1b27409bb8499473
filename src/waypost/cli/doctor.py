"""`waypost doctor`: looks at everything a gateway stands on, and says what to do."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import asdict

import aiohttp
import typer

from waypost.app.sockets import local_path
from waypost.cli import machine_checks, outside_checks
from waypost.cli.api import Api, Refused, reach
from waypost.cli.command import FAILED, Desk, command
from waypost.cli.findings import Finding
from waypost.config import Config, ConfigError
from waypost.domain.errors import WaypostError


def declare(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "doctor", "waypost doctor", "waypost doctor --json", remote=False)(doctor)


async def doctor(desk: Desk) -> int | None:
    """Check settings, files, database, clock, disk, Meta, tokens, subscribers, callbacks; exit 1 when one fails."""
    findings = []
    async for finding in _examine(desk):
        findings.append(finding)
        if not desk.screen.as_json:
            desk.screen.marked(finding.state, f"{finding.topic:<12} {finding.message}")
            if finding.remedy and finding.state != "ok":
                desk.screen.line(f"{'':<18}{finding.remedy}")
    failed = sum(each.state == "fail" for each in findings)
    warned = sum(each.state == "warn" for each in findings)
    if desk.screen.as_json:
        desk.screen.document(
            {"failed": failed, "warned": warned, "findings": [asdict(each) for each in findings]}
        )
    desk.screen.line()
    desk.screen.line(f"{len(findings)} checks: {failed} failed, {warned} to look at")
    return FAILED if failed else None


async def _examine(desk: Desk) -> AsyncIterator[Finding]:
    try:
        config = desk.place.config()
    except ConfigError as error:
        for mistake in error.mistakes:
            yield Finding("fail", "settings", f"{mistake.setting}: {mistake.problem}", mistake.remedy)
        return
    yield Finding("ok", "settings", "no mistakes")
    for finding in machine_checks.files(config):
        yield finding
    for finding in machine_checks.disk(config):
        yield finding
    for finding in machine_checks.database(config):
        yield finding
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=outside_checks.ANSWER_SECONDS_MAX))
        )
        async for finding in _with_gateway(desk, config, http, stack):
            yield finding


async def _with_gateway(
    desk: Desk, config: Config, http: aiohttp.ClientSession, stack: AsyncExitStack
) -> AsyncIterator[Finding]:
    """Go on with what only the gateway knows; without one, with what can be asked without it."""
    api: Api | None = None
    if machine_checks.has_database(config):
        try:
            api = await stack.enter_async_context(reach(desk.place))
        except (WaypostError, OSError) as error:
            remedy = getattr(error, "remedy", None) or "see the message above"
            yield Finding("fail", "gateway", f"it cannot be opened: {error}", remedy)
    if api is None:
        yield Finding("warn", "gateway", f"none runs ({local_path(config)})", "start it with `waypost serve`")
        async for finding in outside_checks.provider(http, [config.cloud_api.base_url]):
            yield finding
        return
    if api.running:
        yield await _readiness(api)
    else:
        yield Finding("warn", "gateway", "none is serving; looked into the database itself", "waypost serve")
    try:
        numbers = [each for each in await api.listed("/v1/numbers", 200) if each["state"] != "removed"]
        subscribers = await api.listed("/v1/subscribers", 200)
    except Refused as error:
        yield Finding("fail", "gateway", f"it refuses to be asked: {error.detail}", error.remedy)
        return
    bases = list(dict.fromkeys(each["base_url"] for each in numbers)) or [config.cloud_api.base_url]
    async for finding in outside_checks.provider(http, bases):
        yield finding
    async for finding in outside_checks.tokens(api, numbers):
        yield finding
    async for finding in outside_checks.endpoints(http, subscribers):
        yield finding
    async for finding in outside_checks.callbacks(http, config, numbers):
        yield finding
    async for finding in outside_checks.waiting(api):
        yield finding


async def _readiness(api: Api) -> Finding:
    try:
        await api.get("/readyz")
    except Refused as error:
        return Finding("fail", "gateway", f"it serves but is not ready: {error.detail}", error.remedy)
    return Finding("ok", "gateway", "it serves and is ready")
