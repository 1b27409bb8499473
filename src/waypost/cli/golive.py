"""`waypost golive`: walks a number from a token to live; does what it may, says the rest, prints the way back."""

import sys
from typing import Annotated

import typer

from waypost.cli.api import Refused, Wire
from waypost.cli.command import FAILED, Desk, command
from waypost.cli.secrets import AppSecretFile, TokenFile, secret_word

_ROUNDS_MAX = 12


def declare(app: typer.Typer) -> None:
    """Add the command."""
    command(
        app,
        "golive",
        "waypost golive",
        "waypost golive num_…",
        "waypost golive num_… --check",
        "waypost golive --phone-number-id 1065… --waba-id 1022… --token-file token.txt --app-secret-file s.txt --yes",
    )(golive)


class Walk:
    """One walk: what was given by flags, and what was done on the way."""

    def __init__(self, desk: Desk, yes: bool, code: str | None, pin: str | None, region: str | None) -> None:
        self.desk, self.yes = desk, yes
        self._given = {"code": code, "pin": pin}
        self._region = region
        self._tried: set[str] = set()
        self.undo: list[tuple[str, str]] = []

    def agrees(self, question: str) -> bool:
        """Ask a person; without one, only `--yes` agrees."""
        if self.yes:
            return True
        return sys.stdin.isatty() and typer.confirm(question, default=True, err=True)

    def word(self, name: str, question: str) -> str | None:
        """Give a flag's value, or ask a person for it."""
        if self._given.get(name) is not None:
            return self._given[name]
        if not sys.stdin.isatty():
            return None
        return str(typer.prompt(question, default="", show_default=False, err=True)).strip() or None

    async def does(self, step: Wire, walk: Wire) -> bool:
        """Do what this step wants, once, when it can be done from here and is agreed to."""
        name, one = step["name"], f"/v1/numbers/{walk['number_id']}"
        if name in self._tried:
            return False
        self._tried.add(name)
        api = await self.desk.api()
        match name:
            case "verified":
                if self._given["code"] is None:
                    if not self.agrees("Have Meta send the verification code by SMS?"):
                        return False
                    await api.post(f"{one}:request-code", {})
                code = self.word("code", "The six digits (empty: later)")
                if code is None:
                    return False
                await api.post(f"{one}:verify-code", {"code": code})
            case "registered":
                pin = self.word(
                    "pin", "Two-step PIN, six digits; the present one, or a new one (empty: later)"
                )
                if pin is None:
                    return False
                region = {} if self._region is None else {"data_localization_region": self._region}
                await api.post(f"{one}:register", {"pin": pin} | region)
            case "subscribed":
                uri = walk["callback_uri"]
                if uri is None or not self.agrees(f"Have callbacks sent to {uri}? Meta calls it at once."):
                    return False
                await api.post(f"{one}:subscribe", {"callback_uri": uri})
            case "templates":
                done = await api.post("/v1/templates:sync", {"number_id": walk["number_id"]})
                return bool(done["count"])
            case "active":
                if not self.agrees("Let it send?"):
                    return False
                await api.post(f"{one}:resume", {})
            case _:
                return False
        self.undo.append((step["title"], step["undo"]))
        return True


