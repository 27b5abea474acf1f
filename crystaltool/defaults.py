"""Every default that a command, a function of the library and a manual share, once; nothing is imported for them."""

SYMPREC = 0.01
"""Angstrom, tolerance of the symmetry search; fits DFT-relaxed structures. MP-20's own labels were made at 0.1."""

FORCE_FIELD = "chgnet"
"""For inorganic crystals."""

MOF_FORCE_FIELD = "uff"
"""For metal-organic frameworks."""

MAX_FORCE = 0.05
"""eV/A: the field's usual end of a pre-relaxation with a machine-learned potential."""

MAX_STEPS = 500
"""Evaluations of a force field after the first."""

POTENTIAL = "chgnet"
"""Whose energies are set against the hull."""

MAX_BLOCKS = 20
MAX_BLOCK_ATOMS = 200
MAX_CONNECTIONS = 20
"""Limits of a usable MOF (MOFDiff, section 4.1): blocks in a cell, atoms and connection points of a block."""

STARTS = 32
"""Random orientations of all blocks that an assembly tries at once."""

MAX_CLOSURE = 2.0
"""Angstrom, largest gap in a bond of an assembly. Blocks of a library are rigid conformers from other MOFs: gaps of
this size close in `relax`, which knows the bonds."""

N_SAMPLES = 10
BATCH_SIZE = 200
"""Structures of a sample, and of one call of a network."""

ASSEMBLY_BATCH = 8
"""MOFs that are assembled side by side."""
