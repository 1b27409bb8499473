"""Reads the settings from `waypost.toml` and the environment and tells every mistake at once."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from waypost.config.rules import RULES
from waypost.config.settings import Config

Value = bool | int | float | str | tuple[str, ...] | tuple[float, ...] | None
PREFIX = "WAYPOST_"
FILE_NAME = "waypost.toml"
CONFIG_VARIABLE = "WAYPOST_CONFIG"
# Names under our prefix that are not settings; anything else there is reported: usually a typo.
OTHER_VARIABLES = {
    CONFIG_VARIABLE: "Path of the settings file; without it, waypost.toml in the working directory, if any.",
    "WAYPOST_URL": "Where the command line finds the gateway.",
    "WAYPOST_API_KEY": "The key the command line presents to the gateway.",
    "WAYPOST_COPY_FROM": "The URL that `waypost store copy` reads, kept out of the list of processes.",
    "WAYPOST_COPY_TO": "The URL that `waypost store copy` writes.",
    "WAYPOST_CI": "Set to 1 by .ci/run: tests that may be skipped elsewhere are required.",
}
# Kubernetes gives every pod such variables for a Service called `waypost` (docker-style links).
_CLUSTER_LINK = re.compile(r"WAYPOST_(PORT|SERVICE)(_.*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One thing wrong with the settings: which, where it came from, what is wrong, what to do."""

    setting: str
    source: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.setting} ({self.source}): {self.problem}; {self.remedy}"


class ConfigError(Exception):
    """The settings can't be used; `mistakes` holds every one of them."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        self.mistakes = mistakes
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__("\n".join([f"The settings have {count}:", *(f"  - {each}" for each in mistakes)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What there is to know about one setting."""

    section: str
    field: str
    type: typing.Any
    default: Value
    metadata: Mapping[str, typing.Any]

    @property
    def name(self) -> str:
        """Return the name in the file, such as `http.port`."""
        return f"{self.section}.{self.field}"

    @property
    def variable(self) -> str:
        """Return the environment variable, such as `WAYPOST_HTTP_PORT`."""
        return f"WAYPOST_{self.section}_{self.field}".upper()

    @property
    def is_secret(self) -> bool:
        """Say whether the value may only come from the environment and is never shown."""
        return bool(self.metadata["secret"])

    @property
    def plain_type(self) -> typing.Any:
        """Return the type without `None`."""
        arguments = [each for each in typing.get_args(self.type) if each is not type(None)]
        return arguments[0] if type(None) in typing.get_args(self.type) else self.type

    def read_text(self, text: str) -> typing.Any:
        """Turn an environment variable into a value; what can't be turned comes back as text."""
        kind = self.plain_type
        if kind is bool:
            words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False}
            return (words | {"no": False, "off": False}).get(text.strip().lower(), text)
        if typing.get_origin(kind) is tuple:
            parts = [part.strip() for part in text.split(",") if part.strip()]
            return parts if typing.get_args(kind)[0] is str else [_number(part, float) for part in parts]
        return _number(text, kind) if kind in (int, float) else text

    def check(self, value: typing.Any) -> tuple[typing.Any, str | None]:
        """Return the value as its type and the remedy when it is not acceptable."""
        kind, metadata = self.plain_type, self.metadata
        if typing.get_origin(kind) is tuple:
            item = typing.get_args(kind)[0]
            if not isinstance(value, list) or not all(_is_a(each, item) for each in value):
                return value, f"give a list of {'texts' if item is str else 'numbers'}"
            value = tuple(item(each) for each in value)
        elif not _is_a(value, kind):
            return value, f"give {_TYPE_WORDS[kind][1]}"
        elif kind is float:
            value = float(value)
        least, most = metadata["least"], metadata["most"]
        if least is not None and value < least:
            return value, f"give at least {least:g}" if isinstance(least, float) else f"give at least {least}"
        if most is not None and value > most:
            return value, f"give at most {most}"
        if metadata["choices"] and value not in metadata["choices"]:
            return (
                value,
                f"give one of {', '.join(metadata['choices'])}{_meant(str(value), metadata['choices'])}",
            )
        return value, metadata["check"](value) if metadata["check"] else None


_TYPE_WORDS: Mapping[typing.Any, tuple[str, str]] = {
    bool: ("yes or no", "true or false"),
    int: ("whole number", "a whole number"),
    float: ("number", "a number"),
    str: ("text", "a text"),
    tuple[str, ...]: ("list of texts", "a list of texts"),
    tuple[float, ...]: ("list of numbers", "a list of numbers"),
}


def describe_type(setting: Setting) -> str:
    """Return the type in words, such as `whole number`."""
    return _TYPE_WORDS[setting.plain_type][0]


