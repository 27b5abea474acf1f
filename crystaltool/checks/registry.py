"""The list of checks, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crystaltool.checks.cell import check_cell, check_cell_symmcd
from crystaltool.checks.charge import OPTIONS, check_charge
from crystaltool.checks.density import check_density
from crystaltool.checks.distance import check_distance_cdvae, check_distance_lemat, check_duplicates
from crystaltool.checks.exact_group import check_exact_group
from crystaltool.checks.formula import check_formula, check_multiplicities
from crystaltool.checks.kind import INORGANIC, MOF, kind_of
from crystaltool.checks.operations import check_operations
from crystaltool.checks.stability import DEFAULT_ABOVE_HULL, STABLE
from crystaltool.checks.symmetry import check_symmetry
from crystaltool.checks.verdict import Check, Verdict
from crystaltool.errors import UsageError

if TYPE_CHECKING:
    from crystaltool.io.cif import CifBlock

CHECKS: tuple[Check, ...] = (
    Check("cell", "cell lengths 1-100 A, angles 0-180 degrees, volume > 1 A^3 (LeMat-GenBench)", check_cell),
    Check("cell-symmcd", "cell lengths 1-40 A, Z <= 94 (SymmCD)", check_cell_symmcd, default=False),
    Check("distance-cdvae", "shortest distance >= 0.5 A, volume >= 0.1 A^3 (CDVAE)", check_distance_cdvae),
    Check("distance-lemat", "distances >= 0.5 (0.7 A + r_i + r_j) (LeMat-GenBench)", check_distance_lemat),
    Check("density", "0.01-25 g/cm3, 1e-5-0.5 atoms per A^3 (LeMat-GenBench)", check_density),
    Check("charge", f"charge neutrality ({OPTIONS})", check_charge),
    Check("duplicates", "no two atoms within 0.1 A", check_duplicates),
    Check("formula", "declared formula, Z and density agree with the atoms", check_formula),
    Check("multiplicities", "declared multiplicities and Wyckoff letters hold", check_multiplicities),
    Check("operations", "declared operations map cell and atoms onto themselves within 0.01 A", check_operations),
    Check("symmetry", "spglib finds the declared operations at 1e-3 and 1e-2 A", check_symmetry),
    Check("exact-group", "spglib finds the declared group at 1e-2 A, not a supergroup", check_exact_group),
)

"""Checks of inorganic crystals, from Bravais lattice to composition."""


@dataclass(frozen=True)
class MOFRule:
    """A rule on the atoms and bonds of a MOF, loaded when it is asked: inorganic structures do without scipy.

    Args:
        name: as in `--only`.
        limit: what is asked for.
        find: `MODULE:FUNCTION` of `checks.mof`: of a `Coordination` what breaks the rule, by atom.
        passing: what is said where nothing does, or such a function that says it.
        judges: whether `find` takes the coordination, names of atoms and the limit, and gives the verdict itself.
    """

    name: str
    limit: str
    find: str
    passing: str = "none"
    judges: bool = False

    def __call__(self, block: CifBlock) -> Verdict:
        """The verdict on a block, atoms named by their labels."""
        from crystaltool.checks.mof.judging import judge_block

        return judge_block(self, block)


MOF_RULES: tuple[MOFRule, ...] = (
    MOFRule("has-metal", "at least one metal", "framework:no_metal", "framework:metals"),
    MOFRule("has-carbon", "at least one carbon", "framework:no_carbon", "framework:carbons"),
    MOFRule("has-hydrogen", "at least one hydrogen", "framework:no_hydrogen", "framework:hydrogens"),
    MOFRule("overlap", "no two atoms nearer than the smaller covalent radius", "rules:atomic_overlap"),
    MOFRule("overcoordinated-c", "C with at most 4 neighbours, or bound to metal or B", "rules:overcoordinated_carbon"),
    MOFRule("overcoordinated-n", "N with at most 4 neighbours, or bound to metal", "rules:overcoordinated_nitrogen"),
    MOFRule("overcoordinated-h", "H with one atom within 1.15 A", "rules:overcoordinated_hydrogen"),
    MOFRule(
        "undercoordinated-c", "C with 3 flat neighbours, 2 in line, cyanide or CO", "rules:undercoordinated_carbon"
    ),
    MOFRule(
        "undercoordinated-n",
        "N with 2 nonmetals, 3 bonds if single, or a multiple bond",
        "rules:undercoordinated_nitrogen",
    ),
    MOFRule(
        "undercoordinated-rare-earth",
        "rare earth with at least 4 neighbours",
        "rules:undercoordinated_rare_earth",
    ),
    MOFRule(
        "undercoordinated-alkali",
        "alkali, alkaline earth with 4 neighbours or full valence",
        "rules:undercoordinated_alkali",
    ),
    MOFRule("lone-molecule", "no free atom or molecule", "framework:lone_molecule"),
    MOFRule(
        "connected-3d",
        "bonds reach in 3 directions",
        "framework:not_three_dimensional",
        "bonds reach in 3 directions",
    ),
    MOFRule("terminal-oxo", "terminal O, S, Se, P short enough for a double bond", "rules:terminal_oxo"),
    MOFRule(
        "exposed-metal",
        "metal with 6 neighbours, open angle at most 150 degrees, or lone pair",
        "exposure:exposed_metal",
    ),
    MOFRule(
        "high-charge",
        "EQeq charges within 3 e or the oxidation state, and a tenth",
        "charge:check_high_charge",
        judges=True,
    ),
    MOFRule(
        "framework-charge",
        "ligands and metals neutral together in usual oxidation states",
        "framework_charge:check_framework_charge",
        judges=True,
    ),
)
"""MOFChecker's rules and one on the charge of the whole."""

