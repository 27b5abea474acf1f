"""The page in headless Chromium: it opens, sorts, filters, turns; nothing is asked for, nothing hostile runs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checks.blocks import textbook_text
from tests.conftest import ROOT, TOOL, tool_environment
from tests.statistics.browser import Page, find_chromium, open_browser
from tests.statistics.test_summary import with_values

PROGRAM = find_chromium()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium or Chrome is installed")

HOSTILE = "<img/src=x/onerror=window.hacked=1></script><script>window.hacked=1</script>"
FILE = "a<img src=x onerror=window.hacked=1>.cif"
FORMULAS = ["O2Ti", "ClNa", "Al2O3", "OZn", "C", "FeS2"]
NAMES = ("rutile", "halite", "corundum", "wurtzite", "diamond", "pyrite")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six crystals and the MOFs, one with hostile names and values, beside two others."""
    folder = tmp_path_factory.mktemp("page")
    texts = [
        with_values(textbook_text(name), e_above_hull=f"{0.05 * i - 0.1:.2f}", note="plain")
        for i, name in enumerate(NAMES)
    ]
    texts[0] = texts[0].replace("data_rutile", f"data_{HOSTILE}").replace(" plain", f"\n;{HOSTILE}\n;")
    texts[1] = with_values(texts[1], **{HOSTILE.replace("_", "-"): "1.5"})
    (folder / FILE).write_text("\n".join(texts))
    (folder / "mofs.cif").write_text((ROOT / "tests" / "data" / "curated_mofs.cif").read_text())
    (folder / "other.cif").write_text("\n".join(textbook_text(name) for name in ("halite", "kyanite")))
    subprocess.run(
        [*TOOL, "stats", FILE, "mofs.cif", "--against", "other.cif", "--html", "page.html", "--pictures", "7"],
        cwd=folder, env=tool_environment(), check=True, timeout=300,
    )  # fmt: skip
    return folder / "page.html"


@pytest.fixture(scope="module")
def page(page_file: Path) -> Iterator[Page]:
    assert PROGRAM is not None
    with open_browser(PROGRAM) as opened:
        opened.open(page_file)
        opened.wait_for("document.body.dataset.pictures")
        yield opened


def names_shown(page: Page) -> list[str]:
    return page.ask("structureTable.getData('active').map((row) => row.w1)")


def test_it_opens_without_a_complaint(page: Page) -> None:
    assert page.errors == []
    headings = page.ask("[...document.querySelectorAll('h2')].map((each) => each.textContent)")
    assert headings[:2] == ["Best by energy above the hull", "Table"]
    assert {"Elements", "Symmetry", "Values", "Kinds", "Linkers", "All numbers"} <= set(headings)
    assert page.ask("document.querySelectorAll('.element').length") == 118
    assert page.ask("document.querySelectorAll('.linker img').length") > 3


def test_nothing_leaves_the_page(page: Page) -> None:
    page.ask("document.querySelector('#values').scrollIntoView()")
    outside = [url for url in page.requests if not url.startswith(("data:", "blob:"))]
    assert len(outside) == 1 and outside[0].startswith("file://") and outside[0].endswith("page.html")
    blocked = page.ask("fetch('https://example.org/').then(() => 'open', () => 'closed')")
    assert blocked == "closed"
    page.errors.clear()  # the refusal of that fetch


def test_hostile_names_are_text(page: Page) -> None:
    assert page.ask("window.hacked === undefined")
    assert page.ask("[...document.querySelectorAll('img')].every((each) => each.getAttribute('src') !== 'x')")
    assert FILE in page.ask("document.querySelector('h1').textContent") and FILE in page.ask("document.title")
    assert page.ask("document.querySelector('.picture .name').textContent").startswith("_img_src_x_onerror")
    assert "onerror" in page.ask("document.querySelector('.picture pre').textContent")
    titles = page.ask("[...document.querySelectorAll('.tabulator-col')].map((each) => each.textContent).join(' ')")
    assert "<img/src=x/onerror" in titles


