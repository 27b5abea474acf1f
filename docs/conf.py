"""The documentation site: `python tools/build_docs.py`, or `sphinx-build docs build/docs`.

Nothing is fetched, neither here nor by the pages: equations become MathML, fonts are the reader's, the index for
searching is a file.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from manual import VERSION, Page, manual  # noqa: E402

project, author, version, release = "crystaltool", "the authors of crystaltool", VERSION, VERSION
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["README.md"]
html_theme = "furo"
html_title = f"crystaltool {VERSION}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_copy_source = False
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
default_role = "code"  # a name in `backticks` of a docstring
highlight_language = "text"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_use_type_comments = False
autodoc_inherit_docstrings = False
napoleon_use_rtype = False
smartquotes = False  # two hyphens are an option

COLON = "\ue000"


def headings(sections: str) -> str:
    """`# WHAT A BLOCK STATES` of the manual as `## What a block states`; indented examples as shell."""
    text = re.sub(r"(?m)^# (.*)$", lambda m: f"## {m[1].capitalize()}".replace("mofdiff", "MOFDiff"), sections)
    return re.sub(
        r"(?m)((?:^    .*\n?)+)", lambda m: "```sh\n" + re.sub(r"(?m)^    ", "", m[1]).rstrip() + "\n```\n", text
    )


def escaped(text: str) -> str:
    """Option texts are plain, but for `code`: what Markdown would read as more is taken literally."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<>\[\]|$\\])", r"\\\1", part) for part in parts)


def markdown(page: Page) -> str:
    """The page of one command."""
    lines = [f"# {page.call}", "", "```text", f"{page.call} {page.usage}", "```", "", page.description, ""]
    lines += ["## Options", ""]
    for names, text in page.options:
        lines += [f"`{names}`", f": {escaped(text) or '(no text)'}", ""]
    lines += ["## In detail", "", page.start] if page.start.strip() else []
    return "\n".join(lines) + "\n" + headings(page.sections)


def write_commands(app: Any) -> None:
    """A page a command below reference/commands, and the list of them; written again only where something changed."""
    folder = Path(app.srcdir) / "reference" / "commands"
    folder.mkdir(parents=True, exist_ok=True)
    pages = manual()
    made = {f"{page.title}.md": markdown(page) for page in pages}
    entries = "\n".join(page.title for page in pages)
    made["index.md"] = f"# Commands\n\nWhat `man crystaltool` says.\n\n```{{toctree}}\n:maxdepth: 1\n\n{entries}\n```\n"
    for stale in {path.name for path in folder.glob("*.md")} - set(made):
        (folder / stale).unlink()
    for name, text in made.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            written = path.with_suffix(f".{os.getpid()}")  # another build may be reading
            written.write_text(text)
            written.replace(path)


def mathml(inline: bool) -> Any:
    """A visitor that writes an equation as MathML, which browsers draw themselves."""

    def visit(translator: Any, node: Any) -> None:
        from docutils.nodes import SkipNode
        from docutils.utils.math import MathError
        from docutils.utils.math.latex2mathml import tex2mathml
        from sphinx.util.logging import getLogger

        try:
            text = tex2mathml(node.astext(), as_block=not inline)
        except MathError as error:
            getLogger(__name__).warning("equation: %s", error, location=node)
            raise SkipNode from None
        translator.body.append(text if inline else f'<div class="math">{text}</div>\n')
        raise SkipNode

    return visit


def before_napoleon(_app: Any, what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Pages have their own beginning, not a module's; and what stands before a colon is no type of a property."""
    if what == "module":
        lines.clear()
    elif what == "property" and lines:
        lines[0] = lines[0].replace(":", COLON)


def after_napoleon(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Colons as they were."""
    lines[:] = [line.replace(COLON, ":") for line in lines]


def links_within(_app: Any, _name: str, source: list[str]) -> None:
    """Files above docs/ stand in the site under other names."""
    source[0] = source[0].replace("](../DESIGN.md)", "](choices.md)")


def setup(app: Any) -> None:
    """Hooks into the build."""
    app.connect("autodoc-process-docstring", before_napoleon, priority=400)
    app.connect("autodoc-process-docstring", after_napoleon, priority=600)
    app.connect("source-read", links_within)
    app.connect("builder-inited", write_commands)
    app.add_html_math_renderer("mathml", (mathml(True), None), (mathml(False), None))
