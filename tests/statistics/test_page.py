"""The page's data, its HTML, and that nothing of an input gets out of its place."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from crystaltool.io.records import RawBlock
from crystaltool.statistics.compare import compare
from crystaltool.statistics.facts import Asked, facts_of
from crystaltool.statistics.page.collect import MOST_ROWS, Gallery
from crystaltool.statistics.page.content import page_content
from crystaltool.statistics.page.heading import page_heading
from crystaltool.statistics.page.linkers import draw_linker
from crystaltool.statistics.page.page import LIBRARIES, VENDOR, embedded_json, render_page
from crystaltool.statistics.page.picture import draw, drawing_as_json, faces
from crystaltool.statistics.summary import Summary
from crystaltool.view.fields import Record
from tests.checks.blocks import textbook_text
from tests.conftest import ROOT
from tests.statistics.test_summary import raw, with_values

MOFS = ROOT / "tests" / "data" / "curated_mofs.cif"


def gallery_of(texts: list[str], **options) -> tuple[Summary, Gallery]:
    summary, gallery = Summary("set.cif"), Gallery(**options)
    for index, text in enumerate(texts):
        block = RawBlock("set.cif", index + 1, f"s{index}", text)
        facts = facts_of(block, Asked())
        summary.add(facts)
        gallery.add(facts, block)
    return summary, gallery


def content_of(texts: list[str], **options) -> dict:
    summary, gallery = gallery_of(texts, **options)
    return page_content([summary], None, gallery, page_heading([summary], None, gallery, True, "made by a test"))


class Elements(HTMLParser):
    """What an HTML parser finds: elements with their attributes, and the text in each script."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.texts[-1] += data


