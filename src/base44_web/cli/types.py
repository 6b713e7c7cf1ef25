"""`base44-web types`: the names of an app's connectors, for type checkers (docs/typing.md)."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from .app import ConnectorNames, PythonApp, connector_names, find_app
from .canary import look
from .generate import MARKER, NAME, Known, config_fields, render
from .project import Project, find_project, read_json5
from .shared import CannotRun

HELP = "write base44_web_types.py: your connectors' names, for type checkers"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's options. All but `--check` can stand in pyproject.toml's `[tool.base44-web]`, too."""
    parser.add_argument("--project", metavar="DIR", help="the Base44 project, or a folder in it (default: here)")
    parser.add_argument("--out", metavar="FILE", help=f"the file to write (default: {NAME} where your code begins)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the file is not up to date")
    parser.add_argument(
        "--open", action=argparse.BooleanOptionalAction, help="take other names, too: known ones are completed"
    )
    parser.add_argument(
        "--available",
        metavar="FILE",
        help="the JSON that `base44 connectors list-available` prints (- for standard input)",
    )


def run(options: argparse.Namespace) -> int:
    """Write the file, or check it; then see whether type checkers find it."""
    here = Path.cwd()
    made = plan(here, project=options.project, out=options.out, available=options.available, is_open=options.open)
    current = made.current()
    if options.check:
        return _tell_drift(made.out, current, made.text)
    if current != made.text:
        _write(made.out, made.text)
    _tell(made, is_new=current != made.text)
    return 0


class Plan(NamedTuple):
    """What is to be written where, and what it was made from."""

    out: Path
    text: str
    app: PythonApp
    project: Project
    names: ConnectorNames

    def current(self) -> str | None:
        """What is there.

        Raises:
            CannotRun: somebody else wrote it.
        """
        return _current(self.out)


def plan(
    here: Path, *, project: str | None = None, out: str | None = None, available: str | None = None,
    is_open: bool | None = None,
) -> Plan:  # fmt: skip
    """What the file must be, for the Python app that a folder is in.

    Raises:
        NoProject: there is no Base44 project around.
        CannotRun: a file of it cannot be read.
    """
    app = find_app(here)
    path = Path(out or app.table.get("out") or app.import_root / NAME).absolute()
    _check_place(path)
    found = find_project(here / (project or app.table.get("project") or "."))
    names = connector_names(app)
    known = Known(
        found.connectors,
        names.names,
        config_fields(_available(available or app.table.get("available"))),
        bool(app.table.get("open") if is_open is None else is_open),
    )
    return Plan(path, render(known), app, found, names)


def _available(given: str | None) -> Any:
    if given is None:
        return {"integrations": []}
    if given != "-":
        return read_json5(Path(given))
    try:
        return json.load(sys.stdin)
    except ValueError as error:
        raise CannotRun(f"Standard input is not JSON: {error}") from None


def _check_place(out: Path) -> None:
    if out.name != NAME:
        raise CannotRun(f"--out {out} must be named {NAME}: type checkers look for this name")
    if out.with_suffix("").is_dir():
        raise CannotRun(f"{out.with_suffix('')} is a folder, which takes the place of {out}: rename it")


def _current(out: Path) -> str | None:
    """What is there.

    Raises:
        CannotRun: somebody else wrote it.
    """
    if not out.exists():
        return None
    text = out.read_text("utf-8", errors="replace")
    if not text.startswith(MARKER):
        raise CannotRun(f"{out} was not written by this command, and is left as it is: move it, or give --out")
    return text


def _tell_drift(out: Path, current: str | None, text: str) -> int:
    if current == text:
        return 0
    print(f"{out} is not up to date: run base44-web types" if current else f"{out} is missing: run base44-web types")
    if current:
        lines = difflib.unified_diff(current.splitlines(), text.splitlines(), "as it is", "as it must be", lineterm="")
        print("\n".join(lines))
    return 1


def _write(out: Path, text: str) -> None:
    """All of it or nothing: a type checker can read it at any moment."""
    out = out.resolve()
    handle, temporary = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, out.stat().st_mode & 0o777 if out.exists() else 0o666 & ~mask)
        os.replace(temporary, out)
    except BaseException:
        os.unlink(temporary)
        raise


def _tell(made: Plan, *, is_new: bool) -> None:
    out, _, app, project, names = made
    print(f"{out}: {'written' if is_new else 'up to date'}")
    print(
        f"Integration types of {project.root}: {', '.join(project.connectors) or 'none found, so any string will do'}"
    )
    if names.names:
        print(f"App user connectors ({names.source}): {', '.join(names.names)}")
    else:
        print(
            "App user connectors: no names found, so any string will do. List them: app_user_connectors = "
            '["calendar"] under [tool.base44-web] in pyproject.toml.'
        )
    if project.app_id is None and not os.environ.get("BASE44_APP_ID"):
        print("App not configured: no .app.jsonc, no BASE44_APP_ID. Types need none.", file=sys.stderr)
    sightings = look(out, app.root)
    for each in sightings:
        print(f"{each.checker}: {each.words}", file=sys.stdout if each.ok else sys.stderr)
    if not sightings:
        print(
            "No type checker is installed here (mypy, pyright, ty, pyrefly): nobody was asked whether it sees the file."
        )
