"""What importing costs, and what the core may know."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import base44_web
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
from {module} import *
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


def test_the_face_is_lazy_and_whole() -> None:
    """What is imported for type checkers is what is given at run time, and nothing is before it is asked for."""
    block = next(node for node in ast.parse(Path(base44_web.__file__).read_text()).body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert {f".{node.module}": tuple(name.name for name in node.names) for node in imports} == base44_web._PLACES
    assert sorted(base44_web.__all__) == sorted(base44_web._PLACE_OF)
    assert set(base44_web.__all__) <= set(dir(base44_web))
    for name, place in base44_web._PLACE_OF.items():
        assert getattr(base44_web, name) is getattr(import_module(place, "base44_web"), name)
    assert base44_web.errors.Base44Error is base44_web.Base44Error
    assert not hasattr(base44_web, "Base45")
    code = "import sys, base44_web; print([each for each in sys.modules if each.startswith('base44_web.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "[]\n"


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
