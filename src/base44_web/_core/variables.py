"""Environment variables that begin as our settings' do, and are none."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from typing import Final

logger = logging.getLogger("base44_web")

_PREFIX: Final = "BASE44_"
# Those of Base44's own command line tool and of what it runs (npm `base44` 0.1.18), which share our prefix; and what
# Flask's configuration has beside the settings.
OF_OTHERS: Final = frozenset(
    f"{_PREFIX}{name}"
    for name in (
        "ACCESS_TOKEN", "API_KEY", "API_URL", "APP_BASE_URL", "CLI_TEST_OVERRIDES", "DATA_ENV", "DEPLOYMENTS_API",
        "DISABLE_TELEMETRY", "PRIVILEGED", "REFRESH_TOKEN", "URL_PREFIX",
    )
)  # fmt: skip
_OTHERS_PREFIX: Final = f"{_PREFIX}PROJECTS_"
_ALIKE: Final = 0.75  # of 1; less alike is another word


def unread(names: Iterable[str], known: Collection[str]) -> Iterator[tuple[str, str | None]]:
    """The names that nobody reads, in order; each with the one that was probably meant.

    Args:
        names: of all variables.
        known: of our settings.
    """
    odd = [each for each in names if each.startswith(_PREFIX) and each not in known and each not in OF_OTHERS]
    if not odd:
        return
    from difflib import get_close_matches  # only where something is odd

    for name in sorted(odd):
        if not name.startswith(_OTHERS_PREFIX):
            # Without what all have in common, which would make any two of them alike.
            words = sorted(each.removeprefix(_PREFIX) for each in known)
            near = get_close_matches(name.removeprefix(_PREFIX), words, 1, _ALIKE)
            yield name, f"{_PREFIX}{near[0]}" if near else None


def warn_of_unread(found: Iterable[tuple[str, str | None]]) -> None:
    """Tell the operator of what `unread` found, where something was probably meant."""
    for name, near in found:
        if near is not None:
            logger.warning(
                "%s in the environment is no setting: did you mean %s?",
                name,
                near,
                extra={"base44_event": "mistyped_variable"},
            )
