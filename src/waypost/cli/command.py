"""How a command is declared: its options, where the gateway is, how errors become words and exit codes."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, TypeVar

import aiohttp
import typer

from waypost.cli.api import Api, Place, Refused, Unreachable, reach
from waypost.cli.screen import Screen
from waypost.config import ConfigError
from waypost.domain.errors import WaypostError

OK, FAILED, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130

Run = TypeVar("Run", bound=Callable[..., Awaitable[int | None]])
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_WHERE = "Where the gateway is, and how to show"

_ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Settings file; else WAYPOST_CONFIG, else ./waypost.toml.", rich_help_panel=_WHERE
    ),
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.", rich_help_panel=_WHERE)]
_Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="WAYPOST_URL",
        help="A gateway to reach over HTTP, with --key; else this machine's socket.",
        rich_help_panel=_WHERE,
    ),
]
_Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="WAYPOST_API_KEY",
        show_envvar=True,
        help="An API key: asks over HTTP instead of the socket.",
        rich_help_panel=_WHERE,
    ),
]
Reason = Annotated[
    str | None, typer.Option("--reason", help="Why; kept in the journal. No personal content.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Most items to show.")]


class Desk:
    """What a command works with: the screen, the place, and the gateway once it is asked for."""

    def __init__(self, screen: Screen, place: Place, stack: AsyncExitStack) -> None:
        self.screen, self.place, self._stack = screen, place, stack
        self._api: Api | None = None

    async def api(self) -> Api:
        """Reach the gateway, once."""
        if self._api is None:
            self._api = await self._stack.enter_async_context(reach(self.place))
        return self._api


def group(name: str, about: str, *, has_default: bool = False) -> typer.Typer:
    """Make a group of commands; alone, it prints its help, or does what its default command does."""
    return typer.Typer(name=name, help=about, no_args_is_help=not has_default, rich_markup_mode="rich")


def command(
    app: typer.Typer,
    name: str,
    *examples: str,
    remote: bool = True,
    shows_json: bool = True,
    quick: bool = False,
    default: bool = False,
) -> Callable[[Run], Run]:
    """Make `run(desk, …)` the command `name`; its docstring is the help, `examples` stand below it.

    `remote=False`: works with this machine's settings only. `quick`: on uvloop, for what serves. `default`: also what
    the group does alone. `run` gives an exit code, or None for success.
    """
    shared: dict[str, tuple[Any, Any]] = {"config_path": (_ConfigPath, None)}
    shared |= {"as_json": (_AsJson, False)} if shows_json else {}
    shared |= {"gateway_url": (_Url, None), "gateway_key": (_Key, None)} if remote else {}

    def declare(run: Run) -> Run:
        def entry(**values: Any) -> None:
            screen = Screen(bool(values.pop("as_json", False)))
            place = Place(
                config_path=values.pop("config_path"),
                url=values.pop("gateway_url", None),
                key=values.pop("gateway_key", None),
            )
            if place.url and not place.key:
                raise typer.BadParameter("a gateway at a URL wants a key too: --key or WAYPOST_API_KEY")
            raise typer.Exit(carry_out(run, screen, place, values, quick))

        def alone(ctx: typer.Context, **values: Any) -> None:
            if ctx.invoked_subcommand is None:
                entry(**values)

        own = list(inspect.signature(run).parameters.values())[1:]
        own += [
            inspect.Parameter(each, _KEYWORD, default=usual, annotation=kind)
            for each, (kind, usual) in shared.items()
        ]
        epilog = "[bold]Examples[/bold]\n\n" + "\n\n".join(f"  {each}" for each in examples)
        entry.__doc__ = inspect.getdoc(run)
        app.command(name, epilog=epilog)(_taking(entry, own))
        if default:
            ctx = inspect.Parameter("ctx", _KEYWORD, annotation=typer.Context)
            app.callback(invoke_without_command=True)(_taking(alone, [ctx, *own]))
        return run

    return declare


def _taking(entry: Callable[..., None], parameters: list[inspect.Parameter]) -> Callable[..., None]:
    """Let a function look as if it took these parameters, by name: Typer makes options of what it sees."""
    named = [each.replace(kind=_KEYWORD) for each in parameters]
    entry.__annotations__ = {each.name: each.annotation for each in named}
    entry.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    return entry


def carry_out(
    run: Callable[..., Awaitable[int | None]],
    screen: Screen,
    place: Place,
    values: dict[str, Any],
    quick: bool = False,
) -> int:
    """Run a command to its end and give its exit code; what went wrong is told in words."""
    try:
        with asyncio.Runner(loop_factory=_quick_loop() if quick else None) as runner:
            return runner.run(_with_desk(run, screen, place, values))
    except Refused as error:
        told = f" [{error.request_id}]" if error.request_id else ""
        screen.problem(error.detail + told, code=error.code, field=error.field, remedy=error.remedy)
        return FAILED
    except WaypostError as error:
        screen.problem(error.message, code=error.code, field=error.field, remedy=error.remedy)
        return UNREACHABLE if error.code == "database_in_use" else FAILED
    except ConfigError as error:
        for mistake in error.mistakes:
            screen.problem(
                f"{mistake.problem} ({mistake.source})",
                code="settings",
                field=mistake.setting,
                remedy=mistake.remedy,
            )
        return USAGE
    except Unreachable as error:
        screen.problem(str(error), code="unreachable", remedy=error.remedy)
        return UNREACHABLE
    except (aiohttp.ClientError, TimeoutError) as error:
        screen.problem(
            f"the connection broke: {type(error).__name__}", code="unreachable", remedy="try again"
        )
        return UNREACHABLE
    except PermissionError as error:
        screen.problem(
            f"{error.filename} is not open to this user",
            code="not_permitted",
            remedy="run it as the user that runs the gateway, or give --url and --key",
        )
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _quick_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not made for every system
        return None
    return uvloop.new_event_loop


async def _with_desk(
    run: Callable[..., Awaitable[int | None]], screen: Screen, place: Place, values: dict[str, Any]
) -> int:
    async with AsyncExitStack() as stack:
        return await run(Desk(screen, place, stack), **values) or OK
