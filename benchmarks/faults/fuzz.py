"""Coverage-guided fuzzing of the readers by atheris (libFuzzer; `pip install atheris`), on demand.

    python -m benchmarks.faults.fuzz cif|hdf5 --work FOLDER --seconds 3600

The corpus is kept in FOLDER/corpus-KIND and grows; whatever raises anything but a `CrystaltoolError` is kept in
FOLDER/found-KIND, once for every place where it is raised, and the search goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import logging
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["crystaltool.io", "crystaltool.mof.table", "crystaltool.asymunit"]):
    from crystaltool.errors import CrystaltoolError, InputError
    from crystaltool.io import hdf5, stream
    from crystaltool.io.cif_format import format_crystal
    from crystaltool.models.block_encoder.embedding_file import read_embeddings
    from crystaltool.mof.table import read_mofs

MOST_BYTES = 30_000


def read_text(data: bytes) -> None:
    """Every block of a stream, read and written again."""
    for raw in stream._Reader(stream.asym_unit_blocks, [], None).content(io.BytesIO(data), "fuzz"):
        if isinstance(raw, stream.RawBlock):
            block = stream.parse_raw(raw)
            if not isinstance(block, stream.BadRecord):
                format_crystal(block.crystal, block.name)


def read_hdf5(data: bytes) -> None:
    """The file by every reader of ours."""
    for read in (hdf5.read_asym_units, hdf5.read_properties, hdf5.read_texts, hdf5.read_history, read_mofs):
        try:
            read(io.BytesIO(data), "fuzz")
        except InputError:
            continue
    list(hdf5.stored_blocks(io.BytesIO(data), "fuzz"))
    path = Path("/dev/shm/faults-fuzz.h5")
    path.write_bytes(data)
    read_embeddings(path)


def seeds(kind: str, files: Path) -> list[Path]:
    """Small sound files."""
    found = [*(files / "cifs").glob("*.cif"), *(files / "poscars").glob("*"), files / "structures.xyz"]
    found = found if kind == "cif" else list(files.glob("*.h5"))
    return [path for path in found if path.stat().st_size < MOST_BYTES * (1 if kind == "cif" else 20)]


def watched(read: Callable[[bytes], None], found: Path) -> Callable[[bytes], None]:
    """The reader for the fuzzer: what it raises is kept, once a place."""
    places: set[str] = set()

    def one(data: bytes) -> None:
        try:
            read(data)
        except CrystaltoolError:
            pass
        except Exception as error:
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "crystaltool" in frame.filename]
            place = f"{type(error).__name__} {Path(frames[-1].filename).name}:{frames[-1].lineno}"
            if place not in places:
                places.add(place)
                name = hashlib.sha256(place.encode()).hexdigest()[:12]
                (found / name).write_bytes(data)
                (found / f"{name}.txt").write_text(f"{place}\n{traceback.format_exc()}")

    return one


def main() -> None:
    """Fuzz until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("cif", "hdf5"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.getLogger("crystaltool").addHandler(logging.NullHandler())
    logging.getLogger("crystaltool").propagate = False
    corpus, found = given.work / f"corpus-{given.kind}", given.work / f"found-{given.kind}"
    found.mkdir(parents=True, exist_ok=True)
    if not corpus.exists():
        corpus.mkdir(parents=True)
        for path in seeds(given.kind, given.work / "files"):
            shutil.copy(path, corpus)
    options = [f"-max_total_time={given.seconds}", "-timeout=30", "-rss_limit_mb=2048", f"-seed={given.seed}",
               f"-max_len={MOST_BYTES * 20}", f"-artifact_prefix={found}/", "-print_final_stats=1"]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], watched(read_text if given.kind == "cif" else read_hdf5, found))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