async def golive(
    desk: Desk,
    number_id: Annotated[
        str | None, typer.Argument(metavar="[NUMBER]", help="Its id; else it is chosen or added.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only look; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to every change; ask nothing.")] = False,
    phone_number_id: Annotated[
        str | None, typer.Option("--phone-number-id", help="Of a number to add.")
    ] = None,
    waba_id: Annotated[str | None, typer.Option("--waba-id", help="Of a number to add.")] = None,
    token_file: TokenFile = None,
    app_secret_file: AppSecretFile = None,
    verify_token: Annotated[
        str | None, typer.Option("--verify-token", help="A word of yours, for Meta's handshake.")
    ] = None,
    code: Annotated[str | None, typer.Option("--code", help="Verification code that came.")] = None,
    pin: Annotated[str | None, typer.Option("--pin", help="Two-step PIN to register with.")] = None,
    region: Annotated[
        str | None, typer.Option("--region", help="Where messages rest at Meta, such as DE.")
    ] = None,
) -> int | None:
    """Walk a number from a token to live: check each step at Meta, do what is agreed to, print the way back."""
    walk = Walk(desk, yes, code, pin, region)
    if number_id is None:
        number_id = await _chosen(desk, phone_number_id)
    if number_id is None:
        if check:
            raise typer.BadParameter("there is no number to check yet: run it without --check")
        given = {"phone_number_id": phone_number_id, "waba_id": waba_id, "verify_token": verify_token}
        token = secret_word(token_file, "Access token of a system user")
        secret = secret_word(app_secret_file, "App secret (empty if the app is known here)", optional=True)
        number_id = await _added(walk, given | {"token": token, "app_secret": secret})
    found: Wire = {}
    for _ in range(_ROUNDS_MAX):
        found = await (await desk.api()).get(f"/v1/numbers/{number_id}/golive")
        if found["live"] or check or not await _goes_on(walk, found):
            break
    _tell(walk, found)
    return None if found["live"] else FAILED


async def _goes_on(walk: Walk, found: Wire) -> bool:
    """Try the steps that want something, in their order; true when one was done and all should be checked again."""
    for step in found["steps"]:
        if step["state"] != "todo":
            continue
        walk.desk.screen.note(f"{step['title']}: {step['message']}", "yellow")
        try:
            if await walk.does(step, found):
                return True
        except Refused as error:
            walk.desk.screen.problem(error.detail, code=error.code, field=error.field, remedy=error.remedy)
    return False


async def _chosen(desk: Desk, phone_number_id: str | None) -> str | None:
    """Give the number to walk with: the one named by Meta's id, else the only one; None when one is to be added."""
    numbers = [
        each for each in await (await desk.api()).listed("/v1/numbers", 200) if each["state"] != "removed"
    ]
    if phone_number_id is not None:
        return next((each["id"] for each in numbers if each["phone_number_id"] == phone_number_id), None)
    if len(numbers) > 1:
        raise typer.BadParameter(f"which one? {', '.join(each['id'] for each in numbers)}")
    return numbers[0]["id"] if numbers else None


async def _added(walk: Walk, given: dict[str, str | None]) -> str:
    questions = {
        "phone_number_id": "Meta's id of the phone number (WhatsApp Manager, API setup)",
        "waba_id": "Meta's id of the WhatsApp Business Account",
        "verify_token": "A word of your choice for Meta's handshake (empty if the app is known here)",
    }
    for name, question in questions.items():
        if given[name] is None:
            given[name] = walk.word(name, question)
    missing = [f"--{name.replace('_', '-')}" for name in ("phone_number_id", "waba_id") if not given[name]]
    if missing:
        raise typer.BadParameter(f"a number to add wants {' and '.join(missing)}")
    body = {name: value for name, value in given.items() if value is not None}
    number: Wire = await (await walk.desk.api()).post("/v1/numbers", body)
    walk.undo.append(("The number was added", f"waypost numbers remove {number['id']}"))
    walk.desk.screen.note(f"Added {number['id']} ({number['phone']}).")
    return str(number["id"])


def _tell(walk: Walk, found: Wire) -> None:
    screen = walk.desk.screen
    if screen.as_json:
        screen.document({**found, "done": [{"title": title, "undo": undo} for title, undo in walk.undo]})
        return
    for turn, step in enumerate(found["steps"], 1):
        mark = {"ok": "ok", "todo": "todo", "failed": "fail"}[step["state"]]
        screen.marked(mark, f"{turn:>2}. {step['title']}: {step['message']}")
        if step["state"] != "ok" and step["remedy"]:
            screen.line(f"          {step['remedy']}")
    screen.line()
    screen.line(
        "It is live." if found["live"] else "Not live yet: do what is said above, then run this again."
    )
    if walk.undo:
        screen.line()
        screen.line("The way back, for what was done now:")
        for title, undo in reversed(walk.undo):
            screen.line(f"  {title}: {undo}")
