"""mypy, pyright, ty and pyrefly over what users write: nothing right is refused, and everything that is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def run(*command: str) -> str:
    words = [sys.executable, "-m", *command] if command[0] in ("mypy", "pyright") else list(command)
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    return done.stdout


def beside(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def mypy(file: str) -> set[int]:
    return {int(line) for line in re.findall(rf"{file}:(\d+): error", run("mypy", f"tests/typing/{file}"))}


def pyright(file: str) -> set[int]:
    text = run("pyright", "--outputjson", "--pythonpath", sys.executable, f"tests/typing/{file}")
    found = json.loads(text)["generalDiagnostics"]
    return {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"}


def ty(file: str) -> set[int]:
    text = run(beside("ty"), "check", "--python", sys.executable, "--output-format", "concise", f"tests/typing/{file}")
    return {int(line) for line in re.findall(rf"{file}:(\d+):\d+: error", text)}


def pyrefly(file: str) -> set[int]:
    text = run(beside("pyrefly"), "check", "--output-format", "json", f"tests/typing/{file}")
    return {each["line"] for each in json.loads(text)["errors"] if each["severity"] == "error"}


@pytest.mark.parametrize("checker", [mypy, pyright, ty, pyrefly], ids=lambda each: each.__name__)
def test_what_users_write(checker: Callable[[str], set[int]]) -> None:
    pytest.importorskip("mypy")
    lines = (HERE / "wrong.py").read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert checker("checks.py") == set()
    assert checker("wrong.py") == wrong
