"""Whether the frameworks that are installed are those that this package is made for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from typing import Final

from .finding import Finding

_FRAMEWORKS: Final = ("starlette", "fastapi", "django", "flask")
# "flask[async]>=3.1.3; extra == 'flask'": what the package's own metadata say, from pyproject.toml.
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*>=\s*([0-9.]+)")


def oldest_supported() -> dict[str, str]:
    """The oldest version of each framework that is supported, by name."""
    found = (_REQUIREMENT.match(line) for line in metadata.requires("base44-web") or ())
    return {match[1].lower(): match[2] for match in found if match and match[1].lower() in _FRAMEWORKS}


def check_versions() -> Iterator[Finding]:
    """A framework that is too old; one that is not installed is no matter."""
    try:
        oldest = oldest_supported()
    except metadata.PackageNotFoundError:  # run from a folder, not installed
        return
    for name, version in oldest.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if _numbers(installed) < _numbers(version):
            yield Finding(
                "W013",
                f"{name} {installed} is installed; base44_web is made for {version} and newer.",
                f'pip install "{name}>={version}"',
            )


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version (PEP 440); what comes after it does not count here."""
    return tuple(int(number) for number in re.findall(r"\d+", re.split(r"[^0-9.]", version)[0]))
