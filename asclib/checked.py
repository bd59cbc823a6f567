"""What is checked at the door: values that would fail hours later, or be believed for ever.

Chapter: book/practice/training.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any, SupportsFloat, cast

SEED = 2**60  # the largest of a run; torch and numpy take any below 2**63
LISTED = 40  # characters: what is quoted of a value in an error


def whole_number(name: str, value: Any, least: int = 0, most: int | None = None) -> int:
    """The value as Python's own int, be it numpy's or a tensor's.

    Raises: ValueError naming it, for another kind of value (text, a fraction, True, None) and for a
    number that is too small or too large.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    limits = f"from {least} on" if most is None else f"from {least} to {most}"
    if number is None or is_truth(value):
        raise ValueError(f"{name} is {shown(value)}: give a whole number {limits}")
    if number < least or (most is not None and number > most):
        raise ValueError(f"{name} is {number}: give a whole number {limits}")
    return number


def number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> None:
    """Raises: ValueError naming a value that is no finite number from `least` to `most`."""
    try:
        if isinstance(value, (str, bytes)) or is_truth(value):
            raise TypeError
        found = float(cast(SupportsFloat, value))
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor of several numbers
        found = math.nan
    if not (math.isfinite(found) and least <= found <= most):
        raise ValueError(f"{name} is {shown(value)}: give a finite number{_span(least, most)}")


def one_of(name: str, value: Any, choices: Iterable[Any]) -> None:
    """Raises: ValueError naming a value that is none of the choices, and them."""
    choices = list(choices)
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        known = ", ".join(map(repr, choices))
        raise ValueError(f"{name} is {shown(value)}: choose one of {known}")


def kind(name: str, value: Any, kinds: type | tuple[type, ...], remedy: str) -> None:
    """Raises: ValueError naming a value that is of none of these types, with the remedy."""
    if not isinstance(value, kinds):
        raise ValueError(f"{name} is {shown(value)}: {remedy}")


def function(name: str, value: Any, remedy: str) -> None:
    """Raises: ValueError naming a value that is no function, nor like one, with the remedy.

    A class is none: called, it would make an object and not an answer.
    """
    if not _is_function(value):
        raise ValueError(f"{name} is {shown(value)}: {remedy}")


def functions(name: str, values: Any, remedy: str) -> tuple[Any, ...]:
    """The values as a tuple. Raises: ValueError unless it is a tuple or list of functions."""
    kind(name, values, (tuple, list), remedy)
    for value in values:
        if not _is_function(value):
            raise ValueError(f"{name} holds {shown(value)}: {remedy}")
    return tuple(values)


def is_truth(value: Any) -> bool:
    """Whether it is True or False, of Python, numpy or torch."""
    return isinstance(value, bool) or "bool" in str(getattr(value, "dtype", ""))


def shown(value: Any) -> str:
    """A value as an error quotes it."""
    text = repr(value)
    return text if len(text) <= LISTED else f"a {type(value).__name__} ({text[:LISTED]}...)"


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


def _span(least: float, most: float) -> str:
    if math.isinf(least) and math.isinf(most):
        return ""
    return f" from {least:g} on" if math.isinf(most) else f" from {least:g} to {most:g}"
