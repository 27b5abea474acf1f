"""The page as one HTML file: libraries, script, style and data inside, and a policy that forbids everything else.

Nothing of an input is ever HTML or script: data stand as JSON, in which `<`, `>` and `&` are escaped, in an element
that is not run; the script makes text nodes of them. Scripts run only if their hash stands in the
Content-Security-Policy, which allows no connection.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
VENDOR = _FOLDER / "vendor"

LIBRARIES = {
    "3Dmol.js 2.5.5": ("3Dmol-min.js", "3dmol-LICENSE.txt"),
    "Chart.js 4.6.1": ("chart.umd.min.js", "chart.js-LICENSE.txt"),
    "Tabulator 6.5.3": ("tabulator.min.js", "tabulator-LICENSE.txt"),
}
"""Script and licence of each."""

STYLES = ("vendor/tabulator_simple.min.css", "own/page.css")
SCRIPTS = ("own/build.js", "own/charts.js", "own/elements.js", "own/table.js", "own/pictures.js", "own/page.js")

_SOURCE_MAP = re.compile(r"\s*(//[#@] sourceMappingURL=\S+|/\*# sourceMappingURL=\S+ \*/)\s*$")


def render_page(content: dict[str, Any]) -> str:
    """The page.

    Args:
        content: from `content.page_content`; its `title` is the page's.
    """
    scripts = [_asset(f"vendor/{script}") for script, _ in LIBRARIES.values()]
    scripts.append("(() => {\n'use strict';\n" + "\n".join(_asset(name) for name in SCRIPTS) + "})();\n")
    licences = {name: _asset(f"vendor/{licence}") for name, (_, licence) in LIBRARIES.items()}
    hashes = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:;"
        " base-uri 'none'; form-action 'none'"
    )
    styles = "".join(f"<style>{_asset(name)}</style>\n" for name in STYLES)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{html.escape(str(content['title']))}</title>\n{styles}</head>\n<body>\n"
        "<noscript>This page needs JavaScript; it asks no network.</noscript>\n"
        '<div id="page"></div>\n'
        f'<script type="application/json" id="content">{embedded_json(content)}</script>\n'
        f'<script type="application/json" id="licences">{embedded_json(licences)}</script>\n'
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body>\n</html>\n"
    )


def embedded_json(value: Any) -> str:
    """JSON of ASCII alone that can end no element: `<`, `>` and `&` are escaped too."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _asset(name: str) -> str:
    """A file of the package; without the name of a source map, which browsers' tools would ask for."""
    return _SOURCE_MAP.sub("\n", (_FOLDER / name).read_text(encoding="utf-8"))


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
