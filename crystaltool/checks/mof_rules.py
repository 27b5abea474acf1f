"""Names of the rules of MOFs and what each asks for; kept apart from the rules themselves, which load scipy."""

from __future__ import annotations

RULE_LIMITS: dict[str, str] = {
    "has-metal": "at least one metal",
    "has-carbon": "at least one carbon",
    "has-hydrogen": "at least one hydrogen",
    "overlap": "no two atoms nearer than the smaller covalent radius",
    "overcoordinated-c": "C with at most 4 neighbours, or bound to metal or B",
    "overcoordinated-n": "N with at most 4 neighbours, or bound to metal",
    "overcoordinated-h": "H with one atom within 1.15 A",
    "undercoordinated-c": "C with 3 flat neighbours, 2 in line, cyanide or CO",
    "undercoordinated-n": "N with 2 nonmetals, 3 bonds if single, or a multiple bond",
    "undercoordinated-rare-earth": "rare earth with at least 4 neighbours",
    "undercoordinated-alkali": "alkali, alkaline earth with 4 neighbours or full valence",
    "lone-molecule": "no free atom or molecule",
    "connected-3d": "bonds reach in 3 directions",
    "terminal-oxo": "terminal O, S, Se, P short enough for a double bond",
    "exposed-metal": "metal with 6 neighbours, open angle at most 150 degrees, or lone pair",
    "high-charge": "EQeq charges within 3 e or the oxidation state, and a tenth",
    "framework-charge": "ligands and metals neutral together in usual oxidation states",
}
"""In the order in which they are printed."""

PORE_DIAMETER = "pore-diameter"
PORE_LIMIT = "a sphere of 2.4 A passes (Zeo++, extra 'pore')"