def test_it_sorts(page: Page) -> None:
    assert names_shown(page)[:3] == ["O2Ti", "ClNa", "Al2O3"]
    page.ask(
        "[...document.querySelectorAll('.tabulator-col')].find((c) => c.textContent.startsWith('formula')).click()"
    )
    shown = page.ask("[...document.querySelectorAll('.tabulator-row')].map((row) => row.children[1].textContent)")
    assert shown == sorted(shown) and len(shown) > 6
    page.ask("structureTable.clearSort()")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("< 0", ["O2Ti", "ClNa"]),
        ("0..0.06", ["Al2O3", "OZn"]),
        (">= 0.1", ["C", "FeS2"]),
        ("0.05", ["OZn"]),
        ("<", None),
    ],
)
def test_it_filters_numbers(page: Page, asked: str, expected: list[str] | None) -> None:
    page.ask(f"structureTable.setHeaderFilterValue('x0', '{asked}')")
    shown = names_shown(page)
    page.ask("structureTable.clearHeaderFilter()")
    crystals = [name for name in shown if name in FORMULAS]
    assert crystals == (FORMULAS if expected is None else expected)
    assert expected is None or len(shown) == len(expected)


def test_it_filters_texts_and_elements(page: Page) -> None:
    page.ask("structureTable.setHeaderFilterValue('w1', 'ti')")
    assert names_shown(page) == ["O2Ti"]
    page.ask("structureTable.clearHeaderFilter()")
    page.ask("document.querySelector('[data-symbol=Cl]').click()")
    assert "ClNa" in names_shown(page) and "O2Ti" not in names_shown(page)
    assert "with Cl" in page.ask("document.querySelector('.status').textContent")
    page.ask("document.querySelector('#structures .small').click()")
    assert "O2Ti" in names_shown(page)


def point_at(page: Page, index: int) -> list[float]:
    """Move the mouse over a picture until it has the canvas; gives the middle of the picture."""
    frame = f"document.querySelectorAll('.frame')[{index}]"
    page.ask(f"{frame}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    for shift in range(100):  # a move that comes before the browser has scrolled is one over something else
        box = page.ask(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({frame}.getBoundingClientRect())"
        )
        if shift % 5 == 4:  # and a mouse that is over the picture already must come in anew
            page.mouse("mouseMoved", 1.0, 1.0)
        page.mouse("mouseMoved", box[0] + shift % 5, box[1])
        if page.ask(f"{frame}.querySelector('canvas') !== null"):
            return box
        time.sleep(0.2)
    raise TimeoutError(f"picture {index} never got the canvas")


def test_a_picture_turns_under_the_mouse(page: Page) -> None:
    assert page.ask("document.body.dataset.pictures") == "ready", "no WebGL"
    assert page.ask("[...document.querySelectorAll('.frame img')].every((each) => each.src.length > 3000)")
    point_at(page, 1)
    point_at(page, 2)
    box = point_at(page, 1)
    seen = "document.querySelectorAll('.frame')[1].querySelector('img').src"
    before = page.ask(seen)
    point_at(page, 2)
    assert page.ask(seen) == before  # to be looked at turns nothing
    point_at(page, 1)
    page.mouse("mousePressed", *box, buttons=1)
    for step in range(1, 6):
        page.mouse("mouseMoved", box[0] + 15 * step, box[1] + 6 * step, buttons=1)
    page.mouse("mouseReleased", box[0] + 75, box[1] + 30)
    point_at(page, 2)  # the card that is left keeps what was seen
    assert page.ask(seen) != before
    assert page.errors == []


def test_a_picture_has_its_cif_and_where_it_came_from(page: Page, page_file: Path) -> None:
    text = page.ask("document.querySelectorAll('.picture pre')[2].textContent")
    assert text.strip() in (page_file.parent / FILE).read_text()
    assert f"{FILE}(" in page.ask("document.querySelectorAll('.picture details')[2].textContent")
    page.ask(
        "navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); };"
        "document.querySelectorAll('.copy')[2].click()"
    )
    assert page.ask("window.copied") == text


def test_charts_are_drawn_when_they_come_into_sight(page: Page) -> None:
    page.ask("document.querySelector('#symmetry').scrollIntoView({behavior: 'instant'})")
    page.wait_for("document.querySelector('#symmetry canvas').width > 300")
    inked = page.ask(
        "(() => { const c = document.querySelector('#symmetry canvas');"
        " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0); })()"
    )
    assert inked and page.errors == []
