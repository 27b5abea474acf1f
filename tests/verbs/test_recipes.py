"""The recipes of CONTRIBUTING.md: check, force field, output format and model, each one file and one row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import crystaltool as ct
from tests.cli.one_process import one_process
from tests.forcefield.units import ROCK_SALT

CHECK = '''
from crystaltool.checks.verdict import Verdict

def check_few(block):
    """At most four elements."""
    n = len(set(block.crystal.numbers.tolist()))
    return Verdict("few-elements", n <= 4, float(n), "at most 4 elements", f"{n} elements")
'''
FORCE_FIELD = '''
import numpy as np
from crystaltool.forcefield.interface import Evaluation

class Springs:
    """Holds the volume at 180 cubic Angstrom a cell of rock salt, 45 a primitive cell: E = (V - 45)^2 / 100."""
    name, version = "springs", "springs 1"
    def evaluate(self, crystal):
        excess = crystal.volume - 45.0
        stress = np.eye(3) * excess / 50
        return Evaluation(excess**2 / 100, np.zeros((crystal.n_atoms, 3)), stress)
'''
FORMAT = """
def line(structure):
    return f"{structure.name} {structure.formula.replace(' ', '')}\\n"
"""
MODEL = '''
import json
from crystaltool.structure import Structure
from tests.forcefield.units import ROCK_SALT

class Always:
    """Draws rock salt, with a name for each item."""
    def __init__(self, checkpoint, device):
        self.word = json.loads((checkpoint / "config.json").read_text())["word"]
    def sample(self, n, *, seed=0):
        return (Structure(ROCK_SALT, name=f"{self.word}-s{seed}-{item}") for item in range(n))

def fit(data, folder, settings, **options):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model": "always", "word": settings}))

def config(path, *, epochs=None, resumed=None):
    return f"epochs{epochs}"
'''
ROWS = {
    "check": (
        "from crystaltool.checks import registry, verdict; import toy_check;"
        "registry.CHECKS = (*registry.CHECKS,"
        " verdict.Check('few-elements', 'at most 4 elements', toy_check.check_few));"
    ),
    "force_field": (
        "from crystaltool.forcefield import registry;"
        "registry.FORCE_FIELDS['springs'] = registry.Row('toy_force_field:Springs');"
    ),
    "format": (
        "from crystaltool.verbs import format_table;"
        "format_table.FORMATS['line'] = format_table.Format('toy_format:line', ('.txt',));"
    ),
    "model": (
        "from crystaltool.verbs import models;"
        "models.MODELS['always'] = models.Row('toy_model:Always', 'toy_model:fit', 'toy_model:config');"
    ),
}
"""One row each: what a contributor adds to the table itself."""

FILES = {"check": CHECK, "force_field": FORCE_FIELD, "format": FORMAT, "model": MODEL}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch):
    """Puts the toy's file where Python finds it, and gives the row for a child process."""
    monkeypatch.syspath_prepend(tmp_path)

    def add(what: str) -> str:
        (tmp_path / f"toy_{what}.py").write_text(FILES[what])
        return f"import sys; sys.path.insert(0, {str(tmp_path)!r});\n{ROWS[what]}\n"

    return add


def salt() -> ct.Structure:
    return ct.Structure(ROCK_SALT, name="salt")


def test_a_check(toy, tmp_path: Path, monkeypatch) -> None:
    prelude = toy("check")
    from crystaltool.checks import registry

    monkeypatch.setattr(registry, "CHECKS", registry.CHECKS)
    exec(ROWS["check"], {})
    (verdict,) = [one for one in ct.check(salt()).verdicts if one.check == "few-elements"]
    assert verdict.passed and verdict.value == 2
    ct.write(salt(), tmp_path / "in.cif")
    with one_process(prelude) as child:
        ended = child.run(tmp_path, "check", "--only", "few-elements", "in.cif")
    assert ended.code == 0 and "salt\tfew-elements\tpass\t2\tat most 4 elements\t2 elements" in ended.out


def test_a_force_field(toy, tmp_path: Path, monkeypatch) -> None:
    prelude = toy("force_field")
    from crystaltool.forcefield import registry

    monkeypatch.setitem(registry.FORCE_FIELDS, "springs", registry.Row("toy_force_field:Springs"))
    relaxed = ct.relax(salt(), "springs")
    assert relaxed.properties["relax_converged"] == "yes" and relaxed.properties["relax_forcefield"] == "springs"
    assert relaxed.crystal.volume == pytest.approx(180, abs=0.5)
    ct.write(salt(), tmp_path / "in.cif", provenance=False)
    with one_process(prelude) as child:
        ended = child.run(tmp_path, "relax", "--forcefield", "springs", "--no-provenance", "in.cif")
    assert ended.code == 0 and ended.out == relaxed.to_cif(provenance=False)


def test_an_output_format(toy, tmp_path: Path, monkeypatch) -> None:
    prelude = toy("format")
    from crystaltool.verbs import format_table

    monkeypatch.setitem(format_table.FORMATS, "line", format_table.Format("toy_format:line", (".txt",)))
    assert ct.write([salt(), salt()], tmp_path / "out.txt") == 2
    assert (tmp_path / "out.txt").read_text() == "salt ClNa\nsalt ClNa\n"
    ct.write(salt(), tmp_path / "in.cif")
    with one_process(prelude) as child:
        ended = child.run(tmp_path, "view", "--format", "line", "in.cif")
    assert ended.code == 0 and ended.out == "salt ClNa\n"


def test_a_model(toy, tmp_path: Path, monkeypatch) -> None:
    prelude = toy("model")
    from crystaltool.verbs import models

    monkeypatch.setitem(models.MODELS, "always", models.Row("toy_model:Always", "toy_model:fit", "toy_model:config"))
    (tmp_path / "data.h5").touch()
    assert ct.train("always", tmp_path / "data.h5", tmp_path / "run", epochs=3) is None
    assert json.loads((tmp_path / "run" / "config.json").read_text())["word"] == "epochs3"
    structures = list(ct.load(tmp_path / "run").sample(2, seed=5))
    assert [one.name for one in structures] == ["epochs3-s5-0", "epochs3-s5-1"]
    with one_process(prelude) as child:
        trained = child.run(tmp_path, "train", "always", "data.h5", "-o", tmp_path / "again", "--epochs", "3", "-q")
        ended = child.run(tmp_path, "sample", tmp_path / "again", "-n", "2", "--seed", "5", "--no-provenance")
        refused = child.run(tmp_path, "sample", tmp_path / "again", "--net", "pcu")
    assert refused.code == 2 and "--net does not go with always models" in refused.err
    assert trained.code == 0 and ended.code == 0, trained.err + ended.err
    assert ended.out == "".join(one.to_cif(provenance=False) for one in structures)
