"""What `sample mofdiff` does where the net comes first: wishes to nets and blocks, items to decodings."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from crystaltool.models.block_encoder.library import Library
    from crystaltool.models.mofdiff.aimed import Design
    from crystaltool.models.mofdiff.checkpoint import LoadedMOFDiff
    from crystaltool.models.mofdiff.nets_first import Choices, NetFiller, NetsConfig, Prior
    from crystaltool.models.mofdiff.targets import Target
    from crystaltool.mof.blocks import BuildingBlock, CoarseMOF
    from crystaltool.mof.catalogue import Catalogue

FREE = "free"
NETS_FOLDER, NETS_NAME = "nets", "nets.h5"


@dataclass(frozen=True)
class Wishes:
    """What the user asks for, as it was written."""

    net: str | None = None
    metals: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    linkers: tuple[str, ...] = ()

    @property
    def blocks(self) -> bool:
        """Whether blocks are asked for."""
        return bool(self.metals or self.nodes or self.linkers)


NO_WISHES = Wishes()


@dataclass(frozen=True)
class Planned:
    """What fills nets in this process, with what may be chosen, the library with the user's own blocks, and designs by
    the property that they are good for."""

    filler: NetFiller
    choices: Choices
    library: Library
    designs: dict[str, tuple[Design, ...]] = field(default_factory=dict)


def nets_come_first(checkpoint: str, wishes: Wishes) -> bool:
    """Whether a net is drawn first: unless told otherwise where the checkpoint has a catalogue, or a file is named.

    Raises:
        UsageError: wishes that the free mode cannot meet.
    """
    from crystaltool.errors import UsageError

    if wishes.net == FREE:
        if wishes.blocks:
            raise UsageError("--metal, --node and --linker need a net, they do not go with --net free")
        return False
    known = (Path(checkpoint) / NETS_FOLDER / NETS_NAME).is_file()
    if not known and (wishes.blocks or wishes.net is not None) and not Path(wishes.net or "").is_file():
        raise UsageError(
            f"{checkpoint}: no catalogue of nets ({NETS_FOLDER}/{NETS_NAME}); only --net free, or a file of nets, goes"
        )
    return known or wishes.net is not None


@functools.lru_cache(maxsize=1)
def plan(checkpoint: str, library_path: str | None, wishes: Wishes, candidates: int | None) -> Planned:
    """Nets and blocks that the wishes leave.

    Raises:
        UsageError: a wish that cannot be met. InputError, CheckpointError: a file that cannot be read.
    """
    import json

    import numpy as np

    from crystaltool.models.configuration import from_json, stored_sizes
    from crystaltool.models.mofdiff.charges import library_charges
    from crystaltool.models.mofdiff.library import load_library
    from crystaltool.models.mofdiff.nets_first import Choices, NetFiller, NetsConfig, possible_nets

    directory = Path(checkpoint)
    stored = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    with stored_sizes(directory, "MOFDiff"):
        config = from_json(NetsConfig(), stored.get("nets", {}))
        encoder = str(stored["encoder_sha256"])
    if candidates is not None:
        config = replace(config, candidates=candidates, fillings=max(config.fillings, candidates))
    base = load_library(directory, encoder, Path(library_path) if library_path is not None else None)
    base = replace(base, charges=library_charges(base))
    nodes, linkers = _own_blocks(wishes)
    library = extended(base, [*nodes, *linkers])
    allowed = np.ones(len(library), dtype=bool)
    allowed[len(base) :] = False
    if wishes.nodes:
        allowed[library.kinds == 0] = False
        allowed |= _named_nodes(base, library, wishes, len(nodes))
    if wishes.linkers:
        allowed[library.kinds == 1] = False
        allowed[len(base) + len(nodes) :] = True
    if wishes.metals:
        allowed &= _of_metals(library, wishes.metals)
    catalogue, rows = _nets(directory, wishes.net)
    needed = ((library.kinds == 1),) if wishes.linkers else ()
    choices = possible_nets(catalogue, library, Choices(rows, allowed, needed))
    filler = NetFiller(
        catalogue, library, library_charges(library), _prior(directory, encoder, library, config), config
    )
    own_rows = library_path is not None or Path(wishes.net or "").is_file()
    return Planned(filler, choices, library, {} if own_rows else possible_designs(directory, choices))


def sample_items(
    planned: Planned, loaded: LoadedMOFDiff, indices: Sequence[int], seed: int, target: Target | None, draws: int
) -> list[tuple[str, list[tuple[CoarseMOF, tuple[int, ...]]]]]:
    """Names of some items, and of each its decodings with their rows in the library; pure, for any process."""
    from functools import partial

    from crystaltool.models.mofdiff.aimed import Aim, draw_towards
    from crystaltool.models.mofdiff.designs import nearest
    from crystaltool.models.mofdiff.merit import merit_of
    from crystaltool.models.mofdiff.nets_first import item_name, sample_nets
    from crystaltool.models.mofdiff.properties import predict_mofs

    draw = planned.filler.draw
    if target:
        parents = nearest(planned.designs.get(target.name, ()), target)
        draw = partial(draw_towards, planned.filler, Aim(draws, merit_of(target, loaded.model), parents))
    results = []
    for index in indices:
        (found,) = sample_nets(draw, [index], seed, planned.choices)
        decodings = []
        for (mof, rows, _), predicted in zip(
            found, predict_mofs(loaded.model, [mof for mof, _, _ in found]), strict=True
        ):
            properties = mof.properties | {f"predicted_{name}": value for name, value in predicted.items()}
            decodings.append((replace(mof, properties=properties), rows))
        results.append((item_name(seed, index), decodings))
    return results


def possible_designs(directory: Path, choices: Choices) -> dict[str, tuple[Design, ...]]:
    """The checkpoint's designs whose net and blocks may be chosen, by property.

    Raises:
        CheckpointError: the file is damaged.
    """
    from crystaltool.models.mofdiff.designs import DESIGNS, read_designs

    path = directory / NETS_FOLDER / DESIGNS
    if not path.is_file():
        return {}
    name, designs = read_designs(path)
    nets = set(choices.nets.tolist())

    def possible(design: Design) -> bool:
        rows = list(design.rows)
        has_all = all(some[rows].any() for some in choices.needed)
        return design.net in nets and bool(choices.allowed[rows].all()) and has_all

    return {name: tuple(design for design in designs if possible(design))}


def extended(library: Library, blocks: Sequence[BuildingBlock]) -> Library:
    """A library with further blocks behind its own, of no embedding, as frequent as the most frequent one."""
    import numpy as np

    from crystaltool.models.mofdiff.charges import charge_range
    from crystaltool.mof.identity import identify
    from crystaltool.mof.table import TableBuilder

    if not blocks:
        return library
    builder = TableBuilder()
    prints = library.blocks.arrays["identities/ecfp4"]
    identities = library.blocks.arrays["blocks/identity"]
    for row in range(len(library)):
        builder.add_block(library.block(row), prints[identities[row]])
    for block in blocks:
        builder.add_block(block, identify(block).bits)
    n = len(blocks)
    embeddings = np.concatenate([library.embeddings, np.zeros((n, library.embeddings.shape[1]), dtype=np.float32)])
    occurrences = np.concatenate([library.occurrences, np.full(n, library.occurrences.max())])
    charges = np.stack([charge_range(block) for block in blocks])
    if library.charges is not None:
        charges = np.concatenate([library.charges, charges])
    return replace(library, blocks=builder.table(), embeddings=embeddings, occurrences=occurrences, charges=charges)


def _prior(directory: Path, encoder: str, library: Library, config: NetsConfig) -> Prior:
    """Frequencies of the blocks, and the trained model of which block goes where by the weight it has.

    Raises:
        CheckpointError: it is damaged, or of another encoder.
    """
    import json

    from crystaltool.errors import CheckpointError
    from crystaltool.models.mofdiff.block_prior import LearnedPrior, load_prior
    from crystaltool.models.mofdiff.nets_first import Frequencies, Mixed

    folder, frequencies = directory / NETS_FOLDER, Frequencies(library.occurrences)
    if config.learned == 0:
        return frequencies
    model = load_prior(folder)
    stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if stored.get("encoder_sha256") != encoder:
        raise CheckpointError(f"{folder}: trained on the embeddings of another block encoder than {directory}")
    return Mixed(frequencies, LearnedPrior(model, library), config.learned)


def _own_blocks(wishes: Wishes) -> tuple[list[BuildingBlock], list[BuildingBlock]]:
    """Nodes and linkers that the library need not have."""
    from crystaltool.mof.linkers import linker_of_file, linker_of_smiles

    nodes, linkers = [], []
    for text in wishes.nodes:
        if Path(text).is_file():
            nodes += _blocks_of_file(text, 0, "--node")
    for text in wishes.linkers:
        path = Path(text)
        if not path.is_file():
            linkers.append(linker_of_smiles(text))
        elif path.suffix in (".h5", ".hdf5"):
            linkers += _blocks_of_file(text, 1, "--linker")
        else:
            linkers.append(linker_of_file(path))
    return nodes, linkers


def _blocks_of_file(path: str, kind: int, option: str) -> list[BuildingBlock]:
    """The distinct blocks of a kind in a file of kind mof-blocks."""
    from crystaltool.errors import UsageError
    from crystaltool.mof.blocks import KINDS
    from crystaltool.mof.table import read_mofs

    table = read_mofs(path)
    found = {}
    for number in range(table.n_blocks):
        block = table.block(number)
        if block.kind == kind:
            found.setdefault((block.identity, block.n_connections), block)
    if not found:
        raise UsageError(f"{option} {path}: no {KINDS[kind]} in it")
    return list(found.values())


def _named_nodes(base: Library, library: Library, wishes: Wishes, n_own: int) -> np.ndarray:
    """Nodes of the names asked for, and the user's own."""
    import numpy as np

    from crystaltool.errors import UsageError

    chosen = np.zeros(len(library), dtype=bool)
    chosen[len(base) : len(base) + n_own] = True
    names = np.array([*base.blocks.identity_names, ""])[base.blocks.arrays["blocks/identity"]]
    formulas = np.array([name.partition("_")[0] for name in names.tolist()])
    for text in wishes.nodes:
        if Path(text).is_file():
            continue
        hits = (base.kinds == 0) & ((names == text) | (formulas == text))
        if not hits.any():
            raise UsageError(f"--node {text}: no file, and no node of this name or formula in the library")
        chosen[: len(base)] |= hits
    return chosen