def parsed(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    elements.close()
    return elements


def test_the_best_stand_first_and_those_that_fail_last() -> None:
    values = [
        {"e_above_hull": "0.3"},
        {"e_above_hull": "-0.1", "check_all": "fail"},
        {},
        {"e_above_hull": "0.1"},
        {"e_above_hull": "-2.0"},
    ]
    texts = [with_values(textbook_text("halite"), **each) for each in values]
    assert [facts.name for facts in gallery_of(texts)[1].rows] == ["s3", "s0", "s2", "s4", "s1"]
    found = gallery_of(texts, n_pictures=2)[1]
    assert [facts.name for facts, _ in found.pictures] == ["s3", "s0"] and found.n_doubtful == 1
    by_name = gallery_of(texts, sort="name", reverse=True)[1]
    assert [facts.name for facts in by_name.rows] == ["s3", "s2", "s0", "s4", "s1"]


def test_the_table_has_2000_rows_at_most_and_says_so() -> None:
    summary, gallery = Summary("many"), Gallery()
    facts = facts_of(raw(textbook_text("halite")), Asked())
    for _ in range(MOST_ROWS + 500):
        summary.add(facts)
        gallery.add(facts, raw(""))
    assert len(gallery.rows) == MOST_ROWS and gallery.n == MOST_ROWS + 500
    assert f"holds {MOST_ROWS} of 2500" in page_heading([summary], None, gallery, True, "")["table_note"]


def test_the_content_is_that_of_the_structures() -> None:
    texts = [with_values(textbook_text(name), e_above_hull=f"{0.1 * i}") for i, name in enumerate(("halite", "rutile"))]
    content = content_of(texts)
    assert content["groups"][135][3] == 1 and content["groups"][224][:3] == [225, "Fm-3m", "cubic"]
    assert content["elements"][0][10] == 1 and content["symbols"][10] == "Na"
    assert content["table"]["rows"][1]["w"][:2] == ["s1", "O2Ti"] and content["table"]["rows"][1]["e"] == ["O", "Ti"]
    assert [picture["name"] for picture in content["pictures"]] == ["s0", "s1"]
    assert content["pictures"][0]["cif"] == texts[0]
    (chart,) = [chart for chart in content["charts"] if chart["name"] == "e_above_hull"]
    assert sum(chart["counts"][0]) == 2
    assert json.loads(embedded_json(content)) == content


def test_both_sets_stand_beside_each_other() -> None:
    first, gallery = gallery_of([textbook_text("halite"), textbook_text("rutile")])
    second, _ = gallery_of([textbook_text("halite")])
    found = compare(first, second)
    content = page_content([first, second], found, gallery, page_heading([first, second], found, gallery, True, ""))
    assert content["groups"][224][3:] == [1, 1] and content["groups"][135][3:] == [1, 0]
    assert [len(chart["counts"]) for chart in content["charts"]] == [2] * len(content["charts"])
    density = next(field for field in content["numbers"] if field["name"] == "density")
    assert density["distance"] == pytest.approx(found.fields["density"], rel=1e-5)
    assert ["2", "structures", "1 in set.cif"] in [list(tile) for tile in content["tiles"]]


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u2028 & ' \" <!--"


def test_hostile_texts_stay_in_their_place() -> None:
    text = textbook_text("halite").replace("_cell_length_a", f"_crystaltool_note\n;{HOSTILE}\n;\n_cell_length_a", 1)
    content = content_of([text]) | {"title": HOSTILE, "subtitle": HOSTILE}
    content["pictures"][0]["name"] = content["table"]["rows"][0]["w"][0] = HOSTILE
    plain, hostile = parsed(render_page(content_of([textbook_text("halite")]))), parsed(render_page(content))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert not [name for _, attributes in hostile.tags for name in attributes if name.startswith("on")]
    assert json.loads(hostile.texts[0]) == content
    assert hostile.texts[2:] == plain.texts[2:]
    assert hostile.texts[0].isascii()


def test_only_the_scripts_of_the_package_may_run_and_none_may_connect() -> None:
    page = render_page(content_of([textbook_text("halite")]))
    elements = parsed(page)
    policy = next(a["content"] for tag, a in elements.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    kinds = [attributes for tag, attributes in elements.tags if tag == "script"]
    run = [text for text, attributes in zip(elements.texts, kinds, strict=True) if "type" not in attributes]
    assert {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run} == allowed
    assert "connect-src" not in policy and "unsafe-eval" not in policy
    assert not [a for _, a in elements.tags if "src" in a or (a.get("href") or "#")[0] != "#"]


def test_libraries_are_small_whole_and_licensed() -> None:
    sizes = [path.stat().st_size for path in VENDOR.iterdir()]
    assert sum(sizes) < 1.5e6
    for script, licence in LIBRARIES.values():
        text = (VENDOR / script).read_text(encoding="utf-8")
        assert "</script" not in text and "<!--" not in text and "\r" not in text
        assert "opyright" in (VENDOR / licence).read_text()


def drawing_of(name: str):
    found = draw(Record(raw(textbook_text(name))).block, False)
    assert found is not None
    return found


def test_halite_is_drawn_with_27_atoms_in_the_cell_and_octahedra() -> None:
    drawing = drawing_of("halite")
    inside = drawing.positions @ np.linalg.inv(drawing.lattice)
    assert ((inside > -0.01) & (inside < 1.01)).all(axis=1).sum() == 27
    lengths = np.linalg.norm(drawing.positions[drawing.bonds[:, 0]] - drawing.positions[drawing.bonds[:, 1]], axis=1)
    np.testing.assert_allclose(lengths, drawing.lattice[0, 0] / 2, rtol=1e-6)
    assert {len(near) for _, near in drawing.polyhedra} == {6}
    assert {drawing.symbols[drawing.elements[centre]] for centre, _ in drawing.polyhedra} == {"Na"}


def test_rutile_has_octahedra_of_titanium_and_corundum_of_aluminium() -> None:
    for name, centre in (("rutile", "Ti"), ("corundum", "Al")):
        drawing = drawing_of(name)
        assert {drawing.symbols[drawing.elements[row]] for row, _ in drawing.polyhedra} == {centre}
        assert {len(near) for _, near in drawing.polyhedra} == {6}
    assert not drawing_of("diamond").polyhedra and len(drawing_of("diamond").bonds)


def test_a_large_cell_is_not_drawn(monkeypatch) -> None:
    monkeypatch.setattr("crystaltool.statistics.page.picture.MOST_ATOMS", 7)
    assert draw(Record(raw(textbook_text("halite"))).block, False) is None
    assert content_of([textbook_text("halite")])["pictures"][0]["drawing"] is None


def test_a_mof_is_drawn_with_the_bonds_it_states() -> None:
    summary, gallery = gallery_of([MOFS.read_text().split("\ndata_")[0]])
    drawing = gallery.pictures and draw(Record(gallery.pictures[0][1]).block, True)
    assert drawing and summary.kinds == {"mof": 1}
    lengths = np.linalg.norm(drawing.positions[drawing.bonds[:, 0]] - drawing.positions[drawing.bonds[:, 1]], axis=1)
    assert lengths.min() > 0.8 and lengths.max() < 3.2
    data = drawing_as_json(drawing)
    assert len(data["positions"]) == 3 * len(data["elements"])


def test_faces_look_outwards() -> None:
    points = np.random.default_rng(3).normal(size=(8, 3))
    volume = sum(np.linalg.det(points[triangle]) for triangle in faces(points)) / 6
    assert volume == pytest.approx(ConvexHull(points).volume)
    assert faces(np.eye(4, 3) * 0 + np.arange(4)[:, None]) == []


def test_linkers_are_drawn_and_what_is_no_smiles_is_not() -> None:
    svg = draw_linker("O=C([O-])c1ccc(C(=O)[O-])cc1")
    assert svg is not None and svg.count("<path") > 10
    assert draw_linker("C3H4|x&<script>") is None and draw_linker("") is None
    hostile = draw_linker("C |$<script>alert(1)</script>$|")
    assert hostile is None or "<script" not in hostile
