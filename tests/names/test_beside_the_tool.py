"""`base44-web types` beside the tool's own `types generate`: the same types, and the same failures, from the same files."""

from __future__ import annotations

import os
import random
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from base44_web.cli import main
from base44_web.cli.generate import NAME
from tests.frontend.conftest import modules as modules
from tests.frontend.conftest import tool as tool

Files = dict[str, str]
CONFIG = {"base44/config.jsonc": '{"name": "shop"}', "base44/.app.jsonc": '{"id": "a1"}'}
IN = "base44/connectors/"


class Outcome(NamedTuple):
    """The types, or what went wrong and where."""

    types: tuple[str, ...] = ()
    failure: str = ""
    place: str = ""


def connectors(*texts: str, ending: str = "jsonc") -> Files:
    return {**CONFIG, **{f"{IN}{number}.{ending}": text for number, text in enumerate(texts)}}


def config(text: str, **files: str) -> Files:
    return {**connectors("{type: 'slack'}"), **files, "base44/config.jsonc": text}


PROJECTS: dict[str, Files] = {
    "no project": {"app.py": ""},
    "no connectors": CONFIG,
    "one": connectors('{"type": "slack", "scopes": ["a"]}'),
    "known and unknown": connectors('{"type": "gmail"}', '{"type": "stripe"}', '{"type": "x-Y_1"}', ending="json"),
    "in the order of types": connectors("{type: 'z'}", "{type: 'B'}", "{type: 'a'}", "{type: '0'}"),
    "other keys": connectors('{"type": "slack", "more": {"type": "gmail"}, "scopes": []}'),
    "JSON5, everything": connectors("{/* a */ type: 'sl\\\nack', // b\n scopes: ['x',], n: [+0x1F, .5, 1., -Infinity, NaN],}"),
    "JSON5 in .json": connectors("{type: 'slack',}", ending="json"),
    "unusual spaces": connectors("\ufeff{\u00a0type\u2028:\v'slack'\f}"),
    "escaped type": connectors('{"t\\u0079pe": "\\x73lack"}'),
    "the last of two keys": connectors("{type: 'slack', type: 'gmail'}"),
    "no UTF-8": connectors("{type: 'slack', more: '\udcff'}"),
    "hidden, nested, other endings": {
        **connectors("{type: 'slack'}"), f"{IN}.hidden.json": "{", f"{IN}deep/a.json": "{", f"{IN}a.json5": "{",
        f"{IN}a.JSON": "{", f"{IN}a.json.bak": "{", f"{IN}README.md": "{", f"{IN}folder.json/a.json": "{"},
    "duplicate": connectors("{type: 'slack'}", "{type: 'slack', scopes: ['a']}"),
    "duplicate but for case": connectors("{type: 'slack'}", "{type: 'Slack'}"),
    "no type": connectors("{}"),
    "an empty type": connectors("{type: ''}"),
    "a bad type": connectors("{type: 'a b'}"),
    "a type with a line break": connectors("{type: 'slack\\n'}"),
    "a type that looks like letters": connectors("{type: '\u212aafka'}"),
    "a number": connectors("{type: 7}"),
    "a bad scope": connectors("{type: 'slack', scopes: ['a', 1]}"),
    "scopes as text": connectors("{type: 'other', scopes: 'a'}"),
    "scopes as null": connectors("{type: 'notion', scopes: null}"),
    "a list": connectors("[]"),
    "null": connectors("null"),
    "empty file": connectors(""),
    "only a comment": connectors("// nothing"),
    "cut off": connectors('{"type": "slack"'),
    "no comma": connectors("{type: 'slack' scopes: []}"),
    "two values": connectors("{type: 'slack'} {}"),
    "two commas": connectors("{type: 'slack',,}"),
    "an octal number": connectors("{type: 'slack', n: 010}"),
    "a dash in a key": connectors("{type: 'slack', my-key: 1}"),
    "another folder": config("{name: 'x', connectorsDir: 'other'}", **{"base44/other/a.json": "{type: 'gmail'}"}),
    "a folder above": config("{name: 'x', connectorsDir: '../other'}", **{"other/a.json": "{type: 'gmail'}"}),
    "an absolute folder": config("{name: 'x', connectorsDir: '/connectors'}"),
    "a roundabout way": config("{name: 'x', connectorsDir: 'no/such/../../connectors/.'}"),
    "no such folder": config("{name: 'x', connectorsDir: 'nowhere'}"),
    "an empty folder's name": config("{name: 'x', connectorsDir: ''}", **{"base44/connectors/0.jsonc": "{"}),
    "connectorsDir is a number": config("{name: 'x', connectorsDir: 7}"),
    "connectorsDir is null": config("{name: 'x', connectorsDir: null}"),
    "no name": config("{}"),
    "an empty name": config("{name: ''}"),
    "a name that is none": config("{name: ['x']}"),
    "config is a list": config("[]"),
    "config is broken": config("{"),
    "config.json before config.jsonc": {**CONFIG, "base44/config.json": '{"name": "x", "connectorsDir": "j"}',
                                        "base44/j/a.json": "{type: 'json'}", f"{IN}a.json": "{type: 'jsonc'}"},
    "base44 before the root": {**connectors("{type: 'in'}"), "config.json": "{name: 'x'}", "connectors/a.json": "{"},
    "a plain config": {"config.jsonc": "{name: 'x'}", "connectors/a.jsonc": "{type: 'slack'}", ".app.jsonc": "{id: 'a'}"},
    "app not configured": {key: text for key, text in connectors("{type: 'slack'}").items() if "app" not in key},
    "app without ID": {**connectors("{type: 'slack'}"), "base44/.app.jsonc": "{}"},
    "app with an empty ID": {**connectors("{type: 'slack'}"), "base44/.app.jsonc": "{id: ''}"},
    "app is broken": {**connectors("{type: 'slack'}"), "base44/.app.jsonc": "{id"},
    "app in .json": {**{k: v for k, v in connectors("{type: 'a'}").items() if "app" not in k}, "base44/.app.json": "{id: 'x'}"},
}  # fmt: skip


