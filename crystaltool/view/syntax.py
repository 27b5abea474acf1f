"""The language of filters, from text to a tree; nothing in it is ever given to Python's own evaluation.

    expression  = conjunction { "or" conjunction }
    conjunction = negation { "and" negation }
    negation    = "not" negation | comparison
    comparison  = sum { ( "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not" "in" ) sum }
    sum         = product { ( "+" | "-" ) product }
    product     = unary { ( "*" | "/" ) unary }
    unary       = "-" unary | operand
    operand     = NUMBER | TEXT | FIELD | "has" "(" FIELD ")" | "(" expression ")" | "{" [ item { "," item } ] "}"
    item        = NUMBER | "-" NUMBER | TEXT | WORD

`a < b < c` means `a < b and b < c`. Every node knows the column at which it begins, for messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from crystaltool.errors import UsageError

MAX_DEPTH = 20
MAX_TERMS = 40
"""Brackets, `not` and signs within each other, and terms of one sum or product: Python's stack is not endless."""

COMPARISONS = ("==", "!=", "<=", ">=", "<", ">", "in", "not in")
WORDS = {"&": "and", "|": "or", "!": "not", "~": "not"}
"""What other languages have signs for."""

KEYWORDS = ("and", "or", "not", "in", "has")

_TOKEN = re.compile(
    r"""(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![A-Za-z_0-9])
      | (?P<text>"[^"]*"|'[^']*')
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>==|!=|<=|>=|[<>(){},+\-*/])""",
    re.VERBOSE,
)


class ExpressionError(UsageError):
    """An expression that cannot be read or makes no sense; the message names the column, from 1."""

    def __init__(self, text: str, column: int) -> None:
        super().__init__(f"expression, column {column}: {text}")


class Token(NamedTuple):
    """A piece of the text: kind "number", "text", "word", "sign" or "end", and its column from 1."""

    kind: str
    text: str
    column: int

    @property
    def shown(self) -> str:
        """For messages."""
        return "the end" if self.kind == "end" else self.text if self.kind == "text" else f"'{self.text}'"


@dataclass(frozen=True)
class Literal:
    """A number or a text."""

    value: float | int | str
    column: int


@dataclass(frozen=True)
class Name:
    """A field."""

    name: str
    column: int


@dataclass(frozen=True)
class SetOf:
    """A set of numbers and texts, as they stand."""

    items: tuple[Literal, ...]
    column: int


@dataclass(frozen=True)
class Has:
    """Whether a field is known."""

    name: str
    column: int


@dataclass(frozen=True)
class Negative:
    """Minus a number."""

    operand: Node
    column: int


@dataclass(frozen=True)
class Arithmetic:
    """`left sign right` with + - * /."""

    sign: str
    left: Node
    right: Node
    column: int


@dataclass(frozen=True)
class Comparison:
    """`left sign right`, sign of `COMPARISONS`."""

    sign: str
    left: Node
    right: Node
    column: int


@dataclass(frozen=True)
class Not:
    """The opposite."""

    operand: Node
    column: int


@dataclass(frozen=True)
class Joined:
    """All ("and") or one ("or") of several."""

    word: str
    operands: tuple[Node, ...]
    column: int


Node: TypeAlias = Literal | Name | SetOf | Has | Negative | Arithmetic | Comparison | Not | Joined


def tokenize(text: str) -> list[Token]:
    """The pieces of a text, the end last.

    Raises:
        ExpressionError: at the first character that begins none.
    """
    found, position = [], 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        match = _TOKEN.match(text, position)
        if match is None:
            raise ExpressionError(_unreadable(text, position), position + 1)
        found.append(Token(match.lastgroup or "", match[0], position + 1))
        position = match.end()
    return [*found, Token("end", "", len(text) + 1)]


def _unreadable(text: str, position: int) -> str:
    character = text[position]
    if character in "\"'":
        return f"the quote {character} is never closed"
    if character == "=":
        return "'=' is no comparison, write =="
    if character in WORDS:
        sign = character * 2 if text.startswith(character * 2, position) else character
        return f"'{sign}' has no meaning here, write {WORDS[character]}"
    if character.isdigit():
        word = re.match(r"\S+", text[position:])
        return f"{word[0] if word else character!r} is no number; text stands in quotes"
    return f"{character!r} has no meaning here"


def parse(text: str) -> Node:
    """The tree of an expression.

    Raises:
        ExpressionError: it is none.
    """
    parser = _Parser(tokenize(text))
    node = parser.expression()
    parser.expect_end()
    return node


