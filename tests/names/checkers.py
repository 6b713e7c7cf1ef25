"""The four type checkers, as an app's owner starts them, and the environments that they look at."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import base44_web

SETTINGS = """
[project]
name = "shop"
version = "1"
[tool.mypy]
strict = true
[tool.pyright]
typeCheckingMode = "strict"
reportUnusedExpression = false
"""
Found = set[tuple[str, int]]
"""The errors: a file's name and a line each."""


def make_environment(folder: Path) -> Path:
    """A virtual environment that has our two packages as they are installed here; all else it shares with this one.

    Returns:
        Its Python.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    packages = packages_of(folder)
    source = Path(base44_web.__file__).parent.parent
    for name in ("base44_web", "base44_web_types"):
        shutil.copytree(source / name, packages / name, ignore=shutil.ignore_patterns("__pycache__"))
    for other in Path(sysconfig.get_path("purelib")).iterdir():
        if not other.name.startswith("base44_web") and other.suffix != ".pth":
            (packages / other.name).symlink_to(other)
    return folder / "bin" / "python"


def packages_of(environment: Path) -> Path:
    (found,) = (environment / "lib").glob("python*/site-packages")
    return found


@dataclass(frozen=True)
class Started:
    """How a checker is started.

    Attributes:
        folder: where.
        python: the environment's Python.
        path: the file or folder that is checked, relative to the folder.
    """

    folder: Path
    python: Path
    path: str = "."

    def run(self, *command: str) -> str:
        program = [sys.executable, "-m", *command] if command[0] in ("mypy", "pyright") else list(command)
        if command[0] in ("ty", "pyrefly"):
            program[0] = str(Path(sys.executable).parent / command[0])
        # ty looks there, too.
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run(
            program, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        return done.stdout


def _plain(output: str) -> Found:
    return {(Path(file).name, int(line)) for file, line in re.findall(r"^(\S+?):(\d+)(?::\d+)?: error", output, re.M)}


def mypy(started: Started) -> Found:
    cache = f"--cache-dir={started.python.parent.parent / 'mypy'}"
    return _plain(started.run("mypy", f"--python-executable={started.python}", cache, started.path))


def pyright(started: Started) -> Found:
    output = started.run("pyright", "--outputjson", f"--pythonpath={started.python}", started.path)
    found: list[Any] = json.loads(output)["generalDiagnostics"]
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in found if each["severity"] == "error"
    }


def ty(started: Started) -> Found:
    return _plain(started.run("ty", "check", f"--python={started.python}", "--output-format=concise", started.path))


def pyrefly(started: Started) -> Found:
    files = [started.path] if started.path.endswith(".py") else []  # else it is as its owners start it
    interpreter = f"--python-interpreter-path={started.python}"
    found: list[Any] = json.loads(started.run("pyrefly", "check", "--output-format=json", interpreter, *files))[
        "errors"
    ]
    return {(Path(each["path"]).name, each["line"]) for each in found if each["severity"] == "error"}


CHECKERS: list[Callable[[Started], Found]] = [mypy, pyright, ty, pyrefly]
