"""Whether type checkers see the generated file: each that is installed is asked, by a file that is wrong on purpose.

A checker that does not see it says nothing, and everything looks right: pyright started in a parent folder, mypy over
two apps at once, a `base44_web_types.py` in a folder that is no import root.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PATIENCE: Final = 120.0  # seconds for one checker; a first run reads all that the app imports

_CANARY: Final = '''\
"""Made and taken away by `base44-web types`."""
from typing import Literal
from base44_web._core.names import GENERATED
generated: Literal[True] = GENERATED
anything: None = GENERATED
'''
_NOT_SEEN, _CHECKED = 4, 5  # lines of it


@dataclass(frozen=True)
class Sighting:
    """What one checker saw.

    Attributes:
        checker: its name.
        ok: whether it sees the generated file.
        words: what to tell, for a person.
    """

    checker: str
    ok: bool
    words: str


def look(generated: Path, root: Path) -> list[Sighting]:
    """Ask each checker that is installed, with the project's own settings.

    Args:
        generated: the file that they are to see.
        root: the folder where the app's owner starts them.
    """
    found = [(name, program) for name in _CHECKERS if (program := shutil.which(name, path=_path())) is not None]
    if not found:
        return []
    # Beside the generated file: elsewhere other settings would count.
    handle, name = tempfile.mkstemp(prefix="base44_web_canary_", suffix=".py", dir=generated.parent)
    canary = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(_CANARY)
        return [_ask(checker, program, canary, root) for checker, program in found]
    finally:
        canary.unlink()


def _ask(checker: str, program: str, canary: Path, root: Path) -> Sighting:
    options, read = _CHECKERS[checker]
    command = [program, *options, os.path.relpath(canary, root)]
    try:
        lines, output = _lines(command, read, root)
        if checker == "pyrefly" and lines == {_NOT_SEEN, _CHECKED} and (root / "pyproject.toml").is_file():
            # Given a file's name, and an environment that is outside of the project, it does not look in the project.
            config = "-c pyproject.toml"
            lines, output = _lines([*command, *config.split()], read, root)
            if lines == {_CHECKED}:
                return Sighting(checker, ok=True, words=f"sees it; if you give it the names of files, add {config}")
    except (OSError, ValueError, KeyError, TypeError, subprocess.TimeoutExpired):
        return Sighting(checker, ok=False, words="could not be asked")
    if lines == {_CHECKED}:
        return Sighting(checker, ok=True, words="sees it")
    if lines == {_NOT_SEEN, _CHECKED}:
        return Sighting(checker, ok=False, words=f"does not see it, started in {root}: see docs/typing.md")
    if not lines:
        return Sighting(
            checker, ok=False, words="checks nothing here: is base44_web in the environment that it looks at?"
        )
    return Sighting(checker, ok=False, words=f"cannot read base44_web: {_first_error(output)}")


def _lines(command: list[str], read: Callable[[str], set[int]], root: Path) -> tuple[set[int], str]:
    environment = {**os.environ, "PATH": _path()}
    if sys.prefix != sys.base_prefix:
        environment["VIRTUAL_ENV"] = sys.prefix
    done = subprocess.run(  # noqa: S603 - a program of the environment, no input of others
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return read(done.stdout), done.stdout


def _first_error(output: str) -> str:
    return next((line.strip() for line in output.splitlines() if "error" in line), "it says nothing")


def _path() -> str:
    """Where programs are looked for, as if this environment was activated."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _plain(output: str) -> set[int]:
    return {int(line) for line in re.findall(r"base44_web_canary_\w+\.py:(\d+)(?::\d+)?: error", output)}


def _pyright(output: str) -> set[int]:
    found: list[Any] = json.loads(output)["generalDiagnostics"]
    return {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"}


def _pyrefly(output: str) -> set[int]:
    found: list[Any] = json.loads(output)["errors"]
    return {each["line"] for each in found if each["severity"] == "error"}


_CHECKERS: Final[dict[str, tuple[list[str], Callable[[str], set[int]]]]] = {
    "mypy": (["--no-pretty", "--hide-error-context", "--no-error-summary"], _plain),
    "pyright": (["--outputjson"], _pyright),
    "ty": (["check", "--output-format", "concise"], _plain),
    "pyrefly": (["check", "--output-format", "json"], _pyrefly),
}
