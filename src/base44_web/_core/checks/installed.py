"""Whether the frameworks that are installed are those that this package is made for."""

from __future__ import annotations

from collections.abc import Iterator

from ..installed import OLDEST, dotted, found_version, release_of
from .finding import Finding


def check_versions() -> Iterator[Finding]:
    """A framework that is too old; one that is not installed is no matter."""
    for name, oldest in OLDEST.items():
        installed = found_version(name)
        if installed is not None and release_of(installed) < oldest:
            yield Finding(
                "W013",
                f"{name} {installed} is installed; base44_web is made for {dotted(oldest)} and newer.",
                f'pip install "{name}>={dotted(oldest)}"',
            )
