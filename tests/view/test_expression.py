"""The language of filters against Python's own evaluation of the same tree, and what it refuses."""

from __future__ import annotations

from collections import Counter
from functools import reduce
from math import gcd

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystaltool.checks.kind import KINDS
from crystaltool.errors import InputError
from crystaltool.statistics.facts import FAIL, NOT_JUDGED, PASS
from crystaltool.units import SYMBOLS
from crystaltool.view.choices import VERDICTS
from crystaltool.view.expression import Filter
from crystaltool.view.fields import FIELDS, FORMULA, NUMBER, SET, TEXT, Field, Record
from crystaltool.view.syntax import ExpressionError
from crystaltool.view.values import Formula, parse_formula


class Fake:
    """A record of given values that counts what is asked."""

    def __init__(self, **values) -> None:
        self.values, self.asked = values, Counter()

    def get(self, name: str):
        self.asked[name] += 1
        return self.values.get(name)


def field(kind: str) -> Field:
    return Field(kind, "", lambda record: None)


SYSTEM = Field(TEXT, "", lambda record: None, ("cubic", "trigonal"))
TABLE = {
    "x": field(NUMBER),
    "system": SYSTEM,
    "y": field(NUMBER),
    "word": field(TEXT),
    "elements": field(SET),
    "formula": field(FORMULA),
}


def holds(text: str, **values) -> bool:
    return Filter(text, TABLE)(Fake(**values))


# ---- a tree as (text in the language, Python function of the values); None is missing

NUMBERS = st.one_of(st.integers(0, 9), st.sampled_from([0.5, 2.25, 1e3, 1.5e-3]))
WORDS = st.sampled_from(["Li", "Fe", "O", "cubic"])
SYMBOL_SETS = st.frozensets(st.sampled_from(["Li", "Fe", "O", "Na"]), max_size=3)


def arithmetic(sign, left, right):
    if left is None or right is None:
        return None
    if sign == "/":
        return left / right if right else None
    return {"+": left + right, "-": left - right, "*": left * right}[sign]


def compare(sign, left, right):
    if left is None or right is None:
        return False
    return {
        "==": lambda: left == right,
        "!=": lambda: left != right,
        "<": lambda: left < right,
        "<=": lambda: left <= right,
        ">": lambda: left > right,
        ">=": lambda: left >= right,
        "in": lambda: left in right,
        "not in": lambda: left not in right,
    }[sign]()


@st.composite
def sums(draw, depth=2):
    if depth == 0 or draw(st.booleans()):
        name = draw(st.sampled_from(["x", "y", None]))
        if name:
            return name, lambda v: v.get(name)
        value = draw(NUMBERS)
        return repr(value), lambda v: value
    if draw(st.integers(0, 4)) == 0:
        text, of = draw(sums(depth - 1))
        return f"-({text})", lambda v: None if of(v) is None else -of(v)
    (a, of_a), (b, of_b), sign = draw(sums(depth - 1)), draw(sums(depth - 1)), draw(st.sampled_from("+-*/"))
    return f"({a}) {sign} ({b})", lambda v: arithmetic(sign, of_a(v), of_b(v))


ORDER = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])


def braces(items) -> str:
    return "{" + ", ".join(items) + "}"


@st.composite
def comparisons(draw):
    kind = draw(st.sampled_from(["number", "word", "elements", "member", "number set", "has", "part"]))
    sign, member = draw(ORDER), draw(st.sampled_from(["in", "not in"]))
    word, items = draw(WORDS), draw(SYMBOL_SETS)
    if kind == "number":
        (a, of_a), (b, of_b) = draw(sums()), draw(sums())
        return f"{a} {sign} {b}", lambda v: compare(sign, of_a(v), of_b(v))
    if kind == "word":
        return f'word {sign} "{word}"', lambda v: compare(sign, v.get("word"), word)
    if kind == "elements":
        return f"elements {sign} {braces(items)}", lambda v: compare(sign, v.get("elements"), items)
    if kind == "member":
        symbol = draw(st.sampled_from(["Li", "Fe", "O", "Na"]))
        return f"'{symbol}' {member} elements", lambda v: compare(member, symbol, v.get("elements"))
    if kind == "number set":
        numbers = draw(st.frozensets(st.integers(-3, 9), max_size=3))
        return f"x {member} {braces(map(str, numbers))}", lambda v: compare(member, v.get("x"), numbers)
    if kind == "part":
        return f'"{word[0]}" {member} word', lambda v: compare(member, word[0], v.get("word"))
    name = draw(st.sampled_from(["x", "word", "elements"]))
    return f"has({name})", lambda v: v.get(name) is not None


