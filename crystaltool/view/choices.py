"""Fields that have one of a few texts: an expression may write these in any case, and others are refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches

from crystaltool.checks.verdict import is_verdict
from crystaltool.io.cif import PROPERTY_PREFIX
from crystaltool.view.fields import Field
from crystaltool.view.syntax import Comparison, ExpressionError, Literal, Name, Node, SetOf

VERDICTS = ("pass", "fail", "not_judged")
"""What `check --annotate` writes."""

NEAR = 0.8
"""Likeness (difflib) of a name that is suggested in place of another."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name that a slip of the pen was most likely meant for."""
    return next(iter(get_close_matches(name.lower(), known, 1, NEAR)), None)


def with_choices(node: Comparison, fields: Mapping[str, Field]) -> Comparison:
    """The comparison with its texts as the fields have them, `cubic` for `Cubic`.

    Raises:
        ExpressionError: a text that the field beside it never has.
    """
    left, right = node.left, node.right
    if node.sign in ("==", "!=", "in", "not in") and isinstance(left, Name):
        right = _chosen(left.name, right, fields)
    if node.sign in ("==", "!=") and isinstance(right, Name):
        left = _chosen(right.name, left, fields)
    return replace(node, left=left, right=right)


def _chosen(name: str, node: Node, fields: Mapping[str, Field]) -> Node:
    if isinstance(node, SetOf):
        return replace(node, items=tuple(_choice(name, item, fields) for item in node.items))
    return _choice(name, node, fields) if isinstance(node, Literal) else node


def _choice(name: str, item: Literal, fields: Mapping[str, Field]) -> Literal:
    key = name.removeprefix(PROPERTY_PREFIX)
    choices = fields[name].choices if name in fields else VERDICTS if is_verdict(key) else ()
    if not choices or not isinstance(item.value, str):
        return item
    if item.value.lower() in choices:
        return replace(item, value=item.value.lower())
    if name in fields or _is_of_a_check(key):
        raise ExpressionError(f"{name} is never {item.value!r}, only {', '.join(choices)}", item.column)
    return item


def _is_of_a_check(key: str) -> bool:
    """Whether a value is the verdict of a check of ours, and no column of a table that is called so."""
    from crystaltool.checks.registry import check_names
    from crystaltool.checks.verdict import OF_ALL_CHECKS, verdict_key

    return key == OF_ALL_CHECKS or key in map(verdict_key, check_names())
