"""What numbers of a configuration pass, and what is said of those that do not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from crystaltool.errors import UsageError
from crystaltool.ranges import require_ends, require_least, require_positive

NAN, INFINITE = float("nan"), float("inf")


def test_least_takes_the_bound_itself_and_names_the_first_that_is_below() -> None:
    require_least(SimpleNamespace(a=1, b=2.5), 1, "a", "b")
    with pytest.raises(UsageError, match=r"^b is 0, expected at least 1$"):
        require_least(SimpleNamespace(a=1, b=0, c=-1), 1, "a", "b", "c")


@pytest.mark.parametrize("value", [-1.0, NAN, INFINITE])
def test_least_and_positive_take_finite_numbers_alone(value: float) -> None:
    for require in (lambda given: require_least(given, 0, "a"), lambda given: require_positive(given, "a")):
        with pytest.raises(UsageError, match=r"^a is "):
            require(SimpleNamespace(a=value))


def test_zero_is_not_positive() -> None:
    require_positive(SimpleNamespace(a=1e-300), "a")
    with pytest.raises(UsageError, match=r"^a is 0\.0, expected a positive number$"):
        require_positive(SimpleNamespace(a=0.0), "a")


@pytest.mark.parametrize(
    "ends", [(), (1.0,), (1.0, 1.0), (2.0, 1.0), (0.0, 1.0), (1.0, INFINITE), (1.0, "2"), (1, 2, 3)]
)
def test_ends_are_two_numbers_in_rising_order_above_0(ends: tuple) -> None:
    require_ends(SimpleNamespace(a=(1, 2.5)), "a")
    with pytest.raises(UsageError, match=r"^a is .* expected the smallest and the largest, above 0$"):
        require_ends(SimpleNamespace(a=ends), "a")
