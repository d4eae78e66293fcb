"""What a number on the command line may be: types for argparse, which names the option and exits with 2."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def share(text: str) -> float:
    """A number above 0 and below 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number above 0 and below 1")
    return value


def at_least(least: int) -> Callable[[str], int]:
    """A whole number from `least` on."""

    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of at least {least}")
        return value

    return whole


def numbers(text: str) -> int | list[int]:
    """A whole number from 0 on, or several with commas between."""
    found = [at_least(0)(one.strip()) for one in text.split(",")]
    return found if len(found) > 1 else found[0]