def more(count: int) -> dict[str, Files]:
    """Projects laid out by chance, the same ones each time."""
    chance = random.Random(44)
    kinds = ["slack", "gmail", "x", "Slack", "my-own_1", "7"]
    styles = ['{{"type": "{}"}}', "{{type: '{}', scopes: [],}}", "// a\n{{'type': \"{}\"}}", "{{type: '{}' }}\n\n"]
    defects = ["{type: 'slack", "{type: 'a.b'}", "{scopes: []}", "{type: 'x', scopes: {}}", "{type: slack}"]
    made: dict[str, Files] = {}
    for number in range(count):
        inner = chance.choice(["base44/", ""])
        folder = chance.choice(["connectors", "c/d", "./e/"])
        named = "" if folder == "connectors" else f", connectorsDir: '{folder}'"
        files = {
            f"{inner}config.{chance.choice(['json', 'jsonc'])}": f"{{name: 'x'{named}}}",
            "base44/.app.jsonc": "{id: 'a'}",
        }
        chosen = [chance.choice(styles).format(kind) for kind in chance.choices(kinds, k=chance.randrange(5))]
        chosen += [chance.choice(defects)] if chance.random() < 0.2 else []
        files |= {
            f"{inner}{os.path.normpath(folder)}/f{i}.{chance.choice(['json', 'jsonc'])}": t
            for i, t in enumerate(chosen)
        }
        made[f"by chance {number}"] = files
    return made


_FAILURES = (
    ("File contains invalid JSON", r"File contains invalid JSON: (\S+)"),
    ("Invalid file", r"Invalid (?:connector file|project configuration|app configuration) in (\S+?):"),
    ("Duplicate", r'Duplicate connector type "([^"]+)"'),
    ("App not configured", r"App not configured()"),
    ("No project", r"(?:No Base44 app ID found|Project root not found)()"),
)


def failure(text: str) -> Outcome:
    for name, pattern in _FAILURES:
        found = re.search(pattern, text)
        if found:
            return Outcome(failure=name, place=found[1])
    return Outcome(failure=text)


def test_beside_the_tool(
    tool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    subtests: pytest.Subtests,
) -> None:  # fmt: skip
    projects = {**PROJECTS, **more(12)}
    assert len(projects) >= 60
    folders: dict[str, Path] = {}
    for number, (name, files) in enumerate(projects.items()):
        folders[name] = tmp_path / str(number)
        for file, text in files.items():
            path = folders[name] / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode(errors="surrogateescape"))
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "BASE44_DISABLE_TELEMETRY": "1", "CI": "true",
        "BASE44_CLI_TEST_OVERRIDES": '{"latestVersion": null}',
    }  # fmt: skip

    def theirs(folder: Path) -> Outcome:
        command = ["node", str(tool / "bin/run.js"), "types", "generate"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
        if done.returncode:
            return failure(done.stdout + done.stderr)
        (written,) = folder.rglob("types.d.ts")
        return Outcome(tuple(sorted(re.findall(r'"(.+)": true;', written.read_text()))))

    def ours(folder: Path) -> Outcome:
        with monkeypatch.context() as here:
            here.chdir(folder)
            here.delenv("BASE44_APP_ID", raising=False)
            here.setattr("base44_web.cli.types.look", lambda generated, root: [])
            (folder / "setup.py").touch()  # the app's folder, whatever is above
            status = main(["types"])
        told = capsys.readouterr().err
        if status or "App not configured" in told:  # the one difference: that is a note, for types need no app
            return failure(told)
        alias = (folder / NAME).read_text().partition("IntegrationType: TypeAlias")[2].partition("\n\n")[0]
        return Outcome(tuple(re.findall(r'"(.+)"', alias)))

    with ThreadPoolExecutor(4) as pool:
        expected = dict(zip(folders, pool.map(theirs, folders.values()), strict=True))
    kinds = {outcome.failure for outcome in expected.values()}
    assert kinds == {"", *(name for name, _ in _FAILURES)}, kinds
    assert sum(bool(outcome.types) for outcome in expected.values()) > 20
    for name, folder in folders.items():
        with subtests.test(name):
            assert ours(folder) == expected[name]