def _number(text: str, kind: type[int] | type[float]) -> float | str:
    try:
        return kind(text.strip())
    except ValueError:
        return text


def _is_a(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return type(value) is kind


def _meant(word: str, known: typing.Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def settings() -> tuple[Setting, ...]:
    """Return every setting, section by section, in the order of the classes."""
    found = []
    for section, section_type in typing.get_type_hints(Config).items():
        types = typing.get_type_hints(section_type)
        for each in dataclasses.fields(section_type):
            found.append(
                Setting(
                    section=section,
                    field=each.name,
                    type=types[each.name],
                    default=typing.cast(Value, each.default),
                    metadata=each.metadata,
                )
            )
    return tuple(found)


def find_file(environ: Mapping[str, str], directory: Path) -> Path | None:
    """Return the settings file: the one `WAYPOST_CONFIG` names, else the directory's waypost.toml, if any."""
    named = environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    usual = directory / FILE_NAME
    return usual if usual.is_file() else None


def load(environ: Mapping[str, str], file: Path | None) -> Config:
    """Read and check all settings; raises ConfigError with every mistake there is."""
    known = {each.name: each for each in settings()}
    mistakes: list[Mistake] = []
    given: dict[str, tuple[str, typing.Any]] = {}
    if file is not None:
        _take_file(file, known, given, mistakes)
    _take_environ(environ, known, given, mistakes)
    values: dict[str, dict[str, typing.Any]] = {each.section: {} for each in known.values()}
    wrong = {each.setting for each in mistakes}
    for name, (source, raw) in given.items():
        setting = known[name]
        value, remedy = setting.check(raw)
        if remedy is None:
            values[setting.section][setting.field] = value
        else:
            wrong.add(name)
            problem = "not acceptable" if setting.is_secret else f"{_short(raw)} is not acceptable"
            mistakes.append(Mistake(setting=name, source=source, problem=problem, remedy=remedy))
    kinds = typing.get_type_hints(Config)
    config = Config(**{section: kinds[section](**fields) for section, fields in values.items()})
    for rule in RULES:
        # A setting that is wrong already would only repeat itself here, with its default in its place.
        if wrong.isdisjoint(rule.settings) and not rule.holds(config):
            source = next((given[name][0] for name in rule.settings if name in given), "default")
            mistakes.append(
                Mistake(setting=rule.settings[0], source=source, problem=rule.problem, remedy=rule.remedy)
            )
    if mistakes:
        raise ConfigError(tuple(mistakes))
    return config


def _short(raw: object) -> str:
    """Show a refused value; a URL may hold a password, and a text may be long."""
    text = repr(raw)
    return "this value" if "://" in text or "@" in text or len(text) > 60 else text


def _take_file(
    file: Path,
    known: Mapping[str, Setting],
    given: dict[str, tuple[str, typing.Any]],
    mistakes: list[Mistake],
) -> None:
    source = str(file)

    def wrong(setting: str, problem: str, remedy: str) -> None:
        mistakes.append(Mistake(setting=setting, source=source, problem=problem, remedy=remedy))

    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not UTF-8"
        return wrong("the file", f"can't be read: {reason}", "give a file that exists, or leave it out")
    except tomllib.TOMLDecodeError as error:
        # The parser's message names line and column only, never the text, so no secret can show.
        return wrong("the file", f"not TOML: {error}", "mend the line")
    sections = {each.section for each in known.values()}
    for section, table in tables.items():
        if section not in sections:
            wrong(section, "unknown section", f"remove it or correct it{_meant(section, sections)}")
        elif not isinstance(table, dict):
            wrong(section, "not a section", f"write [{section}] and its settings below")
        else:
            for field, value in table.items():
                name = f"{section}.{field}"
                if name not in known:
                    wrong(name, "unknown setting", f"remove it or correct it{_meant(name, known)}")
                elif known[name].is_secret:
                    wrong(name, "a secret in a file", f"give it as {known[name].variable}")
                else:
                    given[name] = (source, value)


def _take_environ(
    environ: Mapping[str, str],
    known: Mapping[str, Setting],
    given: dict[str, tuple[str, typing.Any]],
    mistakes: list[Mistake],
) -> None:
    by_variable = {each.variable: each for each in known.values()}
    for variable in sorted(environ):
        if (
            not variable.startswith(PREFIX)
            or variable in OTHER_VARIABLES
            or _CLUSTER_LINK.fullmatch(variable)
        ):
            continue
        setting = by_variable.get(variable)
        if setting is None:
            remedy = f"unset it or correct it{_meant(variable, by_variable)}"
            mistakes.append(
                Mistake(setting=variable, source="environment", problem="unknown variable", remedy=remedy)
            )
        else:
            given[setting.name] = (f"environment, {variable}", setting.read_text(environ[variable]))
