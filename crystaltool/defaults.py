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

PRESSURES = "0.1,1"
"""bar; what the CO2 working capacities of the training data stand between."""

TEMPERATURE = 298.0
"""K, of the gas."""

CYCLES = 10.0
"""Accepted Monte Carlo moves for each molecule."""

PROBE = 1.82
"""Angstrom, radius of the probe of surface and void: half the kinetic diameter of nitrogen."""

MOF_MODEL = "mofdiff"
"""Checkpoint whose heads predict properties."""
