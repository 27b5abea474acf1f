"""Modules, functions and lists of parameters stay small; commands, whose options are parameters, have some more."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import crystaltool

PACKAGE = Path(crystaltool.__file__).parent
SOURCES = {path: path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    """Every function outside the commands, nested ones too, with its place."""
    for path, text in SOURCES.items():
        if path.parent != PACKAGE / "cli":
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, Function):
                    yield f"{path.relative_to(PACKAGE)}:{node.name}", node


def n_parameters(function: Function) -> int:
    """Parameters of a function, starred ones too, but for the object or class that it is called on."""
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")]) + bool(given.vararg) + bool(given.kwarg)


def test_no_module_is_over_350_lines() -> None:
    assert [(str(path), n) for path, text in SOURCES.items() if (n := text.count("\n")) > 350] == []


def test_no_function_is_over_60_lines() -> None:
    lengths = {place: (node.end_lineno or 0) - node.lineno + 1 for place, node in functions()}
    assert {place: n for place, n in lengths.items() if n > 60} == {}


def test_few_functions_have_more_than_six_parameters() -> None:
    """What a Python user calls with keywords, as a shell user with options; and nouns that hold that much."""
    assert len([place for place, node in functions() if n_parameters(node) > 6]) < 10


def test_the_count_sees_all_kinds_of_parameters() -> None:
    (node,) = ast.parse("def f(self, a, /, b, *c, d=1, **e): ...").body
    assert isinstance(node, ast.FunctionDef) and n_parameters(node) == 5
