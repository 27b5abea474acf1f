"""Filters: an expression is checked against the types of the fields once, then evaluated on record after record.

What is not known compares false, with every sign, also != and `not in`; arithmetic on it, and division by zero, are not
known either. `not` turns what it is given around, so `not (x > 1)` holds where x is not known; `has(x)` asks.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

from crystaltool.errors import InputError
from crystaltool.units import SYMBOLS
from crystaltool.view.choices import nearest, with_choices
from crystaltool.view.fields import ANY, FORMULA, NUMBER, SET, TEXT, Field
from crystaltool.view.syntax import (
    Arithmetic,
    Comparison,
    ExpressionError,
    Has,
    Joined,
    Literal,
    Name,
    Negative,
    Node,
    Not,
    SetOf,
    parse,
)
from crystaltool.view.values import Formula, Value, parse_formula

TRUTH = "truth"
"""The type of a comparison."""

PROPERTY_PREFIX = "_crystaltool_"

_ORDER = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
_A = {NUMBER: "a number", TEXT: "a text", SET: "a set", FORMULA: "a formula", TRUTH: "true or false", ANY: "a value"}


@runtime_checkable
class HasFields(Protocol):
    """What an expression is evaluated on."""

    def get(self, name: str) -> Value | None:
        """The value of a field, None where it is not known."""
        ...


Evaluate: TypeAlias = Callable[[HasFields], Any]


class Filter:
    """A compiled expression: call it on a record for True or False.

    Args:
        text: the expression.
        fields: those of the records, by name.
        open_names: whether records have fields besides (`_crystaltool_*` values), whose type is told by the value.

    Raises:
        ExpressionError: with the column of the fault.
    """

    def __init__(self, text: str, fields: Mapping[str, Field], open_names: bool = True) -> None:
        self._fields, self._open = fields, open_names
        self.names: dict[str, int] = {}
        kind, self._evaluate = self._compile(parse(text))
        if kind != TRUTH:
            raise ExpressionError(f"the expression is {_A[kind]}, expected a comparison", 1)

    def __call__(self, record: HasFields) -> bool:
        return self._evaluate(record)

    def _compile(self, node: Node) -> tuple[str, Evaluate]:
        """The type of a node, and the function that evaluates it."""
        if isinstance(node, Literal):
            value = node.value
            return TEXT if isinstance(value, str) else NUMBER, lambda record: value
        if isinstance(node, SetOf):
            items = frozenset(item.value for item in node.items)
            return SET, lambda record: items
        if isinstance(node, Name):
            kind, name = self._kind(node.name, node.column), node.name
            return kind, lambda record: record.get(name)
        if isinstance(node, Has):
            self._kind(node.name, node.column)
            name = node.name
            return TRUTH, lambda record: record.get(name) is not None
        if isinstance(node, Not):
            operand = self._truth(node.operand)
            return TRUTH, lambda record: not operand(record)
        if isinstance(node, Joined):
            operands = [self._truth(each) for each in node.operands]
            if node.word == "and":
                return TRUTH, lambda record: all(each(record) for each in operands)
            return TRUTH, lambda record: any(each(record) for each in operands)
        if isinstance(node, Negative):
            number = self._number(node.operand)
            return NUMBER, lambda record: None if (value := number(record)) is None else -value
        if isinstance(node, Arithmetic):
            return NUMBER, _arithmetic(node.sign, self._number(node.left), self._number(node.right))
        return TRUTH, self._comparison(with_choices(node, self._fields))

    def _kind(self, name: str, column: int) -> str:
        """The type of a field; notes that it is asked for.

        Raises:
            ExpressionError: there is none of that name.
        """
        self.names.setdefault(name, column)
        if name in self._fields:
            return self._fields[name].kind
        if self._open and name == name.lower():
            return ANY
        if name in SYMBOLS[1:]:
            raise ExpressionError(f"{name} is no field; an element is a text, {name!r}".replace("'", '"'), column)
        close = nearest(name, self._fields)
        hint = f", did you mean {close}?" if close else "; text stands in quotes"
        raise ExpressionError(f"no field {name}{hint}", column)

    def _truth(self, node: Node) -> Evaluate:
        kind, evaluate = self._compile(node)
        if kind != TRUTH:
            raise ExpressionError(f"{_A[kind]}, expected a comparison", node.column)
        return evaluate

    def _number(self, node: Node) -> Evaluate:
        kind, evaluate = self._compile(node)
        if kind not in (NUMBER, ANY):
            raise ExpressionError(f"{_A[kind]}, expected a number", node.column)
        return evaluate if kind == NUMBER else _checked(evaluate, NUMBER, node)

    def _comparison(self, node: Comparison) -> Evaluate:
        """The function of a comparison; its two sides must fit."""
        (left_kind, left), (right_kind, right) = self._compile(node.left), self._compile(node.right)
        if TRUTH in (left_kind, right_kind):
            raise ExpressionError("true or false cannot be compared, use and, or, not", node.column)
        if node.sign in ("in", "not in"):
            return self._membership(node, (left_kind, left), (right_kind, right))
        kinds = {left_kind, right_kind}
        if FORMULA in kinds:
            left = _as_formula(node.left, left_kind, left)
            right = _as_formula(node.right, right_kind, right)
            if node.sign not in ("==", "!="):
                raise ExpressionError(f"formulas are equal or not, they have no {node.sign}", node.column)
        elif SET in kinds:
            if kinds != {SET}:
                other = (kinds - {SET}).pop()
                raise ExpressionError(f"a set cannot be compared with {_A[other]}, use in", node.column)
            self._check_items(node.left, node.right)
        elif kinds == {NUMBER, TEXT}:
            raise ExpressionError("a number cannot be compared with a text", node.column)
        elif kinds == {ANY}:
            return _dynamic(node, left, right)
        elif ANY in kinds:
            wanted = (kinds - {ANY}).pop()
            left = _checked(left, wanted, node.left) if left_kind == ANY else left
            right = _checked(right, wanted, node.right) if right_kind == ANY else right
        return _ordered(_ORDER[node.sign], left, right)

    def _membership(self, node: Comparison, item: tuple[str, Evaluate], container: tuple[str, Evaluate]) -> Evaluate:
        """`in` a set, or a part of a text."""
        (item_kind, left), (kind, right) = item, container
        if item_kind == SET:
            raise ExpressionError("a set is no item of another, use <=", node.column)
        if kind == SET:
            if item_kind == FORMULA:
                left, right = _as_formula(node.left, item_kind, left), _formula_set(node.right)
            else:
                self._check_items(node.left, node.right)
        elif kind in (TEXT, ANY) and item_kind in (TEXT, ANY):
            left, right = _checked(left, TEXT, node.left), _checked(right, TEXT, node.right)
        else:
            element = isinstance(node.left, Literal) and node.left.value in SYMBOLS[1:] and "elements" in self._fields
            hint = f'; write "{node.left.value}" in elements' if element else ""
            raise ExpressionError(f"nothing is in {_A[kind]}, expected a set or a text{hint}", node.column)
        wanted = node.sign == "in"

        def evaluate(record: HasFields) -> bool:
            value = left(record)
            if value is None or (found := right(record)) is None:
                return False
            return (value in found) == wanted

        return evaluate

    def _check_items(self, *sides: Node) -> None:
        """Items that no set of the other side can have are a mistake: elements that do not exist, numbers, texts."""
        wanted = {side.name for side in sides if isinstance(side, Name)}
        items = [item for side in sides if isinstance(side, SetOf) for item in side.items]
        items += [side for side in sides if isinstance(side, Literal)]
        for name in wanted:
            kind = self._kind(name, 1)
            for item in items:
                is_text = isinstance(item.value, str)
                if kind in (SET, TEXT) and not is_text:
                    raise ExpressionError(f"{name} has texts, not the number {item.value:g}", item.column)
                if kind == NUMBER and is_text:
                    raise ExpressionError(f"{name} is a number, not the text {item.value!r}", item.column)
                if name == "elements" and item.value not in SYMBOLS[1:]:
                    raise ExpressionError(f"{item.value!r} is no element", item.column)


def _arithmetic(sign: str, left: Evaluate, right: Evaluate) -> Evaluate:
    function = _ARITHMETIC[sign]

    def evaluate(record: HasFields) -> float | int | None:
        one, other = left(record), right(record)
        if one is None or other is None:
            return None
        try:
            value = function(one, other)
        except (ZeroDivisionError, OverflowError):
            return None
        return value if math.isfinite(value) else None

    return evaluate


def _ordered(function: Callable, left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(record: HasFields) -> bool:
        one = left(record)
        if one is None:
            return False
        other = right(record)
        return other is not None and bool(function(one, other))

    return evaluate


def _checked(evaluate: Evaluate, wanted: str, node: Node) -> Evaluate:
    """The value where it is of the type that the expression takes it for.

    Raises (when evaluated):
        InputError: it is not.
    """
    name = node.name if isinstance(node, Name) else "the value"

    def checked(record: HasFields) -> Any:
        value = evaluate(record)
        if value is not None and isinstance(value, str) != (wanted == TEXT):
            found = "text" if isinstance(value, str) else "number"
            raise InputError(f"{name} is the {found} {value!r}, the expression takes it for {_A[wanted]}")
        return value

    return checked


def _dynamic(node: Comparison, left: Evaluate, right: Evaluate) -> Evaluate:
    """Two values of types that only the record tells."""
    function = _ORDER[node.sign]

    def evaluate(record: HasFields) -> bool:
        one, other = left(record), right(record)
        if one is None or other is None:
            return False
        if isinstance(one, str) != isinstance(other, str):
            raise InputError(f"{one!r} and {other!r} are compared, a number with a text")
        return bool(function(one, other))

    return evaluate


def _formula_of(item: Literal) -> Formula:
    if not isinstance(item.value, str):
        raise ExpressionError("a formula cannot be compared with a number", item.column)
    try:
        return parse_formula(item.value)
    except InputError as error:
        raise ExpressionError(str(error), item.column) from None


def _as_formula(node: Node, kind: str, evaluate: Evaluate) -> Evaluate:
    if kind == FORMULA:
        return evaluate
    if not isinstance(node, Literal):
        raise ExpressionError(f"a formula cannot be compared with {_A[kind]}, expected a text in quotes", node.column)
    formula = _formula_of(node)
    return lambda record: formula


def _formula_set(node: Node) -> Evaluate:
    if not isinstance(node, SetOf):
        raise ExpressionError("expected a set of formulas in braces", node.column)
    formulas = frozenset(_formula_of(item) for item in node.items)
    return lambda record: formulas
