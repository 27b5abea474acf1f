"""A second reading of CIF text that breaks the syntax: mended where the structure cannot be meant otherwise.

Cell, symmetry and atoms are what a structure is: a loop of atoms with a value too many is an error with its line. All
else (citations, names, experimental details) loses at most the value concerned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from crystaltool.errors import InputError
from crystaltool.io.cif_format import quote

STRUCTURE = ("_atom_site_", "_symmetry_equiv", "_space_group_symop", "_cell_")
"""Beginnings of tags in whose loops nothing is guessed; a dot counts as `_`."""

OPERATIONS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")

_ENDS_LOOP = re.compile(r"(?:data_|save_|loop_|global_|stop_|_\S)", re.IGNORECASE)
_QUOTED = {mark: re.compile(rf"{mark}(.*?){mark}(?=\s|$)") for mark in "'\""}
_PRINTABLE = re.compile(r"[\x20-\x7e]+$")
_OPERATION = re.compile(r"(?:[0-9]+\s+)?[-+0-9./xyz*\s]+,[-+0-9./xyz*\s]+,[-+0-9./xyz*\s]+$", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?(?:\([0-9]*\))?$")


@dataclass
class _Token:
    """A word of the text: `raw` as it goes out, `word` what it says, on `line` (1-based); `bare` if not quoted."""

    raw: str
    word: str
    line: int
    bare: bool


@dataclass
class _Mended:
    """What goes out, and what had to be done."""

    lines: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def pair(self, tag: str, raw: str) -> None:
        self.lines.append(f"{tag} {raw}")


def mend(text: str) -> tuple[str, list[str]]:
    """The text of one block with its syntax mended, and what was done, a few words each with tag and line.

    Raises:
        InputError: what is broken is the cell, the symmetry or the loop of atoms.
    """
    done = _Mended()
    tokens = list(_words(text, done.said))
    at = 0
    while at < len(tokens):
        token = tokens[at]
        lower = token.word.lower()
        if token.bare and lower.startswith("data_"):
            done.lines.append(token.word)
            at += 1
        elif token.bare and lower == "loop_":
            at = _mend_loop(tokens, at + 1, done)
        elif token.bare and token.word.startswith("_"):
            at = _mend_pair(tokens, at, done)
        else:
            done.said.append(f"{token.word[:30]!r} on line {token.line} belongs to no tag")
            at += 1
    return "\n".join(done.lines) + "\n", done.said


def _words(text: str, said: list[str]) -> Iterator[_Token]:
    """The words of the text; text fields and quotes that are not closed end where the next tag begins, or the line."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if not line.startswith(";"):
            yield from _words_of_line(line, number, said)
            continue
        end = next((k for k in range(number, len(lines)) if lines[k].startswith(";")), None)
        rest = ""
        if end is None:
            said.append(f"text field of line {number} is not closed")
            end = next((k for k in range(number, len(lines)) if _ENDS_LOOP.match(lines[k])), len(lines))
            next_number = end
        else:
            rest, next_number = lines[end][1:], end + 1
        content = [line[1:], *lines[number:end]]
        yield _Token(
            "\n;" + "\n".join(map(_clean, content)) + "\n;", " ".join(" ".join(content).split()), number, False
        )
        number = next_number
        if rest.strip():
            yield from _words_of_line(rest, number, said)


def _words_of_line(line: str, number: int, said: list[str]) -> Iterator[_Token]:
    at = 0
    while at < len(line):
        if line[at].isspace():
            at += 1
            continue
        if line[at] == "#":
            return
        if line[at] not in _QUOTED:
            word = line[at:].split(maxsplit=1)[0]
            at += len(word)
            yield _Token(word if _PRINTABLE.match(word) else quote(word), word, number, True)
            continue
        closed = _QUOTED[line[at]].match(line, at)
        if closed:
            content, end = closed[1], closed.end()
        else:
            last = line.rfind(line[at], at + 1)
            content, end = (line[at + 1 : last], last + 1) if last > at else (line[at + 1 :], len(line))
            tail = line[end:].split(maxsplit=1)[0] if line[end:].strip() else ""
            end += len(tail) if not line[end : end + 1].isspace() else 0
            said.append(f"quote on line {number} is not closed" + (f" but by {tail!r}" if tail else ""))
        raw = closed[0] if closed and _PRINTABLE.match(closed[0]) else quote(content)
        at = end
        yield _Token(raw, content, number, False)


def _clean(line: str) -> str:
    """One line of a text field in printable ASCII; one that begins with a semicolon does not end the field."""
    return line if not line or _PRINTABLE.match(line) else line.encode("ascii", "backslashreplace").decode().strip()


def _is_value(token: _Token) -> bool:
    return not (token.bare and _ENDS_LOOP.match(token.word))


