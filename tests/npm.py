"""npm packages that tests run: what is missing is installed, pinned by the project's own lock files."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def installed(project: Path, package: str) -> Path:
    """The folder of a package, after `npm ci` if need be; without npm the test is skipped, in CI it fails."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        message = f"{package} needs Node.js 20 or newer, with npm: install it, and run this again."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with _alone(project):
        _install(project, package)
    return project / "node_modules" / package


@contextmanager
def _alone(project: Path) -> Iterator[None]:
    """Only one worker at a time: two installations into one folder take each other's files away."""
    with (project / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(project: Path, package: str) -> None:
    pinned = json.loads((project / "package.json").read_text())["dependencies"][package]
    folder = project / "node_modules" / package
    manifest = folder / "package.json"
    if not manifest.exists() or json.loads(manifest.read_text())["version"] != pinned:
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
