"""Fingerprints for COV-R and COV-P, in an environment of their own.

    PYTHON benchmarks/coverage_worker.py structures.cif -o fingerprints.jsonl

PYTHON has matminer and pymatgen; crystaltool is not needed. One JSON object a block: name, structure (mean over the
sites of CrystalNN's "ops" fingerprint, 61 numbers), composition (Magpie statistics of the elements, 132 numbers), or a
reason. Names that stand in the output are passed over, so a killed run goes on.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

from ase_worker import finished, split


def fingerprints(text: str, site: Any, elements: Any) -> dict[str, list[float]]:
    """Both fingerprints of one block."""
    import numpy as np
    from pymatgen.io.cif import CifParser

    structure = CifParser.from_str(text).parse_structures(primitive=True)[0]
    sites = [site.featurize(structure, index) for index in range(len(structure))]
    composition = np.nan_to_num(np.array(elements.featurize(structure.composition), dtype=float))
    return {"structure": np.mean(sites, axis=0).round(6).tolist(), "composition": composition.round(6).tolist()}


def main() -> None:
    """Write the fingerprints that are not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="CIF blocks")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    from matminer.featurizers.composition.composite import ElementProperty
    from matminer.featurizers.site.fingerprint import CrystalNNFingerprint

    site, elements = CrystalNNFingerprint.from_preset("ops"), ElementProperty.from_preset("magpie")
    known = finished(arguments.output)
    for name, text in split(arguments.file.read_text(encoding="utf-8")):
        if name in known:
            continue
        try:
            row = fingerprints(text, site, elements)
        except Exception as error:  # a structure without neighbours has no fingerprint: it covers nothing
            row = {"reason": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        with arguments.output.open("a") as handle:
            handle.write(json.dumps({"name": name, **row}) + "\n")


if __name__ == "__main__":
    main()
