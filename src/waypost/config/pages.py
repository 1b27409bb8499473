"""Prints `docs/configuration.md` from the settings, so that the page can't fall behind them."""

from __future__ import annotations

from waypost.config.reading import OTHER_VARIABLES, Setting, Value, describe_type, settings

_HEAD = """# Configuration

<!-- Printed by `python -m waypost.config`; a test compares. Change the settings, not this page. -->

Waypost runs without any settings. They come from `waypost.toml` (or the file that `WAYPOST_CONFIG` names),
one table for each section. A variable `WAYPOST_<SECTION>_<FIELD>` overrides the file; it takes a list with
commas between. Every mistake is told at once, each with where it came from and what to do.

```toml
[http]
port = 9000
public_url = "https://gateway.example.org"
```
"""


def render_docs() -> str:
    """Return the page of all settings, as Markdown."""
    lines = [_HEAD]
    section = ""
    for each in settings():
        if each.section != section:
            section = each.section
            lines += [
                "",
                f"## {section}",
                "",
                "| setting | type | default | what it is |",
                "|---|---|---|---|",
            ]
        what = f"{each.metadata['help']}{_only(each)}"
        lines.append(f"| `{each.name}` | {_type(each)} | {_value(each.default)} | {what} |")
    lines += ["", "## Other variables", "", "| variable | what it is |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in OTHER_VARIABLES.items()]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _only(setting: Setting) -> str:
    return f" Only as `{setting.variable}`; never shown." if setting.is_secret else ""


def _type(setting: Setting) -> str:
    least, most = setting.metadata["least"], setting.metadata["most"]
    if setting.metadata["choices"]:
        return ", ".join(f"`{each}`" for each in setting.metadata["choices"])
    text = describe_type(setting)
    if least is not None and most is not None:
        return f"{text}, {least:,} to {most:,}"
    return f"{text}, from {least:,}" if least is not None else text


def _value(value: Value) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"`[{', '.join(_plain(each) for each in value)}]`"
    return f"`{_plain(value)}`"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return (
        f"{value:g}"
        if isinstance(value, float) and value < 100_000
        else f"{value:.0f}"
        if isinstance(value, float)
        else str(value)
    )
