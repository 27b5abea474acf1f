"""Our forty lines of safetensors against the library, and headers made to hurt."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch

from crystaltool.errors import CheckpointError
from crystaltool.training.checkpoint import MAX_HEADER_BYTES, read_safetensors, write_safetensors

TENSORS = {
    "matrix": torch.randn(3, 5, generator=torch.Generator().manual_seed(0)),
    "double": torch.linspace(0, 1, 7, dtype=torch.float64),
    "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "brain": torch.tensor([[1.5], [-2.0], [3.0]], dtype=torch.bfloat16),
    "count": torch.tensor(12345678901, dtype=torch.int64),
    "nothing": torch.zeros(0, 4),
    "a.b.c": torch.randn(4, 6, generator=torch.Generator().manual_seed(1)).T,
}
"""Every type, a scalar, an empty one, one that is not contiguous."""


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and found[name].shape == value.shape, name
        assert torch.equal(found[name], value), name


def test_round_trip(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a", TENSORS)
    assert_same(read_safetensors(tmp_path / "a"), TENSORS)


def test_the_library_reads_what_we_write(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.torch")
    write_safetensors(tmp_path / "a", TENSORS)
    assert_same(library.load_file(tmp_path / "a"), TENSORS)


def test_we_read_what_the_library_writes(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.torch")
    library.save_file({name: value.contiguous() for name, value in TENSORS.items()}, tmp_path / "a", {"made by": "it"})
    assert_same(read_safetensors(tmp_path / "a"), TENSORS)


def test_what_is_read_can_be_written_to(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a", TENSORS)
    read_safetensors(tmp_path / "a")["matrix"] += 1
    assert_same(read_safetensors(tmp_path / "a"), TENSORS)


def entry(start: int, stop: int, shape: object = None, dtype: object = "F32") -> dict:
    return {"dtype": dtype, "shape": [(stop - start) // 4] if shape is None else shape, "data_offsets": [start, stop]}


def file_of(header: object, body: bytes = b"\0" * 16) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


HOSTILE = {
    "empty": b"",
    "short": b"\1\2\3",
    "no header": struct.pack("<Q", 0),
    "header longer than the file": struct.pack("<Q", 1000) + b"{}",
    "header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "header longer than the limit": struct.pack("<Q", MAX_HEADER_BYTES + 1) + b" " * (MAX_HEADER_BYTES + 2),
    "not JSON": file_of(b"{never}"),
    "not UTF-8": file_of(b'{"\xff\xfe\xff": 1}'),
    "deeply nested": file_of(b"[" * 200_000),
    "a list": file_of([1, 2]),
    "entry is no object": file_of({"a": 5}),
    "entry is a list": file_of({"a": [0, 16]}),
    "entry without type": file_of({"a": {"shape": [4], "data_offsets": [0, 16]}}),
    "unknown type": file_of({"a": entry(0, 16, dtype="F8")}),
    "type is a list": file_of({"a": entry(0, 16, dtype=["F32"])}),
    "three offsets": file_of({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8, 16]}}),
    "beyond the end": file_of({"a": entry(0, 20)}),
    "far beyond the end": file_of({"a": entry(0, 2**62, [2**60])}),
    "backwards": file_of({"a": entry(16, 0, [-4])}),
    "before the start": file_of({"a": entry(-16, 0)}),
    "overlap": file_of({"a": entry(0, 16), "b": entry(8, 16)}),
    "twice the same bytes": file_of({"a": entry(0, 16), "b": entry(0, 16)}),
    "a gap": file_of({"a": entry(0, 4), "b": entry(8, 16)}),
    "bytes to spare": file_of({"a": entry(0, 12)}),
    "negative shape": file_of({"a": entry(0, 16, [-2, -2])}),
    "fractional shape": file_of({"a": entry(0, 16, [4.0])}),
    "shape is text": file_of({"a": entry(0, 16, "4")}),
    "shape is true": file_of({"a": entry(0, 4, [True])}),
    "shape too large": file_of({"a": entry(0, 16, [5])}),
    "huge shape of nothing": file_of({"a": entry(0, 0, [0, 2**62, 2**62])}, b""),
    "longer number than any": file_of(
        b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 16]}}'
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(CheckpointError, match=r"model\.safetensors") as caught:
        read_safetensors(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_the_hostile_files_are_one_change_away_from_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(
        file_of({"__metadata__": {"x": "y"}, "a": entry(0, 4), "b": entry(4, 16), "c": entry(16, 16, [0, 3])})
    )
    assert {name: tuple(value.shape) for name, value in read_safetensors(path).items()} == {
        "a": (1,),
        "b": (3,),
        "c": (0, 3),
    }


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(CheckpointError):
            read_safetensors(path)
