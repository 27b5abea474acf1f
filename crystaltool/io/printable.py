"""Text for terminals: an input file must not steer them."""

from __future__ import annotations

import re
from typing import Any

_UNSEEN = re.compile(r"[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def printable(text: str) -> str:
    """The text with control characters, and such as turn the direction of writing, shown as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def json_line(value: Any) -> str:
    """A value as one line of JSON whose characters can all be printed; those that cannot are JSON's own escapes."""
    import json

    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"
