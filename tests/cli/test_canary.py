"""What `base44-web types` says of type checkers: programs that answer as they do. The real ones: `tests/names`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from base44_web.cli import canary

SEEN, UNSEEN, SILENT, BROKEN = {5}, {4, 5}, set[int](), {3}


def plain(lines: set[int]) -> str:
    return "".join(f'for file; do :; done; echo "$file:{line}: error: no [x]"\n' for line in sorted(lines))


def pyright(lines: set[int]) -> str:
    found = [{"severity": "error", "range": {"start": {"line": line - 1}}} for line in sorted(lines)]
    return f"echo '{json.dumps({'generalDiagnostics': [*found, {'severity': 'warning'}]})}'\n"


def pyrefly(lines: set[int]) -> str:
    return f"echo '{json.dumps({'errors': [{'severity': 'error', 'line': line} for line in sorted(lines)]})}'\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Puts a program into the environment, which has nothing else."""
    folder = tmp_path / "environment/bin"
    folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/nowhere")

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}")
        (folder / name).chmod(0o755)

    return put


def look(tmp_path: Path) -> dict[str, tuple[bool, str]]:
    generated = tmp_path / "app/src/base44_web_types.py"
    generated.parent.mkdir(parents=True, exist_ok=True)
    found = canary.look(generated, tmp_path / "app")
    assert not list(tmp_path.rglob("*canary*"))
    return {each.checker: (each.ok, each.words) for each in found}


def test_what_is_told(install: Callable[[str, str], None], tmp_path: Path, subtests: pytest.Subtests) -> None:
    assert look(tmp_path) == {}
    for lines, ok, words in (
        (SEEN, True, "sees it"),
        (UNSEEN, False, "does not see it, started in"),
        (SILENT, False, "checks nothing here"),
        (BROKEN, False, "cannot read base44_web"),
    ):
        for name, answer in (("mypy", plain), ("ty", plain), ("pyright", pyright), ("pyrefly", pyrefly)):
            install(name, answer(lines))
        for name, (is_ok, told) in look(tmp_path).items():
            with subtests.test(words, checker=name):
                assert (is_ok, told[: len(words)]) == (ok, words)
    install("mypy", plain(BROKEN))
    assert ".py:3: error: no [x]" in look(tmp_path)["mypy"][1]


def test_pyrefly_that_needs_its_settings_named(install: Callable[[str, str], None], tmp_path: Path) -> None:
    install("pyrefly", f'case "$*" in *"-c pyproject.toml") {pyrefly(SEEN)};; *) {pyrefly(UNSEEN)};; esac\n')
    assert not look(tmp_path)["pyrefly"][0]
    (tmp_path / "app/pyproject.toml").touch()
    assert look(tmp_path)["pyrefly"] == (True, "sees it; if you give it the names of files, add -c pyproject.toml")


def test_where_it_is_started(install: Callable[[str, str], None], tmp_path: Path) -> None:
    """As its owner does: in the app's folder, in the activated environment; the file is beside the generated one."""
    install(
        "mypy", 'for file; do :; done; echo "$PWD $file $PATH" > "$0.seen"; test -s "$file" && echo there >> "$0.seen"'
    )
    look(tmp_path)
    seen = (tmp_path / "environment/bin/mypy.seen").read_text()
    assert seen.startswith(f"{tmp_path / 'app'} src/base44_web_canary_")
    assert f".py {tmp_path / 'environment/bin'}:/nowhere" in seen
    assert seen.endswith("there\n")


FAILURES = ("echo nonsense", "echo '[]'", "echo '{}'", "exit 2", "kill -9 $$", "exec /bin/sleep 60")


def test_a_checker_that_fails(
    install: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    for script in FAILURES:
        with subtests.test(script):
            monkeypatch.setattr(canary, "PATIENCE", 1.0 if "sleep" in script else 30.0)
            install("pyright", script)
            assert look(tmp_path) == {"pyright": (False, "could not be asked")}


def test_a_program_that_cannot_run(install: Callable[[str, str], None], tmp_path: Path) -> None:
    install("ty", "")
    (tmp_path / "environment/bin/ty").write_text("#!/no/such/interpreter\n")
    assert look(tmp_path) == {"ty": (False, "could not be asked")}
