"""Build the documentation site, strictly.

    python tools/build_docs.py [FOLDER]      default build/docs

A warning, a link that leads nowhere, or a page that loads something from the network ends it with 1.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
LOADS = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("object", "data")}
"""What a browser fetches without being asked; a link (a, href) is followed by the reader alone."""
NOT_FETCHED = {"canonical", "next", "prev", "search", "index", "author", "copyright"}


class Page(HTMLParser):
    """Anchors of a page, where its links go, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        fetched = not NOT_FETCHED & set(given.get("rel", "").split())
        self.loads += [given[name] for name in given if (tag, name) in LOADS and fetched]
        self.loads += re.findall(r"url\(([^)]*)\)", given.get("style", ""))


def outside(address: str) -> bool:
    """Whether an address leaves the folder."""
    return bool(urlsplit(address.strip("'\" ")).scheme.replace("data", "")) or address.strip("'\" ").startswith("//")


def style_loads(folder: Path) -> Iterator[tuple[str, str]]:
    """What style sheets load."""
    for path in folder.rglob("*.css"):
        for address in re.findall(r"(?:url\(|@import\s+)([^);\s]+)", path.read_text()):
            yield str(path.relative_to(folder)), address


def faults(folder: Path) -> list[str]:
    """A line for each link that leads nowhere in the folder and each thing that is loaded from outside it."""
    pages = {path.resolve(): Page(path.read_text()) for path in folder.rglob("*.html")}
    found = [f"{name}: loads {address}" for name, address in style_loads(folder) if outside(address)]
    for path, page in pages.items():
        name = path.relative_to(folder.resolve())
        found += [f"{name}: loads {address}" for address in page.loads if outside(address)]
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                found.append(f"{name}: no such page, {link}")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{name}: no such place, {link}")
    return found


def main(arguments: list[str]) -> int:
    """Build, then look through what was built."""
    folder = Path(arguments[0]) if arguments else ROOT / "build" / "docs"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "-b", "html", str(ROOT / "docs")]
    done = subprocess.run([*command, "-d", str(folder.parent / f"{folder.name}.doctrees"), str(folder)])
    if done.returncode:
        return 1
    lines = faults(folder)
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
