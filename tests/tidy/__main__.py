"""Prints what the tidy checks find, and renews the two pages that are made from code: `python -m tests.tidy`."""

import re

from tests.tidy import test_docs, test_layers, test_names, test_ports, test_sizes, test_sql
from tests.tidy.tree import ROOT

from waypost.config import render_docs

CHECKS = (
    test_docs.without_charter,
    test_docs.stale_charters,
    test_docs.undocumented_dependencies,
    test_docs.broken_links,
    test_layers.crossings,
    test_layers.strays,
    test_names.banned_names,
    test_names.unknown_words,
    test_ports.leaks,
    test_sizes.misplaced,
    test_sizes.oversized,
    test_sql.stray_sql,
)


def renew() -> None:
    """Write the page of settings and the table of rooms from the code."""
    (ROOT / "docs/configuration.md").write_text(render_docs(), encoding="utf-8")
    charters = test_docs.rooms(ROOT)
    order = [*(name for name in test_layers.FLOORS if name in charters), "emulator"]
    rows = "\n".join(f"| `{name}` | {charters[name]} |" for name in order if name in charters)
    table = f"<!-- rooms -->\n| room | charter |\n|---|---|\n{rows}\n<!-- /rooms -->"
    page = ROOT / "docs/architecture.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(
        re.sub(r"<!-- rooms -->.*<!-- /rooms -->", lambda _: table, text, flags=re.DOTALL), encoding="utf-8"
    )


renew()
for check in CHECKS:
    for line in check(ROOT):
        print(line)