class _Parser:
    """Recursive descent; one method a rule of the grammar."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._index = 0
        self._depth = 0

    @property
    def _now(self) -> Token:
        return self._tokens[self._index]

    def _take(self) -> Token:
        token = self._now
        self._index += 1
        return token

    def _at(self, *words: str) -> bool:
        return self._now.kind in ("word", "sign") and self._now.text in words

    def _expect(self, sign: str, what: str) -> None:
        if not self._at(sign):
            raise ExpressionError(f"expected {what}, found {self._now.shown}", self._now.column)
        self._take()

    def expect_end(self) -> None:
        """Nothing may follow."""
        if self._now.kind != "end":
            raise ExpressionError(f"expected and, or, or the end, found {self._now.shown}", self._now.column)

    def _deeper(self, token: Token) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"nested more than {MAX_DEPTH} deep", token.column)

    def expression(self) -> Node:
        return self._joined("or", lambda: self._joined("and", self._negation))

    def _joined(self, word: str, part) -> Node:
        column = self._now.column
        operands = [part()]
        while self._at(word):
            self._take()
            operands.append(part())
        return operands[0] if len(operands) == 1 else Joined(word, tuple(operands), column)

    def _negation(self) -> Node:
        if not self._at("not"):
            return self._comparison()
        token = self._take()
        self._deeper(token)
        node = Not(self._negation(), token.column)
        self._depth -= 1
        return node

    def _comparison(self) -> Node:
        start = self._now.column
        left = self._sum()
        found: list[Node] = []
        while sign := self._sign_of_comparison():
            token = self._tokens[self._index - 1]
            right = self._sum()
            found.append(Comparison(sign, left, right, token.column))
            left = right
        if not found:
            return left
        return found[0] if len(found) == 1 else Joined("and", tuple(found), start)

    def _sign_of_comparison(self) -> str:
        if self._at("not") and self._tokens[self._index + 1].text == "in":
            self._index += 2
            return "not in"
        return self._take().text if self._at(*COMPARISONS) else ""

    def _sum(self) -> Node:
        return self._arithmetic(("+", "-"), lambda: self._arithmetic(("*", "/"), self._unary))

    def _arithmetic(self, signs: tuple[str, ...], part) -> Node:
        left = part()
        n_terms = 1
        while self._at(*signs):
            token = self._take()
            n_terms += 1
            if n_terms > MAX_TERMS:
                raise ExpressionError(f"more than {MAX_TERMS} terms", token.column)
            left = Arithmetic(token.text, left, part(), token.column)
        return left

    def _unary(self) -> Node:
        if not self._at("-"):
            return self._operand()
        token = self._take()
        self._deeper(token)
        node = Negative(self._unary(), token.column)
        self._depth -= 1
        return node

    def _operand(self) -> Node:
        token = self._take() if self._now.kind != "end" else self._now
        if token.kind in ("number", "text"):
            return _literal(token)
        if token.text == "has" and self._at("("):
            self._take()
            name = self._take() if self._now.kind == "word" else self._now
            if name.kind != "word" or name.text in KEYWORDS:
                raise ExpressionError(f"expected a field, found {name.shown}", name.column)
            self._expect(")", "')' after the field")
            return Has(name.text, name.column)
        if token.kind == "word" and token.text not in KEYWORDS:
            return Name(token.text, token.column)
        if token.kind == "sign" and token.text == "(":
            self._deeper(token)
            node = self.expression()
            self._expect(")", f"')' for the '(' of column {token.column}")
            self._depth -= 1
            return node
        if token.kind == "sign" and token.text == "{":
            return self._set(token)
        raise ExpressionError(f"expected a field, number or text, found {token.shown}", token.column)

    def _set(self, start: Token) -> SetOf:
        items: list[Literal] = []
        while not self._at("}"):
            if items:
                self._expect(",", f"',' or '}}' in the set of column {start.column}")
            minus = self._at("-")
            token = self._tokens[self._index + minus]
            if token.kind not in (("number",) if minus else ("number", "text", "word")):
                raise ExpressionError(f"expected an item of a set, found {token.shown}", token.column)
            self._index += 1 + minus
            value = _literal(token).value if token.kind != "word" else token.text
            items.append(Literal(-value if minus and not isinstance(value, str) else value, token.column))
        self._take()
        return SetOf(tuple(items), start.column)


def _literal(token: Token) -> Literal:
    if token.kind == "text":
        return Literal(token.text[1:-1], token.column)
    return Literal(int(token.text) if token.text.isdecimal() else float(token.text), token.column)
