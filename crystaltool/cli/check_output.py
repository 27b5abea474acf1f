"""What `check` writes of a structure, what an earlier run of it left in the output, and where to go on.

Structures come out in the order in which they go in, so an output that ends early is the beginning of the whole one. It
is cut after the last structure that is whole, and its verdicts count as this run's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from crystaltool.cli.writer import keep_complete_blocks
from crystaltool.errors import UsageError

if TYPE_CHECKING:
    from crystaltool.checks.judge import Judgement
    from crystaltool.checks.verdict import Verdict
    from crystaltool.io.records import RawBlock

TABLE, JSON, ANNOTATE, PASS, FAIL = "table", "json", "annotate", "pass", "fail"
"""What is written: rows, JSON Lines, all blocks with their verdicts, or those that pass or fail as they came."""

COLUMNS = ("structure", "check", "verdict", "value", "limit", "message")
"""Columns of the table; names are API."""

HEADING = "\t".join(COLUMNS) + "\n"


def text_of(form: str, judgement: Judgement, raw: RawBlock) -> str | None:
    """What is written of a structure, all at once; None where nothing is."""
    if form == TABLE:
        return _table(judgement)
    if form == JSON:
        return judgement.json_line()
    if judgement.error:
        return None
    if form == ANNOTATE:
        return _annotated(judgement, raw)
    return raw.text if judgement.passed == (form == PASS) else None


def _table(judgement: Judgement) -> str:
    lines = []
    for verdict in judgement.verdicts:
        value = "" if verdict.value is None else f"{verdict.value:.6g}"
        word = ("pass" if verdict.passed else "fail") if verdict.judged else "not judged"
        fields = (judgement.name, verdict.check, word, value, verdict.limit)
        lines.append("\t".join((*fields, verdict.message)) + "\n")
    return "".join(lines)


def _annotated(judgement: Judgement, raw: RawBlock) -> str:
    """The block with what this run says of it; verdicts of an earlier run go."""
    from crystaltool.checks.verdict import is_verdict
    from crystaltool.io.annotate import annotate
    from crystaltool.io.cif import parse_block

    block = parse_block(raw.text, raw.source, raw.line, raw.name)
    return annotate(block, judgement.properties(), drop=is_verdict)


@dataclass(frozen=True)
class Told:
    """What an output says of a structure.

    Args:
        name: of the structure.
        passed: whether it passes.
        verdicts: one a check; none where the output has the structure alone.
    """

    name: str
    passed: bool
    verdicts: tuple[Verdict, ...] = ()


class EarlierOutput:
    """What is kept of an output.

    Args:
        form: what is written, see `TABLE`.
    """

    def __init__(self, form: str) -> None:
        self.form = form
        self.told: list[Told] = []

    def keep(self, handle: BinaryIO) -> set[str]:
        """Cut a partial output after its last whole structure; gives the casefolded names before."""
        readers: dict[str, Callable[[BinaryIO], list[Told]]] = {TABLE: _rows, JSON: _lines, ANNOTATE: _blocks}
        if self.form in readers:
            self.told = readers[self.form](handle)
        else:
            keep_complete_blocks(handle)
            self.told = [Told(name, self.form == PASS) for name in _names(handle)]
        handle.seek(0, os.SEEK_END)
        return {told.name.casefold() for told in self.told}


def _rows(handle: BinaryIO) -> list[Told]:
    """Structures of a table, all but the last, of which rows may be missing."""
    from crystaltool.checks.verdict import Verdict

    found: dict[str, list[Verdict]] = {}
    starts: list[int] = []
    place = 0
    handle.seek(0)
    for line in handle:
        fields = line.decode("utf-8", "replace").rstrip("\n").split("\t")
        if line.endswith(b"\n") and len(fields) == len(COLUMNS) and tuple(fields) != COLUMNS:
            name, check, word, value, limit, message = fields
            if name not in found:
                found[name] = []
                starts.append(place)
            judged = word != "not judged"
            found[name].append(Verdict(check, word != "fail", float(value) if value else None, limit, message, judged))
        place += len(line)
    handle.truncate(starts[-1] if starts else 0)
    names = list(found)[:-1]
    if not names:
        handle.truncate(0)
    return [Told(name, all(v.passed for v in found[name]), tuple(found[name])) for name in names]


def _lines(handle: BinaryIO) -> list[Told]:
    """Structures of JSON Lines."""
    from crystaltool.checks.verdict import Verdict

    told: list[Told] = []
    place = 0
    handle.seek(0)
    for line in handle:
        if not line.endswith(b"\n"):
            break
        try:
            said = json.loads(line)
            checks = [(check, one, one["passed"]) for check, one in said["checks"].items()]
            verdicts = tuple(
                Verdict(check, passed is not False, one["value"], one["limit"], one["message"], passed is not None)
                for check, one, passed in checks
            )
            told.append(Told(said["structure"], said["passed"], verdicts))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError("--resume: the output holds lines that check --json did not write") from None
        place += len(line)
    handle.truncate(place)
    return told


def _blocks(handle: BinaryIO) -> list[Told]:
    """Structures with their verdicts as values."""
    from crystaltool.checks.verdict import OF_ALL_CHECKS, VERDICT_KEY, Verdict, is_verdict

    keep_complete_blocks(handle)
    told = []
    for name, text in _texts(handle):
        values = {key: value for key, value in _values(text).items() if is_verdict(key) and key != OF_ALL_CHECKS}
        verdicts = [
            Verdict(key.removeprefix(VERDICT_KEY).replace("_", "-"), word != "fail", None, "", "", word != "not_judged")
            for key, word in values.items()
        ]
        told.append(Told(name, _values(text).get(OF_ALL_CHECKS) == "pass", tuple(verdicts)))
    return told


def _values(text: str) -> dict[str, str]:
    """The words of `_crystaltool_*` tags."""
    found = {}
    for line in text.splitlines():
        tag, _, value = line.partition(" ")
        if tag.startswith("_crystaltool_"):
            found[tag.removeprefix("_crystaltool_")] = value.strip()
    return found


def _texts(handle: BinaryIO) -> Iterator[tuple[str, str]]:
    """Names and texts of blocks."""
    from crystaltool.io.splitter import decode, read_lines, split_blocks

    handle.seek(0)
    for chunk in split_blocks(read_lines(handle)):
        yield chunk.name or "", decode(chunk.data)


def _names(handle: BinaryIO) -> list[str]:
    return [name for name, _ in _texts(handle)]