def _of_structure(tag: str) -> bool:
    return tag.lower().replace(".", "_").startswith(STRUCTURE)


def _mend_pair(tokens: list[_Token], at: int, done: _Mended) -> int:
    """Write a tag and its value; what else stands on its line belongs to it. Returns where to go on."""
    tag = tokens[at]
    end = at + 1
    while end < len(tokens) and _is_value(tokens[end]):
        end += 1
    values = tokens[at + 1 : end]
    if not values:
        done.said.append(f"{tag.word} on line {tag.line} has no value")
        done.pair(tag.word, "?")
        return end
    mine = [value for value in values if value.line == values[0].line]
    if len(values) == 1:
        done.pair(tag.word, values[0].raw)
        return end
    if _of_structure(tag.word):
        _mend_structure_pair(tag, values, mine, done)
        return end
    joined = " ".join(value.word for value in mine)
    if len(mine) > 1 and all(value.bare for value in mine):
        done.said.append(f"{tag.word} on line {tag.line} is not quoted, read as {joined[:40]!r}")
        done.pair(tag.word, quote(joined))
    else:
        done.pair(tag.word, mine[0].raw)
        if len(mine) > 1:
            done.said.append(f"{tag.word} on line {tag.line}: {mine[1].word[:20]!r} behind the value is left out")
    if len(values) > len(mine):
        stray = values[len(mine)]
        done.said.append(f"{stray.word[:30]!r} on line {stray.line} belongs to no tag")
    return end


def _mend_structure_pair(tag: _Token, values: list[_Token], mine: list[_Token], done: _Mended) -> None:
    """A number of the cell may have its unit behind it, an operation may lack its quotes."""
    others = values[1:]
    joined = " ".join(value.word for value in mine)
    if len(values) == len(mine) and tag.word.lower().replace(".", "_") in OPERATIONS and _OPERATION.match(joined):
        done.said.append(f"{tag.word} on line {tag.line} is not quoted")
        done.pair(tag.word, quote(joined))
    elif (
        tag.word.lower().startswith("_cell")
        and _NUMBER.match(values[0].word)
        and not any(any(letter.isdigit() for letter in value.word) for value in others)
    ):
        done.said.append(f"{tag.word} on line {tag.line}: {others[0].word[:20]!r} behind the value is left out")
        done.pair(tag.word, values[0].raw)
    else:
        raise InputError(f"line {tag.line}: {tag.word} has {len(values)} values, expected 1")


def _mend_loop(tokens: list[_Token], at: int, done: _Mended) -> int:
    """Write a loop whose values fill its columns. Returns where to go on."""
    tags = []
    while at < len(tokens) and tokens[at].bare and tokens[at].word.startswith("_"):
        tags.append(tokens[at].word)
        at += 1
    end = at
    while end < len(tokens) and _is_value(tokens[end]):
        end += 1
    values = tokens[at:end]
    if not tags:
        done.said.append("a loop without tags")
        return max(end, at)
    if any(tag.lower().replace(".", "_") in OPERATIONS for tag in tags):
        values = _joined_operations(values, len(tags), done)
    if values and len(values) % len(tags) == 0:
        done.lines += ["loop_", *tags]
        done.lines += [
            " ".join(value.raw for value in values[k : k + len(tags)]) for k in range(0, len(values), len(tags))
        ]
        return end
    named = next((tag for tag in tags if _of_structure(tag)), None)
    if named is not None and values:
        line = _odd_line(values, len(tags))
        raise InputError(f"line {line}: the loop of {named} has {len(values)} values for {len(tags)} tags")
    done.said.append(f"the loop of {tags[0]} has {len(values)} values for {len(tags)} tags and is left out")
    return end


def _joined_operations(values: list[_Token], n_tags: int, done: _Mended) -> list[_Token]:
    """Operations such as `x, y, z` without quotes, a line each, made one value."""
    rows: dict[int, list[_Token]] = {}
    for value in values:
        rows.setdefault(value.line, []).append(value)
    if n_tags > 2 or all(len(row) == n_tags for row in rows.values()):
        return values
    joined = []
    for line, row in rows.items():
        *before, first = row[:n_tags]
        word = " ".join([first.word, *(value.word for value in row[n_tags:])])
        if not _OPERATION.match(word) or len(row) < n_tags:
            return values
        joined += [*before, _Token(quote(word), word, line, False)]
    done.said.append(f"operations from line {values[0].line} on are not quoted")
    return joined


def _odd_line(values: list[_Token], n_tags: int) -> int:
    """The first line that has another number of values than tags; the last one if all have."""
    counts: dict[int, int] = {}
    for value in values:
        counts[value.line] = counts.get(value.line, 0) + 1
    return next((line for line, count in counts.items() if count != n_tags), values[-1].line)