@st.composite
def trees(draw, depth=3):
    if depth == 0 or draw(st.integers(0, 2)) == 0:
        return draw(comparisons())
    if draw(st.integers(0, 3)) == 0:
        text, of = draw(trees(depth - 1))
        return f"not ({text})", lambda v: not of(v)
    (a, of_a), (b, of_b) = draw(trees(depth - 1)), draw(trees(depth - 1))
    if draw(st.booleans()):
        return f"({a}) and ({b})", lambda v: of_a(v) and of_b(v)
    return f"({a})or({b})", lambda v: of_a(v) or of_b(v)


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "x": st.one_of(st.integers(-3, 9), st.floats(-10, 10)),
        "y": st.integers(-3, 9),
        "word": st.sampled_from(["Li", "cubic", "O2"]),
        "elements": SYMBOL_SETS,
    },
)


@settings(max_examples=400, deadline=None)
@given(trees(), VALUES)
def test_an_expression_means_what_python_makes_of_its_tree(tree, values) -> None:
    text, expected = tree
    assert holds(text, **values) == expected(values), text


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["x > 1", "y > 1", "x + y < 4", "not x == 2"]), min_size=2, max_size=6), st.data())
def test_without_brackets_and_binds_before_or_and_not_before_both(parts, data) -> None:
    joints = data.draw(st.lists(st.sampled_from(["and", "or"]), min_size=len(parts) - 1, max_size=len(parts) - 1))
    x, y = data.draw(st.integers(-3, 5)), data.draw(st.integers(-3, 5))
    text = parts[0] + "".join(f" {joint} {part}" for joint, part in zip(joints, parts[1:], strict=True))
    assert holds(text, x=x, y=y) == eval(text, {}, {"x": x, "y": y})  # the test's own grammar is Python's


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="xy01.,(){}<>=!+-*/ \"'andorti_Li%", max_size=30))
def test_any_text_is_an_expression_or_one_line_with_a_column(text) -> None:
    try:
        Filter(text, TABLE)
    except ExpressionError as error:
        assert str(error).startswith("expression, column ") and "\n" not in str(error)


COUNTS = st.dictionaries(st.sampled_from([1, 3, 6, 8, 15, 26]), st.integers(1, 30), min_size=1)


@settings(deadline=None)
@given(COUNTS, st.integers(1, 4), st.randoms())
def test_formulas_compare_by_ratio_in_any_order(counts, units, random) -> None:
    symbols = list(counts)
    random.shuffle(symbols)
    text = "".join(f"{SYMBOLS[z]}{counts[z] * units}" for z in symbols)
    assert holds(f'formula == "{text}"', formula=Formula(counts))
    assert holds(f"formula in {{NaCl, {text}}}", formula=Formula(counts))
    more = {**counts, symbols[0]: counts[symbols[0]] + 1}
    divisors = [reduce(gcd, each.values()) for each in (counts, more)]
    same = {z: n // divisors[0] for z, n in counts.items()} == {z: n // divisors[1] for z, n in more.items()}
    assert holds(f'formula == "{text}"', formula=Formula(more)) == same
    assert holds(f'formula != "{text}"', formula=Formula(more)) != same


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("LiFePO4", {3: 1, 26: 1, 15: 1, 8: 4}),
        ("Ca(OH)2", {20: 1, 8: 2, 1: 2}),
        ("Fe2(SO4)3", {26: 2, 16: 3, 8: 12}),
        ("K4[Fe(CN)6]", {19: 4, 26: 1, 6: 6, 7: 6}),
        ("Cl Na", {11: 1, 17: 1}),
        ("CO", {6: 1, 8: 1}),
        ("Co", {27: 1}),
    ],
)
def test_formulas_are_read_as_chemists_write_them(text, counts) -> None:
    assert parse_formula(text) == Formula(counts)


@pytest.mark.parametrize("text", ["", "Xx", "2H", "(OH", "OH)2", "H0", "NaCl0.5", "na", "()2"])
def test_what_is_no_formula_is_refused(text) -> None:
    with pytest.raises(InputError):
        parse_formula(text)


