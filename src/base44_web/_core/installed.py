"""What must be installed beside this package: said in one sentence, before anything of it is imported."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final

# As our extras of the same names have them in pyproject.toml; `tests/core/test_mistakes.py` compares.
OLDEST: Final = {
    "starlette": (1, 0, 1), "fastapi": (0, 136), "django": (5, 2, 15), "flask": (3, 1, 3), "quart": (0, 20),
    "litestar": (2, 24),
}  # fmt: skip
"""The oldest version of each framework that is supported."""


def need(package: str) -> None:
    """Check that an adapter's framework is there, and new enough: what an old one does wrong is nobody's guess.

    What comes after the second dot is for who installs to decide.

    Args:
        package: what is imported, and installed, under this name; our extra that brings it has the same.

    Raises:
        ImportError: it is too old, or (`ModuleNotFoundError`) not there.
    """
    pip = f'pip install -U "base44-web[{package}]"'
    if find_spec(package) is None:
        raise ModuleNotFoundError(f"base44_web.{package} needs {package}, which is not installed: {pip}", name=package)
    found, least = found_version(package), OLDEST[package][:2]
    if found is not None and release_of(found)[:2] < least:
        raise ImportError(
            f"base44_web.{package} needs {package} {dotted(least)} or newer, and {found} is installed: {pip}",
            name=package,
        )


def found_version(package: str) -> str | None:
    """The version that is installed; `None` where there is none, or it was not installed but put here."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def release_of(version: str) -> tuple[int, ...]:
    """The numbers of a version (PEP 440), without its epoch and what comes after them."""
    found = re.match(r"(?:\d+!)?(\d+(?:\.\d+)*)", version)
    return () if found is None else tuple(int(number) for number in found[1].split("."))


def dotted(release: tuple[int, ...]) -> str:
    """A release as it is written."""
    return ".".join(map(str, release))


def missing(error: ModuleNotFoundError, what: str, extra: str) -> ModuleNotFoundError:
    """The error to raise where a part of ours could not import what one of our extras brings."""
    if (error.name or "").partition(".")[0] == "base44_web":
        return error  # a mistake of ours
    return ModuleNotFoundError(
        f'{what} needs {error.name}, which is not installed: pip install "base44-web[{extra}]"', name=error.name
    )