PORES = MOFRule(
    "pore-diameter", "a sphere of 2.4 A passes (Zeo++, extra 'pore')", "pores:check_pore_diameter", judges=True
)
"""Asked for by an option."""

MOF_CHECKS: tuple[Check, ...] = tuple(
    Check(rule.name, rule.limit, rule, default=rule is not PORES) for rule in (*MOF_RULES, PORES)
)
"""Checks of metal-organic frameworks."""

DECLARED = ("formula", "multiplicities")
"""What a block says of its own content is asked of both kinds."""

NOVEL, UNIQUE = "novel", "unique"
"""The two checks that compare with other structures; see `crystaltool.checks.matching`."""

REFERENCE_CHECKS = {
    NOVEL: "matches no structure of --reference (pymatgen StructureMatcher, default settings; MOFs: blocks and net)",
    UNIQUE: "matches no earlier structure of the input (in the same way)",
}

LIMIT_CHECKS = {STABLE: "energy above the hull at most --stable (CHGNet, Materials Project hull)"}
"""Checks whose limit is an option."""


def check_names() -> list[str]:
    """Names of all checks in order."""
    return [check.name for check in (*CHECKS, *MOF_CHECKS)] + [*LIMIT_CHECKS, *REFERENCE_CHECKS]


def select(only: Sequence[str] | None, with_reference: bool, kind: str = INORGANIC) -> list[str]:
    """Names of the checks to run, in order.

    Args:
        only: names asked for, whatever the kind, or None for the default ones of the kind.
        with_reference: whether a reference is given, which adds `novel` and `unique` to the default ones.
        kind: of the structure.

    Raises:
        UsageError: a name is unknown, the list is empty, or `novel` is asked for without a reference.
    """
    if only is None:
        checks = MOF_CHECKS if kind == MOF else CHECKS
        declared = list(DECLARED) if kind == MOF else []
        names = declared + [check.name for check in checks if check.default]
        return names + (list(REFERENCE_CHECKS) if with_reference else [])
    names = check_names()
    unknown = [name for name in only if name not in names]
    if unknown or not only:
        raise UsageError(f"no check named {unknown[0]!r}, expected {', '.join(names)}" if unknown else "no check named")
    if NOVEL in only and not with_reference:
        raise UsageError("the check 'novel' needs --reference")
    return [name for name in names if name in only]


def run_checks(block: CifBlock, names: Sequence[str]) -> list[Verdict]:
    """The verdicts of the checks of that name on one block, in order; those on other structures are left out."""
    return [check.run(block) for check in (*CHECKS, *MOF_CHECKS) if check.name in names]


@dataclass(frozen=True)
class Plan:
    """Which checks run on which structures.

    Args:
        inorganic, mof: names of the checks of each kind.
        kind: of all structures, None to recognise it.
        identities: whether the identity of every MOF is stated.
        above_hull: limit of the check `stable`, eV/atom.
    """

    inorganic: tuple[str, ...]
    mof: tuple[str, ...]
    kind: str | None = None
    identities: bool = False
    above_hull: float = DEFAULT_ABOVE_HULL

    def of(self, block: CifBlock) -> tuple[str, tuple[str, ...]]:
        """The kind of a block, and the names of its checks."""
        kind = self.kind or kind_of(block)
        return kind, self.mof if kind == MOF else self.inorganic
