"""CSV tables of properties."""

from __future__ import annotations

from pathlib import Path

import pytest

from crystaltool.errors import InputError
from crystaltool.io.property_table import read_property_table


def test_numeric_columns_by_name(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("name,source,uptake [mmol/g],PLD,empty\na,CSD,1.5,,\nb,CoRE,,3.25,\n")
    table = read_property_table(path)
    assert table.columns == ("uptake [mmol per g]", "PLD")
    assert table.find("a") == {"uptake [mmol per g]": 1.5}
    assert table.find("unknown", "b") == {"PLD": 3.25}
    assert table.find("unknown") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a CSV file with a header and rows"),
        ("name,x\n", "expected a CSV file with a header and rows"),
        ("name,x\na,1,2\n", "row 2 has 3 fields, the header 2"),
        ("name,x\na,1\na,2\n", "the name 'a' stands twice in column 'name'"),
        ("name,x\na,one\n", "no numeric column"),
        (b"\xff\xfe\x00", "no CSV text"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        read_property_table(path)
