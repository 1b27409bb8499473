"""`waypost send`: one message, from words, a template or a draft in a file."""

import json
import secrets
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from waypost.cli.api import Wire
from waypost.cli.command import Desk, command


def declare(app: typer.Typer) -> None:
    """Add the command."""
    command(
        app,
        "send",
        "waypost send --from num_… --to +4915550001111 'Your table is ready.'",
        "waypost send --to +4915550001111 --template order_ready --language en_US --parameter Ada",
        "waypost send --draft draft.json",
    )(send)


async def send(
    desk: Desk,
    text: Annotated[str | None, typer.Argument(help="The text; - reads standard input.")] = None,
    sender: Annotated[
        str | None, typer.Option("--from", help="Number id or phone; not needed when there is one number.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Phone with a plus sign, BSUID or contact id.")
    ] = None,
    template: Annotated[str | None, typer.Option("--template", help="Name of an approved template.")] = None,
    language: Annotated[str, typer.Option("--language", help="Of the template.")] = "en_US",
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameter", help="For the template's body, in order; or name=value."),
    ] = None,
    draft: Annotated[
        Path | None, typer.Option("--draft", help="A draft as /v1/messages takes it; - is standard input.")
    ] = None,
    message_class: Annotated[
        str | None, typer.Option("--class", help="otp, reply, utility or marketing; else from the content.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key never sends twice.")
    ] = None,
) -> None:
    """Send a message; done means it is on disk. `messages show` tells what became of it."""
    if sum(each is not None for each in (text, template, draft)) != 1:
        raise typer.BadParameter("give one of: a text, --template, --draft")
    body: Wire = (
        _read_draft(draft) if draft is not None else _draft(text, template, language, parameters or [])
    )
    for name, value in (("to", to), ("class", message_class), ("from", sender)):
        if value is not None:
            body[name] = value
    if "to" not in body:
        raise typer.BadParameter("whom to? give --to")
    api = await desk.api()
    if "from" not in body:
        body["from"] = await _only_number(desk)
    # A key of its own by default: should the connection break, the message may be there, and the key finds it.
    key = idempotency_key or f"cli-{secrets.token_hex(12)}"
    accepted: Wire = await api.call("POST", "/v1/messages", body, headers={"Idempotency-Key": key})
    if desk.screen.as_json:
        desk.screen.document(accepted)
    desk.screen.line(f"{accepted['id']}  {accepted['status']}  (class {accepted['class']})")
    if not api.running:
        desk.screen.note("It is on disk; it goes out once `waypost serve` runs.")
    elif desk.screen.is_terminal:
        desk.screen.note(f"What becomes of it: waypost messages show {accepted['id']}")


async def _only_number(desk: Desk) -> str:
    found = await (await desk.api()).listed("/v1/numbers", 200)
    usable = [each for each in found if each["state"] != "removed"]
    if len(usable) != 1:
        raise typer.BadParameter(f"there are {len(usable)} numbers: say which with --from")
    return str(usable[0]["id"])


def _read_draft(path: Path) -> Wire:
    try:
        body = json.loads(sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise typer.BadParameter(f"{path} cannot be read", param_hint="--draft") from None
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}", param_hint="--draft") from None
    if not isinstance(body, dict):
        raise typer.BadParameter("a draft is one JSON object", param_hint="--draft")
    return body


def _draft(text: str | None, template: str | None, language: str, parameters: list[str]) -> Wire:
    if template is None:
        body = sys.stdin.read() if text == "-" else text
        return {"type": "text", "text": {"body": body}}
    wanted: Wire = {"name": template, "language": {"code": language}}
    if parameters:
        wanted["components"] = [{"type": "body", "parameters": [_parameter(each) for each in parameters]}]
    return {"type": "template", "template": wanted}


def _parameter(text: str) -> dict[str, Any]:
    """Read `value`, or `name=value` for templates whose parameters have names."""
    name, equals, value = text.partition("=")
    if equals and name.isidentifier() and name.islower():
        return {"type": "text", "parameter_name": name, "text": value}
    return {"type": "text", "text": text}