def _of_metals(library: Library, symbols: Sequence[str]) -> np.ndarray:
    """Blocks without a metal that is not asked for; no node but of those asked for.

    Raises:
        UsageError: no metal, or one that no node of the library has.
    """
    import numpy as np

    from crystaltool.errors import UsageError
    from crystaltool.mof.elements import METAL
    from crystaltool.units import SYMBOLS

    wanted = [text for part in symbols for text in part.split(",")]
    unknown = [text for text in wanted if text not in SYMBOLS or not METAL[SYMBOLS.index(text)]]
    if unknown:
        raise UsageError(f"--metal {unknown[0]}: no symbol of a metal")
    for text in wanted:
        if not (library.containing(SYMBOLS.index(text)) & (library.kinds == 0)).any():
            raise UsageError(f"--metal {text}: no node of the library has it")
    numbers = [SYMBOLS.index(text) for text in wanted]
    a = library.blocks.arrays
    owner = np.repeat(np.arange(len(library)), a["blocks/n_atoms"])
    other = METAL[a["blocks/numbers"]] & ~np.isin(a["blocks/numbers"], numbers)
    return np.bincount(owner[other], minlength=len(library)) == 0


def _nets(directory: Path, wish: str | None) -> tuple[Catalogue, np.ndarray]:
    """The catalogue and the rows of it that are asked for."""
    import numpy as np

    from crystaltool.mof.catalogue import nets_of_file, read_catalogue
    from crystaltool.mof.table import read_mofs

    if wish is not None and Path(wish).is_file():
        catalogue = nets_of_file(read_mofs(wish), wish)
        return catalogue, np.arange(len(catalogue))
    catalogue = read_catalogue(directory / NETS_FOLDER / NETS_NAME)
    return catalogue, np.arange(len(catalogue)) if wish is None else catalogue.named(wish)
