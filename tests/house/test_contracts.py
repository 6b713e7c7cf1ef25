"""The import contracts catch what they are there for: each breach is put into a copy of the package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter")
ROOT = Path(__file__).parent.parent.parent

# What is put where, and the contract that it breaks.
BREACHES = {
    "a new core module that imports a framework": (
        "_core/newcomer.py", "import flask", "The core knows no framework"),
    "a new core module that is in no layer": ("_core/newcomer.py", "", "Imports only go down"),
    "a new module of the package that is in no layer": ("newcomer.py", "", "Imports only go down"),
    "a framework through an adapter": (
        "_core/views/pages.py", "from ...flask import request", "The core knows no framework"),
    "an adapter that imports another": (
        "django/views.py", "from ..flask import request as other", "Adapters do not know each other"),
    "a lower room that imports a higher one": (
        "_core/identity/keys.py", "from ..engine.context import Context", "Imports only go down"),
    "two rooms of one height": ("_core/replies/reply.py", "from ..platform.io import IO", "Imports only go down"),
    "asyncio outside of its few places": (
        "_core/views/handlers.py", "import asyncio", "The core waits through an IO: asyncio is known to few"),
    "what ASGI adapters share that imports one of their frameworks": (
        "_asgi/replies.py", "import starlette", "The core knows no framework"),
    "what ASGI adapters share that imports an adapter": (
        "_asgi/guards.py", "from ..starlette import request", "Imports only go down"),
    "Starlette's adapter that imports another framework": (
        "starlette/replies.py", "import django", "An adapter needs its own framework alone"),
    "Django's adapter that needs the REST framework": (
        "django/guards.py", "import rest_framework.views", "Django's adapter needs Django alone"),
    "Django's adapter that needs Ninja through ours": (
        "django/replies.py", "from .ninja import AppUserAuth", "Django's adapter needs Django alone"),
    "Ninja's module that needs the REST framework's": (
        "django/ninja.py", "from . import rest_framework", "What goes with Django does not need one another"),
    "Quart's adapter that imports another framework": (
        "quart/replies.py", "import flask", "Quart's adapter needs Quart alone"),
    "Litestar's adapter that imports another framework": (
        "litestar/replies.py", "import starlette", "Litestar's adapter needs Litestar alone"),
    "a bridge that knows an adapter": (
        "bridges/_requests.py", "from ..flask import request", "Imports only go down"),
    "a second module that knows OpenTelemetry": (
        "_core/engine/engine.py", "from opentelemetry import trace", "OpenTelemetry is known to one module"),
    "the emulator that knows a framework": ("testing/_server.py", "import starlette", "The core knows no framework"),
}  # fmt: skip


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    # As the command does it; its script is not on every PATH.
    code = "from importlinter.cli import lint_imports_command as command; command(['--no-cache'])"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def copied(folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(ROOT / "src" / "base44_web", folder / "base44_web", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_the_package_keeps_them(tmp_path: Path) -> None:
    done = lint(copied(tmp_path / "copy"))
    assert done.returncode == 0, done.stdout


def test_breaches_are_caught(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for number, (name, breach) in enumerate(BREACHES.items()):
        with subtests.test(name):
            is_caught(copied(tmp_path / str(number)), *breach)


def is_caught(copy: Path, module: str, line: str, contract: str) -> None:
    path = copy / "base44_web" / module
    text = path.read_text() if path.exists() else ""
    before, future, after = text.rpartition("from __future__ import annotations\n")
    path.write_text(f"{before}{future}{line}\n{after}")
    done = lint(copy)
    assert done.returncode == 1, done.stdout
    assert f"{contract} BROKEN" in done.stdout.replace("\n", " ") or (
        not line and "not explicitly listed" in done.stdout
    ), done.stdout
