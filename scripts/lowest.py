"""The oldest versions that pyproject.toml admits, as constraints for pip.

python scripts/lowest.py > lowest.txt
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

_REQUIREMENT = re.compile(r"([A-Za-z0-9-]+)(?:\[[^]]*\])?>=([0-9.]+)")


def main() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    lowest: dict[str, tuple[int, ...]] = {}
    for requirement in wanted:
        found = _REQUIREMENT.match(requirement)
        if found is None:  # our own extras
            continue
        version = tuple(int(part) for part in found[2].split("."))
        lowest[found[1]] = max(version, lowest.get(found[1], ()))
    for name, version in sorted(lowest.items()):
        print(f"{name}=={'.'.join(map(str, version))}")


if __name__ == "__main__":
    main()
