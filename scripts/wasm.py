"""Run what needs no socket and no thread on CPython 3.14, which npm has as WebAssembly (Pyodide), in Node.js.

    python scripts/wasm.py --folder .tox/wasm/tmp                                all
    python scripts/wasm.py --folder .tox/wasm/tmp tests/core/test_settings.py    these

Our wheel and what it needs are installed by pip into a folder, for that system; Node.js and npm must be there.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# The platform tag of PyPI for this Pyodide (PEP 783): pydantic-core has such wheels.
PLATFORM = [
    "--platform",
    "pyemscripten_2026_0_wasm32",
    "--python-version",
    "3.14",
    "--implementation",
    "cp",
    "--abi",
    "cp314",
]
EXTRAS = "starlette,fastapi,django,testing"
# pip reads markers as on this machine: what httpx2 needs only there is named here.
BESIDES = ["httpx2-jsfetch", "pytest>=9,<9.2"]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True, help="where the wheel and the installed packages go")
    parser.add_argument("arguments", nargs="*", help="pytest's; without any, all that can run there does")
    arguments = parser.parse_args()
    folder, project = arguments.folder.resolve(), ROOT / "tests" / "wasm"
    shutil.rmtree(folder, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", folder / "wheel", ROOT], check=True, timeout=300)
    (wheel,) = (folder / "wheel").iterdir()
    where = ["--target", folder / "site", *PLATFORM, "--only-binary", ":all:"]
    what = [f"base44-web[{EXTRAS}] @ {wheel.as_uri()}", *BESIDES]
    subprocess.run([*pip, "install", "-q", *where, *what], check=True, timeout=600)
    npm = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(npm, cwd=project, check=True, timeout=300)
    node = ["node", str(project / "run.mjs"), str(folder / "site"), *arguments.arguments]
    return subprocess.run(node, timeout=1200).returncode


if __name__ == "__main__":
    sys.exit(main())