BAD = {
    "": "column 1: expected a field, number or text, found the end",
    "x >": "column 4: expected a field, number or text, found the end",
    "x = 1": "column 3: '=' is no comparison, write ==",
    "x": "column 1: the expression is a number, expected a comparison",
    "(x < 1": "column 7: expected ')' for the '(' of column 1, found the end",
    "x < 1 y": "column 7: expected and, or, or the end, found 'y'",
    'word == "a': 'column 9: the quote " is never closed',
    "x < 1 and y": "column 11: a number, expected a comparison",
    'x == "a"': "column 3: a number cannot be compared with a text",
    "Li in elements": 'column 1: Li is no field; an element is a text, "Li"',
    "elements <= {Li, Xx}": "column 18: 'Xx' is no element",
    'elements == "Li"': "column 10: a set cannot be compared with a text, use in",
    "x in {cubic}": "column 7: x is a number, not the text 'cubic'",
    "x in y": "column 3: nothing is in a number, expected a set or a text",
    'formula < "NaCl"': "column 9: formulas are equal or not, they have no <",
    'formula == "Xx2"': "column 12: 'Xx' is not an element",
    "formula == 3": "column 12: a formula cannot be compared with a number",
    "(x < 1) == (y < 1)": "column 9: true or false cannot be compared, use and, or, not",
    "has(3)": "column 5: expected a field, found '3'",
    "3Li > 1": "column 1: '3Li' is no number; text stands in quotes",
    "x ; y": "column 3: ';' has no meaning here",
    "__import__('os').system('true')": "column 17: '.' has no meaning here",
    "(" * 2000: "column 21: nested more than 20 deep",
    "not " * 2000 + "x < 1": "column 81: nested more than 20 deep",
    "x" + " + x" * 2000 + " < 1": "column 159: more than 40 terms",
    "Volume < 2": "column 1: no field Volume; text stands in quotes",
    '"Fe" in formula': 'column 6: nothing is in a formula, expected a set or a text; write "Fe" in elements',
    '"Xx" in formula': "column 6: nothing is in a formula, expected a set or a text",
    "x < 1 && y < 1": "column 7: '&&' has no meaning here, write and",
    "x < 1 | y < 1": "column 7: '|' has no meaning here, write or",
    "!(x < 1)": "column 1: '!' has no meaning here, write not",
    'system == "cubik"': "column 11: system is never 'cubik', only cubic, trigonal",
    "system not in {cubic, x}": "column 23: system is never 'x', only cubic, trigonal",
    'check_charge == "passed"': "column 17: check_charge is never 'passed', only pass, fail, not_judged",
    '"ok" == _crystaltool_check_all': "column 1: _crystaltool_check_all is never 'ok', only pass, fail, not_judged",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_expression_is_one_line_with_its_column(text) -> None:
    with pytest.raises(ExpressionError) as error:
        Filter(text, TABLE)
    assert str(error.value) == f"expression, {BAD[text]}"


def test_a_close_name_is_suggested() -> None:
    with pytest.raises(ExpressionError, match=r"no field Volume, did you mean volume\?"):
        Filter("Volume < 2", FIELDS)


def test_a_name_that_is_like_none_is_not_taken_for_another() -> None:
    with pytest.raises(ExpressionError, match="no field Nope; text stands in quotes"):
        Filter("Nope < 2", FIELDS)


@pytest.mark.parametrize(
    "text",
    [
        'system == "Cubic"',
        '"CUBIC" == system',
        "system in {Cubic, Trigonal}",
        "system not in {Trigonal}",
        'check_charge == "Pass"',
        '_crystaltool_check_all in {PASS, "FAIL"}',
    ],
)
def test_fields_of_few_texts_are_compared_without_regard_to_case(text) -> None:
    values = {"system": "cubic", "check_charge": "pass", "_crystaltool_check_all": "fail"}
    assert holds(text, **values) and not holds(text)
    others = {"system": "trigonal", "check_charge": "fail", "_crystaltool_check_all": "not_judged"}
    assert holds(text, **others) == (text == "system in {Cubic, Trigonal}")


def test_a_column_that_is_called_like_a_verdict_has_any_text() -> None:
    assert holds('check_status == "Ok"', check_status="Ok") and not holds('check_status == "ok"', check_status="Ok")


def test_texts_of_fields_are_those_that_they_have() -> None:
    class Declared(Record):
        space_group = None

        def __init__(self, number: int) -> None:
            self.space_group = number

    systems = {FIELDS["crystal_system"].of(Declared(number)) for number in range(1, 231)}
    assert set(FIELDS["crystal_system"].choices) == systems
    assert FIELDS["kind"].choices == KINDS
    assert set(VERDICTS) == {PASS, FAIL, NOT_JUDGED}


def test_a_value_of_the_wrong_type_is_an_error_of_its_record() -> None:
    assert holds("energy < 1", energy=0.5) and not holds("energy < 1") and holds('energy == "low"', energy="low")
    for text, value in (("energy < 1", "low"), ('energy == "low"', 0.5), ("energy * 2 < 1", "low")):
        with pytest.raises(InputError, match="energy is the"):
            holds(text, energy=value)


def test_only_what_decides_is_asked_for() -> None:
    record = Fake(x=5)
    assert not Filter('x < 1 and "Li" in elements and word == "a"', TABLE)(record)
    assert record.asked == {"x": 1}


def test_names_with_the_prefix_are_values() -> None:
    assert holds("_crystaltool_x > 1", _crystaltool_x=2)
    with pytest.raises(ExpressionError, match="no field z"):
        Filter("z > 1", TABLE, open_names=False)
