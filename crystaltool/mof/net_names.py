"""RCSR symbols of well-known nets, recognised by coordination sequences.

`build_net_names` makes the table from textbook structures. Nets that are not in it have no name here, which says
nothing about whether they have one.
"""

from __future__ import annotations

from crystaltool.mof.net import Net

NAMES: dict[str, str] = {
    "acs": "3d-dc96948bbc",
    "bnn": "3d-21c3b44db5",
    "bor": "3d-7c9263a8be",
    "cds": "3d-055426bbe4",
    "crs": "3d-488fd1cbb9",
    "csq": "3d-de6537a20f",
    "ctn": "3d-2e5df0eb3c",
    "dia": "3d-1d0a7dd9e6",
    "fcu": "3d-ef38ec515b",
    "flu": "3d-ce858865ed",
    "ftw": "3d-c230bff1c4",
    "hcb": "2d-8e74ad9244",
    "hxl": "2d-c18b232489",
    "kgm": "2d-3211edd3d7",
    "lon": "3d-b03e7faf53",
    "nbo": "3d-4029c70967",
    "nia": "3d-11935ebdc6",
    "pcu": "3d-e3a645b32f",
    "pto": "3d-0882474390",
    "pts": "3d-2ed13fb124",
    "pyr": "3d-ffa1f7b0ad",
    "qtz": "3d-8b7aa33237",
    "reo": "3d-158a7b1b05",
    "rtl": "3d-cf1e7f5782",
    "scu": "3d-0440b0168d",
    "soc": "3d-a2d528d203",
    "sod": "3d-d8a3337532",
    "spn": "3d-d334907129",
    "sql": "2d-736bfb3e55",
    "srs": "3d-42064e1175",
    "tbo": "3d-15cebfe8c4",
    "ths": "3d-133c892f5b",
}
"""Of each symbol: dimension and digest of the coordination sequences of a net, as in `Net.text`."""

_SYMBOLS = {digest: name for name, digest in NAMES.items()}


def name_of(net: Net) -> str:
    """The symbol of a net, or of each of its interpenetrating nets (`pcu`); empty where none is known."""
    return symbol_of(net.text)


def symbol_of(text: str) -> str:
    """As `name_of`, of a `Net.text`; a key of the catalogue begins with one (`LabelledNet.key`)."""
    parts = text.partition(".")[0].split("-")
    return _SYMBOLS.get(f"{parts[0]}-{parts[-1]}", "")
