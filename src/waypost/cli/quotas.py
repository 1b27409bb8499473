"""`waypost quotas`: how much may be accepted, for the tenant and for each number."""

from typing import Annotated

import typer

from waypost.cli.command import Desk, command, group

app = group("quotas", "Quotas of accepted messages: list, set, lift.")
Number = Annotated[
    str | None, typer.Option("--number", help="One number, `num_…`; without it the tenant as a whole.")
]


@command(app, "list", "waypost quotas list")
async def listing(desk: Desk) -> None:
    """List quotas; what is not listed has none."""
    found = (await (await desk.api()).get("/v1/quotas"))["items"]
    if desk.screen.as_json:
        desk.screen.document(found)
        return
    rows = [[each["scope"], each["id"], each["accepts_per_second"], each["burst"]] for each in found]
    desk.screen.table(["of", "id", "a second", "at once"], rows)


@command(app, "set", "waypost quotas set 50", "waypost quotas set 20 --burst 100 --number num_…")
async def put(
    desk: Desk,
    per_second: Annotated[int, typer.Argument(min=1, help="Messages a second in the long run.")],
    burst: Annotated[
        int | None, typer.Option(min=1, help="At once after a pause; by default a second's worth.")
    ] = None,
    number: Number = None,
) -> None:
    """Set a quota: beyond it, drafts are refused with 429 and Retry-After."""
    await _put(desk, number, per_second, burst)


@command(app, "lift", "waypost quotas lift", "waypost quotas lift --number num_…")
async def lift(desk: Desk, number: Number = None) -> None:
    """Take a quota away."""
    await _put(desk, number, None, None)


async def _put(desk: Desk, number: str | None, per_second: int | None, burst: int | None) -> None:
    path = "/v1/quotas/tenant" if number is None else f"/v1/quotas/numbers/{number}"
    api = await desk.api()
    done = await api.call("PUT", path, {"accepts_per_second": per_second, "burst": burst})
    if desk.screen.as_json:
        desk.screen.document(done)
    else:
        told = "no quota" if done["accepts_per_second"] is None else f"{done['accepts_per_second']} a second"
        desk.screen.line(f"{done['scope']} {done['id']}: {told}, {done['burst']} at once")
