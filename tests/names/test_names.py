"""Names of connectors, seen by mypy (strict), pyright (strict), ty and pyrefly: what `tox run -e typing` runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from base44_web.cli.canary import look
from base44_web.cli.generate import Known, render

from .checkers import CHECKERS, SETTINGS, Found, Started, make_environment, mypy, packages_of, pyrefly, pyright

for each in ("mypy", "pyright", "pyrefly"):
    pytest.importorskip(each)

USES = Path(__file__).parent / "uses.py"
KNOWN = Known(["slack", "snowflake"], ["calendar"], {"snowflake": {"subdomain": True, "warehouse": False}})


def expected(*marks: str) -> Found:
    lines = USES.read_text().splitlines()
    return {("uses.py", number) for number, line in enumerate(lines, 1) if line.partition("  # ")[2] in marks}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """An environment that is not in the project's folder."""
    return make_environment(tmp_path / "environment")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(SETTINGS)
    return folder


def put(project: Path, layout: str) -> Path:
    """The app's code, in one of the usual layouts; where the generated file belongs."""
    root = project if layout == "flat" else project / "src"
    package = root / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(USES, package)
    return root / "base44_web_types.py"


@pytest.mark.parametrize("layout", ["flat", "src"])
@pytest.mark.parametrize("place", ["inside", "outside"])
def test_each_wrong_line_and_no_other(
    layout: str, place: str, project: Path, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    generated = put(project, layout)
    environment = project / ".venv" if place == "inside" else tmp_path / "environment"
    started = Started(project, make_environment(environment), "." if layout == "flat" else "src")
    always = expected("always wrong")
    assert len(always) > 3
    for checker in CHECKERS:
        with subtests.test("without the generated file", checker=checker.__name__):
            assert checker(started) == always
    generated.write_text(render(KNOWN))
    wrong = always | expected("wrong")
    assert len(wrong) > 25
    for checker in CHECKERS:
        with subtests.test("with the generated file", checker=checker.__name__):
            assert checker(started) == wrong


@pytest.mark.parametrize(
    "known",
    [
        Known([]),
        Known(["slack"]),
        Known([], [], {"a-b": {"x": True}, "a_b": {"x.y": False}, "3d": {"class": True}}),
        Known(["slack", "x"], ["a", "b"], {"x": {"key": True}}, is_open=True),
        Known([f"type_{number}" for number in range(200)], [f"name-{number}" for number in range(50)]),
    ],
    ids=["nothing", "one", "odd names", "open", "many"],
)
def test_the_generated_file_itself(known: Known, project: Path, outside: Path, subtests: pytest.Subtests) -> None:
    text = render(known)
    (project / "base44_web_types.py").write_text(text)
    for checker in CHECKERS:
        with subtests.test(checker=checker.__name__):
            assert checker(Started(project, outside)) == set()
    for length in (79, 88, 120):
        with subtests.test("formatted", length=length):
            command = ["ruff", "format", "--isolated", "--diff", f"--line-length={length}", "-"]
            plain = text.replace("# fmt: off\n", "")
            assert subprocess.run(command, input=plain, capture_output=True, text=True, check=False).stdout == ""
    with subtests.test("as it is, in any style"):
        command = ["ruff", "format", "--isolated", "--config=format.quote-style='single'", "--diff", "-"]
        assert subprocess.run(command, input=text, capture_output=True, text=True, check=False).stdout == ""
    with subtests.test("no lint"):
        command = ["ruff", "check", "--isolated", "--select=ALL", "-"]
        assert subprocess.run(command, input=text, capture_output=True, text=True, check=False).returncode == 0


def test_open_names(project: Path, outside: Path, subtests: pytest.Subtests) -> None:
    """Everything that is right without the file is right with an open one, and keys are still known."""
    generated = put(project, "flat")
    generated.write_text(render(Known(KNOWN.types, KNOWN.names, KNOWN.configs, is_open=True)))
    keys = {("uses.py", n) for n, line in enumerate(USES.read_text().splitlines(), 1) if '["subdomian"]' in line}
    assert len(keys) == 3
    for checker in CHECKERS:
        with subtests.test(checker=checker.__name__):
            assert checker(Started(project, outside)) == expected("always wrong") | keys


# --- traps, each of which says nothing


def test_without_py_typed_mypy_checks_nothing(project: Path, outside: Path, subtests: pytest.Subtests) -> None:
    put(project, "flat")
    packages = packages_of(outside.parent.parent)
    started = Started(project, outside)
    calls = {
        line for line in expected("always wrong") if "get_connection" in USES.read_text().splitlines()[line[1] - 1]
    }
    assert calls
    assert calls <= mypy(started)
    with subtests.test("py.typed taken out"):
        (packages / "base44_web_types" / "py.typed").unlink()
        assert not calls & mypy(started)
    with subtests.test("one file, not a package"):
        (packages / "base44_web_types" / "__init__.py").rename(packages / "base44_web_types.py")
        shutil.rmtree(packages / "base44_web_types")
        assert not calls & mypy(started)


def test_pyrefly_with_a_file_name_and_an_environment_outside(project: Path, outside: Path) -> None:
    generated = put(project, "flat")
    generated.write_text(render(KNOWN))
    assert pyrefly(Started(project, outside, "shop/uses.py")) == expected("always wrong")
    assert pyrefly(Started(project, outside)) == expected("always wrong", "wrong")


def test_pyright_started_in_the_folder_above(project: Path, outside: Path) -> None:
    generated = put(project, "flat")
    generated.write_text(render(KNOWN))
    assert pyright(Started(project.parent, outside, "project/shop")) == expected("always wrong") & pyright(
        Started(project, outside)
    )


def test_what_the_command_says_of_them(project: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The canary, in an environment of its own: all four see the file; none sees one in a folder that is no root."""
    generated = put(project, "flat")
    generated.write_text(render(KNOWN))
    use(outside, monkeypatch)
    seen = look(generated, project)
    assert [each.checker for each in seen] == ["mypy", "pyright", "ty", "pyrefly"]
    assert [each.words for each in seen if not each.ok] == []
    assert not list(project.glob("*canary*"))
    generated.unlink()
    unseen = look(generated, project)
    assert {each.words for each in unseen if each.ok} == set()
    assert all("does not see it" in each.words for each in unseen), unseen


def use(python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the command ran in that environment."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    for program in ("pyright", "ty", "pyrefly"):
        (python.parent / program).symlink_to(Path(sys.executable).parent / program)
    script = python.parent / "mypy"  # as pip writes it: it looks at the environment that it is in
    script.write_text(f"#!{python}\nfrom mypy.__main__ import console_entry\nconsole_entry()\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(sys, "prefix", str(python.parent.parent))
