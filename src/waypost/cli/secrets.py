"""Secrets on the command line: from a file, from standard input or a prompt; never as an argument, which `ps` shows."""

import sys
from pathlib import Path
from typing import Annotated

import typer

TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file", help="File with the access token; - reads standard input, else it is asked for."
    ),
]
AppSecretFile = Annotated[
    Path | None,
    typer.Option("--app-secret-file", help="File with the app's secret; - reads standard input."),
]


def secret_word(file: Path | None, question: str, *, optional: bool = False) -> str | None:
    """Read the secret; asks only a person at a terminal. None when it is optional and not given."""
    if file is not None:
        try:
            text = sys.stdin.readline() if str(file) == "-" else file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"{file} cannot be read: {type(error).__name__}") from None
        if not text.strip():
            raise typer.BadParameter(f"{file} is empty")
        return text.strip()
    if sys.stdin.isatty():
        asked = str(
            typer.prompt(
                question, hide_input=True, default="" if optional else None, show_default=False, err=True
            )
        )
        return asked.strip() or None
    if optional:
        return None
    raise typer.BadParameter(f"{question.lower()} is wanted: give the file option, or - for standard input")
