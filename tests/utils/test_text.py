"""Numbers and names as people read them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from utils.text import format_number, natural_key


def test_numbers_have_three_significant_digits() -> None:
    values = (0.012345, 0.5, 9.216, 123.4, 4567.8, 0.0, None)
    assert [format_number(value) for value in values] == ["0.0123", "0.500", "9.22", "123", "4568", "0.00", "–"]


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_natural_order_is_the_order_of_numbers(numbers: list[int]) -> None:
    names = sorted([f"{number}.png" for number in numbers], key=natural_key)
    assert names == [f"{number}.png" for number in sorted(numbers)]


@given(st.lists(st.text(max_size=8)))
def test_natural_key_orders_any_names(names: list[str]) -> None:
    ordered = sorted(names, key=natural_key)
    shuffled = [*ordered[1::2], *ordered[::2]]
    assert sorted(shuffled, key=natural_key) == ordered or len(set(names)) < len(names)
