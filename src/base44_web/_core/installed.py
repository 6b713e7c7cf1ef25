"""What must be installed beside this package: said in one sentence, before anything of it is imported."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec


def need(package: str, least: tuple[int, int], *, extra: str) -> None:
    """Check that an adapter's framework is there, and new enough: what an old one does wrong is nobody's guess.

    Args:
        package: what is imported, and installed, under this name.
        least: the oldest version, without what comes after its second dot: that is for who installs to decide.
        extra: ours that brings it.

    Raises:
        ImportError: it is too old, or (`ModuleNotFoundError`) not there.
    """
    pip = f'pip install -U "base44-web[{extra}]"'
    if find_spec(package) is None:
        raise ModuleNotFoundError(f"base44_web.{extra} needs {package}, which is not installed: {pip}", name=package)
    try:
        found = version(package)
    except PackageNotFoundError:  # it was not installed but put here, and nothing says which it is
        return
    numbers = re.match(r"(?:\d+!)?(\d+)(?:\.(\d+))?", found)
    if numbers is not None and (int(numbers[1]), int(numbers[2] or 0)) < least:
        raise ImportError(
            f"base44_web.{extra} needs {package} {least[0]}.{least[1]} or newer, and {found} is installed: {pip}",
            name=package,
        )


def missing(error: ModuleNotFoundError, what: str, extra: str) -> ModuleNotFoundError:
    """The error to raise where a part of ours could not import what one of our extras brings."""
    if (error.name or "").partition(".")[0] == "base44_web":
        return error  # a mistake of ours
    return ModuleNotFoundError(
        f'{what} needs {error.name}, which is not installed: pip install "base44-web[{extra}]"', name=error.name
    )
