"""An `argparse` that tells who mistypes what is right.

`argparse` itself does so from Python 3.14 on (`suggest_on_error`), for commands, and not for options.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn

_CHOICE = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)")


class Parser(argparse.ArgumentParser):
    """A parser whose errors say what was meant; its subparsers are of the same class."""

    def error(self, message: str) -> NoReturn:
        """As `argparse`: the message, and exit status 2."""
        found = _CHOICE.search(message)
        words = found[2].replace("'", "").split(", ") if found else []
        super().error(message + (_meant(found[1], words) if found else ""))

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """End for what this parser knows nothing of."""
        first = unknown[0].partition("=")[0]
        known = re.findall(r"(?<![\w-])--[a-z][a-z-]*", self.format_help())
        self.error(f"unknown: {first}{_meant(first, known)}")


def _meant(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, 1)
    return f" - did you mean {close[0]}?" if close else ""
