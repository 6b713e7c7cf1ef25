"""What importing costs, and what the core may know."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import PATIENCE

ROOT = Path(__file__).parent.parent.parent

PROBE = """
import socket, ssl, sys, threading
def refuse(*args, **kwargs): raise AssertionError("made at import")
class NoSocket(socket.socket):
    __init__ = refuse
class NoContext(ssl.SSLContext):
    def __new__(cls, *args, **kwargs): refuse()
socket.socket, ssl.SSLContext = NoSocket, NoContext
threading.Thread.start = refuse
import {module}
assert "base44_web_types" not in sys.modules  # for type checkers alone
loaded = {{name.partition(".")[0] for name in sys.modules}}
unwanted = loaded & set({unwanted!r})
assert not unwanted, unwanted
print("ok")
"""
FRAMEWORKS = ["starlette", "fastapi", "django", "flask", "quart", "litestar", "werkzeug", "asgiref"]


@pytest.mark.parametrize(
    ("module", "needs", "unwanted"),
    [
        ("base44_web", None, [*FRAMEWORKS, "httpx2", "httpx", "aiohttp", "jwt", "h11", "sqlite3", "opentelemetry"]),
        ("base44_web.starlette", "starlette", ["fastapi", "django", "flask", "quart", "litestar"]),
        ("base44_web.quart", "quart", ["starlette", "fastapi", "django", "litestar"]),
        ("base44_web.litestar", "litestar", ["fastapi", "django", "flask", "quart"]),  # it looks for Starlette itself
        ("base44_web.fastapi", "fastapi", ["django", "flask"]),
        ("base44_web.django", "django", ["starlette", "fastapi", "flask"]),
        ("base44_web.flask", "flask", ["starlette", "fastapi", "django"]),
        ("base44_web.testing", None, FRAMEWORKS),
        ("base44_web.cli", None, [*FRAMEWORKS, "uvicorn"]),
    ],
)
def test_importing_opens_nothing_and_loads_no_other_framework(
    module: str, needs: str | None, unwanted: list[str]
) -> None:
    if needs:
        pytest.importorskip(needs)
    code = PROBE.format(module=module, unwanted=unwanted)
    # What measures coverage imports more.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, env=environment
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_every_file_compiles_without_a_warning() -> None:
    """Deprecated syntax shows as files are compiled, once: what is imported may have been compiled before."""
    for folder in ("src", "tests", "examples", "scripts", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            if "node_modules" not in path.parts:
                compile(path.read_text(), str(path), "exec", dont_inherit=True)


def test_no_module_grows_without_end() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in (ROOT / "src").rglob("*.py")
        if (count := len(path.read_text().splitlines())) > 400
    }
    assert not long
