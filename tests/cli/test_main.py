"""What all commands of `base44-web` have in common."""

from __future__ import annotations

import re
from importlib import metadata

import pytest

from base44_web.cli import main
from tests.serving import ROOT

COMMANDS = (["doctor"], ["types"], ["relay", "init"], ["emulator"], ["demo"])


def ends(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    """How a command ends that `argparse` ends, and what it says."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(capsys, "--version")[:2] == (0, f"base44-web {metadata.version('base44-web')}\n")


MISTYPED = (
    (["emulater"], "emulator"), (["docter"], "doctor"), (["relay", "int"], "init"), (["--verson"], "--version"),
    (["doctor", "--onlin3"], "--online"), (["emulator", "--prot", "1"], "--port"), (["emulator", "--prot=1"], "--port"),
    (["relay", "init", "x", "--origin", "https://x.example", "--prefx", "/a"], "--prefix"),
    (["demo", "--framework", "fastapy"], "fastapi"),
)  # fmt: skip


def test_who_mistypes_is_told(capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests) -> None:
    for arguments, meant in MISTYPED:
        with subtests.test(" ".join(arguments)):
            status, _, said = ends(capsys, *arguments)
            assert status == 2
            assert said.endswith(f" - did you mean {meant}?\n")


def test_what_is_like_nothing_gets_no_guess(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["xyz"], ["doctor", "--xyz"], ["doctor", "xyz"], []):
        status, _, said = ends(capsys, *arguments)
        assert status == 2
        assert "did you mean" not in said


def test_the_page_lists_every_command_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "command-line.md").read_text()
    sections = dict(re.findall(r"\n## `base44-web ([a-z ]+)`\n(.*?)(?=\n## |\Z)", page, re.DOTALL))
    assert set(sections) == {" ".join(command) for command in COMMANDS}
    commands = re.findall(r"^    (\w+)", ends(capsys, "--help")[1], re.MULTILINE)
    assert set(commands) == {command[0] for command in COMMANDS}
    for command in COMMANDS:
        options = set(re.findall(r"(?<![\w-])--[a-z-]+", ends(capsys, *command, "--help")[1])) - {"--help"}
        rows = re.findall(r"^\| (`--.*?) \|", sections[" ".join(command)], re.MULTILINE)
        listed = set(re.findall(r"`(--[a-z-]+)", " ".join(rows)))
        assert listed == options, command
