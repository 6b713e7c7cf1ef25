"""The oldest versions that pyproject.toml admits, as constraints for pip.

python scripts/lowest.py               prints them
python scripts/lowest.py ARGUMENT…     `pip install` with them: tox's install_command for `lowest`
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?>=([0-9.]+)")


def constraints() -> str:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    lowest: dict[str, tuple[int, ...]] = {}
    for requirement in wanted:
        if requirement.startswith(f"{project['name']}["):  # our own extras
            continue
        found = _REQUIREMENT.match(requirement)
        if found is None:
            raise SystemExit(f"{requirement!r} in pyproject.toml names no oldest version: NAME>=VERSION first")
        version = tuple(int(part) for part in found[2].split("."))
        lowest[found[1]] = max(version, lowest.get(found[1], ()))
    return "".join(f"{name}=={'.'.join(map(str, version))}\n" for name, version in sorted(lowest.items()))


def main() -> int:
    if not sys.argv[1:]:
        print(constraints(), end="")
        return 0
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(constraints())
        file.flush()
        return subprocess.run([sys.executable, "-m", "pip", "install", "-c", file.name, *sys.argv[1:]]).returncode


if __name__ == "__main__":
    sys.exit(main())
