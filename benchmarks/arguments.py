"""Numbers on the command lines of benchmarks."""

import math
from argparse import ArgumentTypeError


def count(given: str) -> int:
    """A whole number from 1."""
    wanted = "give a whole number from 1"
    try:
        number = int(given)
    except ValueError:
        raise ArgumentTypeError(f"{given!r} is no whole number; {wanted}") from None
    if number < 1:
        raise ArgumentTypeError(f"{number} is too few; {wanted}")
    return number


def amount(given: str) -> float:
    """A number above 0."""
    wanted = "give a number above 0"
    try:
        number = float(given)
    except ValueError:
        raise ArgumentTypeError(f"{given!r} is no number; {wanted}") from None
    if not number > 0:
        raise ArgumentTypeError(f"{given} is too little; {wanted}")
    if math.isinf(number):
        raise ArgumentTypeError(f"{given} is too much; {wanted}")
    return number
