"""Prints the page of all settings: `python -m waypost.config > docs/configuration.md`."""

from waypost.config.pages import render_docs

print(render_docs(), end="")
