"""The list of checks, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from crystaltool.checks.cell import check_cell, check_cell_symmcd
from crystaltool.checks.charge import OPTIONS, check_charge
from crystaltool.checks.density import check_density
from crystaltool.checks.distance import check_distance_cdvae, check_distance_lemat, check_duplicates
from crystaltool.checks.exact_group import check_exact_group
from crystaltool.checks.formula import check_formula, check_multiplicities
from crystaltool.checks.kind import INORGANIC, MOF, kind_of
from crystaltool.checks.mof_rules import PORE_DIAMETER, PORE_LIMIT, RULE_LIMITS
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


def _judge_mof(name: str, block: CifBlock) -> Verdict:
    """The verdict of a rule of MOFs; the rules load scipy, which inorganic structures do without."""
    from crystaltool.checks.mof.registry import judge_block

    return judge_block(name, block)


MOF_CHECKS: tuple[Check, ...] = (
    *(Check(name, limit, partial(_judge_mof, name)) for name, limit in RULE_LIMITS.items()),
    Check(PORE_DIAMETER, PORE_LIMIT, partial(_judge_mof, PORE_DIAMETER), default=False),
)
"""Checks of metal-organic frameworks: MOFChecker's rules, and the pore diameter."""

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
