"""`base44-web types`: what it writes, from what, and what it refuses. What type checkers make of it: `tests/names`."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import base44_web
from base44_web.cli import main
from base44_web.cli.generate import MARKER, NAME, Known, render
from base44_web.cli.project import NoProject, find_project
from base44_web.cli.shared import CannotRun
from tests.serving import PATIENCE

AVAILABLE = {
    "integrations": [
        {"integrationType": "slack", "connectionConfigFields": []},
        {
            "integrationType": "snowflake",
            "connectionConfigFields": [{"name": "subdomain", "required": True}, {"name": "warehouse"}],
        },
        {"integrationType": "not-ours", "connectionConfigFields": [{"name": "shop", "required": True}]},
    ]
}


@pytest.fixture(autouse=True)
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python app around its Base44 project; the working directory. No checker is found."""
    for name in [name for name in os.environ if name.startswith(("BASE44_", "DJANGO_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("base44_web.cli.types.look", lambda generated, root: [])
    folder = tmp_path / "app"
    put(folder, {"base44/config.jsonc": '{"name": "shop"}', "base44/.app.jsonc": '// Ours\n{"id": "a1"}'})
    put(folder, {"base44/connectors/slack.jsonc": "{type: 'slack'}", "pyproject.toml": ""})
    put(folder, {"base44/connectors/snowflake.json": '{"type": "snowflake", "scopes": []}'})
    monkeypatch.chdir(folder)
    return folder


def put(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_what_is_written(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(app, {"pyproject.toml": '[tool.base44-web]\napp_user_connectors = ["mail", "calendar"]'})
    put(app, {"available.json": json.dumps(AVAILABLE)})
    assert main(["types", "--available", "available.json"]) == 0
    text = (app / NAME).read_text()
    known = Known(["slack", "snowflake"], ["calendar", "mail"], {"snowflake": {"subdomain": True, "warehouse": False}})
    assert text == render(known)
    assert text.startswith(MARKER)
    assert '"warehouse": NotRequired[str],' in text
    assert "ConnectionWith[SnowflakeConfig | None]" in text
    assert "NotOurs" not in text
    told = capsys.readouterr()
    assert "slack, snowflake" in told.out
    assert "calendar, mail" in told.out
    assert told.err == ""


def test_it_stays_as_it_is(app: Path) -> None:
    """Twice is once, whatever the order of the files; what is up to date is not touched."""
    main(["types"])
    first, when = (app / NAME).read_bytes(), (app / NAME).stat().st_mtime_ns
    (app / "base44/connectors/slack.jsonc").rename(app / "base44/connectors/z.jsonc")
    assert main(["types"]) == 0
    assert (app / NAME).read_bytes() == first
    assert (app / NAME).stat().st_mtime_ns == when
    assert b"\r" not in first


def test_check(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["types", "--check"]) == 1
    assert "is missing: run base44-web types" in capsys.readouterr().out
    assert not (app / NAME).exists()
    main(["types"])
    (app / NAME).write_bytes((app / NAME).read_bytes().replace(b"\n", b"\r\n"))  # as git can check it out
    capsys.readouterr()
    assert main(["types", "--check"]) == 0
    assert capsys.readouterr().out == ""
    put(app, {"base44/connectors/x.jsonc": "{type: 'x'}"})
    before = (app / NAME).read_bytes()
    assert main(["types", "--check"]) == 1
    assert '+    "x",' in capsys.readouterr().out
    assert (app / NAME).read_bytes() == before
    main(["types"])
    assert main(["types", "--check"]) == 0
    assert main(["types", "--check", "--open"]) == 1


def test_whole_or_not_at_all(app: Path) -> None:
    """The file is replaced, not written over: who has the old one open keeps all of it. Links and modes stay."""
    real = app / "elsewhere.py"
    real.write_text(f"{MARKER}\nold")
    real.chmod(0o640)
    (app / NAME).symlink_to(real)
    with real.open() as old:
        assert main(["types"]) == 0
        assert old.read() == f"{MARKER}\nold"
    assert (app / NAME).is_symlink()
    assert real.read_text() == render(Known(["slack", "snowflake"]))
    assert real.stat().st_mode & 0o777 == 0o640
    assert not list(app.glob(f".{NAME}*"))


def test_where_it_goes(app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests) -> None:
    def written() -> set[str]:
        found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob(NAME)}
        for name in found:
            (tmp_path / name).unlink()
        return found

    with subtests.test("src with Python in it"):
        put(app, {"src/shop/__init__.py": ""})
        main(["types"])
        assert written() == {f"app/src/{NAME}"}
    with subtests.test("src of the front end"):
        (app / "src/shop/__init__.py").unlink()
        put(app, {"src/App.jsx": ""})
        main(["types"])
        assert written() == {f"app/{NAME}"}
    with subtests.test("from a folder below"):
        (app / "deep/below").mkdir(parents=True)
        monkeypatch.chdir(app / "deep/below")
        main(["types"])
        assert written() == {f"app/{NAME}"}
    with subtests.test("--out"):
        main(["types", "--out", NAME])
        assert written() == {f"app/deep/below/{NAME}"}
    with subtests.test("a project elsewhere"):
        put(tmp_path, {"other/manage.py": ""})
        monkeypatch.chdir(tmp_path / "other")
        assert main(["types"]) == 2
        assert main(["types", "--project", "../app"]) == 0
        assert written() == {f"other/{NAME}"}
    with subtests.test("pyproject.toml, whose paths begin where it is; the command line wins"):
        put(tmp_path, {"other/pyproject.toml": f'[tool.base44-web]\nproject="../app"\nout="x/{NAME}"\nopen=true'})
        (tmp_path / "other/x").mkdir()
        monkeypatch.chdir(tmp_path / "other/x")
        main(["types"])
        assert (tmp_path / "other/x" / NAME).read_text() == render(Known(["slack", "snowflake"], is_open=True))
        main(["types", "--no-open"])
        assert (tmp_path / "other/x" / NAME).read_text() == render(Known(["slack", "snowflake"]))


DJANGO = (
    'import os\nBASE44 = {"APP_ID": os.environ["X"], "APP_USER_CONNECTORS": {"calendar": os.environ["Y"], "b": ""}}'
)
MANAGE = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")'
NAMES: dict[str, tuple[dict[str, str], dict[str, str], list[str]]] = {
    "nowhere": ({}, {}, []),
    "the environment": ({}, {"BASE44_APP_USER_CONNECTORS": "calendar=69e6,b=70a1"}, ["b", "calendar"]),
    "pyproject.toml, a list": ({"pyproject.toml": '[tool.base44-web]\napp_user_connectors = ["a"]'}, {}, ["a"]),
    "pyproject.toml, a table": ({"pyproject.toml": "[tool.base44-web.app_user_connectors]\na = '69e6'"}, {}, ["a"]),
    "pyproject.toml before the environment": (
        {"pyproject.toml": '[tool.base44-web]\napp_user_connectors = ["a"]'},
        {"BASE44_APP_USER_CONNECTORS": "calendar=69e6"},
        ["a"],
    ),
    "Django, by manage.py": ({"manage.py": MANAGE, "project/settings.py": DJANGO}, {}, ["b", "calendar"]),
    "Django, by the environment": (
        {"project/settings/__init__.py": DJANGO},
        {"DJANGO_SETTINGS_MODULE": "project.settings"},
        ["b", "calendar"],
    ),
    "Django, in src": (
        {"src/project/settings.py": DJANGO},
        {"DJANGO_SETTINGS_MODULE": "project.settings"},
        ["b", "calendar"],
    ),
    "Django, computed: then the environment": (
        {"manage.py": MANAGE, "project/settings.py": 'BASE44 = {"APP_USER_CONNECTORS": dict(a="1")}'},
        {"BASE44_APP_USER_CONNECTORS": "calendar=69e6"},
        ["calendar"],
    ),
    "Django, unpacked": (
        {"manage.py": MANAGE, "project/settings.py": 'BASE44 = {"APP_USER_CONNECTORS": {"a": "1", **OTHERS}}'},
        {},
        [],
    ),
    "Django's settings are not run": (
        {"manage.py": MANAGE, "project/settings.py": "raise SystemExit(7)\n" + DJANGO},
        {},
        ["b", "calendar"],
    ),
}


def test_names_of_app_user_connectors(app: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests) -> None:
    for number, (case, (files, environment, names)) in enumerate(NAMES.items()):
        with subtests.test(case), monkeypatch.context() as here:
            put(app / str(number), {"pyproject.toml": "", **files})
            here.chdir(app / str(number))
            for name, value in environment.items():
                here.setenv(name, value)
            assert main(["types", "--out", NAME]) == 0
            assert (app / str(number) / NAME).read_text() == render(Known(["slack", "snowflake"], names))


WRONG: dict[str, tuple[dict[str, str], list[str], list[str]]] = {
    "somebody else's file": ({NAME: "mine = 1\n"}, [], [NAME, "was not written by this command"]),
    "an empty file": ({NAME: ""}, [], ["was not written by this command"]),
    "another name": ({}, ["--out", "types.py"], ["must be named base44_web_types.py"]),
    "a folder of its name": ({"base44_web_types/__init__.py": ""}, [], ["base44_web_types is a folder"]),
    "no such folder": ({}, ["--out", f"nowhere/{NAME}"], ["nowhere"]),
    "no such project": ({}, ["--project", "/"], ["Project root not found", "--project DIR"]),
    "bad TOML": ({"pyproject.toml": "["}, [], ["pyproject.toml is not valid"]),
    "an unknown key": ({"pyproject.toml": "[tool.base44-web]\nconnectors = 1"}, [], ["'connectors'", "known are"]),
    "a wrong type": ({"pyproject.toml": "[tool.base44-web]\nopen = 'yes'"}, [], ["open in [tool.base44-web]"]),
    "no table": ({"pyproject.toml": "[tool]\nbase44-web = 1"}, [], ["must be a table"]),
    "a bad name": (
        {"pyproject.toml": '[tool.base44-web]\napp_user_connectors = ["a b"]'}, [], ["bad name 'a b'"]),
    "no name at all": ({"pyproject.toml": "[tool.base44-web]\napp_user_connectors = [[]]"}, [], ["app_user_connectors"]),
    "Django's settings, broken": ({"manage.py": MANAGE, "project/settings.py": "BASE44 = {"}, [], ["settings.py"]),
    "no list of integrations": ({"a.json": "[]"}, ["--available", "a.json"], ["list-available --json"]),
    "an odd key": (
        {"a.json": json.dumps({"integrations": [
            {"integration_type": "slack", "connection_config_fields": [{"name": '"] = 1; import os #'}]}]})},
        ["--available", "a.json"], ["is no name"]),
    "no such file": ({}, ["--available", "none.json"], ["none.json"]),
    "a duplicate": (
        {"base44/connectors/a.json": "{type: 'slack'}"}, [],
        ['Duplicate connector type "slack"', "a.json", "slack.jsonc"]),
    "invalid JSON": ({"base44/connectors/a.json": "{\n  type: 'a b'"}, [], ["invalid JSON", "a.json", "line 2:"]),
    "nested without end": ({"base44/connectors/a.json": "[" * 100_000}, [], ["invalid JSON", "a.json"]),
    "scopes": ({"base44/connectors/a.json": "{type: 'a', scopes: [1]}"}, [], ["Invalid connector file", "a.json", "scopes"]),
    "an app without an ID": ({"base44/.app.jsonc": "{}"}, [], ["Invalid app configuration", ".app.jsonc", "id"]),
}  # fmt: skip


def test_what_is_refused(
    app: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    for case, (files, words, told) in WRONG.items():
        with subtests.test(case):
            monkeypatch.chdir(app)
            before = {name: (app / name).read_text() if (app / name).exists() else None for name in files}
            put(app, files)
            assert main(["types", *words]) == 2
            error = capsys.readouterr().err
            assert error.startswith("base44-web: ")
            assert all(each in error for each in told), error
            if NAME not in files:
                assert not (app / NAME).exists()
            for name, text in before.items():
                if text is None:
                    (app / name).unlink()
                    if (app / name).parent.name == "base44_web_types":
                        (app / name).parent.rmdir()
                else:
                    (app / name).write_text(text)


def test_available_from_standard_input(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(AVAILABLE)))
    assert main(["types", "--available", "-"]) == 0
    assert "SnowflakeConfig" in (app / NAME).read_text()
    monkeypatch.setattr("sys.stdin", io.StringIO("Error: not signed in"))
    assert main(["types", "--available", "-"]) == 2


def test_json5_is_an_extra(app: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What the tool writes itself is plain JSON, and needs nothing; for the rest the message says what to install."""
    monkeypatch.setitem(sys.modules, "json5", None)
    assert main(["types"]) == 2
    assert "pip install 'base44-web[types]'" in capsys.readouterr().err
    put(app, {"base44/.app.jsonc": '{"id": "a1"}', "base44/connectors/slack.jsonc": '{"type": "slack"}'})
    assert main(["types"]) == 0


def test_the_project_for_others(app: Path) -> None:
    """`doctor` compares the app's ID, whatever the environment says."""
    inside = find_project(app / "base44/connectors")
    assert (inside.root, inside.connectors, inside.app_id) == (app / "base44", ("slack", "snowflake"), "a1")
    project = find_project(app)
    assert (project.root, project.config) == (app, app / "base44/config.jsonc")
    assert (project.connectors, project.app_id) == (("slack", "snowflake"), "a1")
    (app / "base44/.app.jsonc").unlink()
    assert find_project(app).app_id is None
    put(app, {"base44/config.jsonc": "{}"})
    with pytest.raises(CannotRun, match="name"):
        find_project(app)
    (app / "base44/config.jsonc").unlink()
    with pytest.raises(NoProject):
        find_project(app)


def test_not_configured_is_said(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`.app.jsonc` is not committed, and types need none: a note, no failure, so that CI can check."""
    (app / "base44/.app.jsonc").unlink()
    assert main(["types"]) == 0
    assert "App not configured" in capsys.readouterr().err


def test_at_run_time() -> None:
    """Aliases are there, and nothing imports what is for type checkers."""
    assert base44_web.IntegrationType is base44_web.AppUserConnector is str
    assert base44_web.ConnectionWith["anything"] is base44_web.Connection  # type: ignore[valid-type]
    shipped = Path(base44_web.__file__).parent.parent / "base44_web_types"
    assert (shipped / "py.typed").is_file()
    assert (shipped / "__init__.py").is_file()


def test_the_generated_file_at_run_time(app: Path, python: Callable[[str], str]) -> None:
    """It can be imported where it lies, and changes nothing there."""
    main(["types"])
    assert python("import base44_web_types as t, base44_web; print(t.GENERATED, base44_web.IntegrationType)") == (
        "True <class 'str'>"
    )


@pytest.fixture
def python(app: Path) -> Callable[[str], str]:
    def run(code: str) -> str:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=app, capture_output=True, text=True, timeout=PATIENCE, check=True)
        return done.stdout.strip()

    return run
