"""The Base44 project on disk, read as Base44's own tool reads it (npm `base44` 0.1.18; the tests run it beside this).

JSON5 is read by the library `json5`: over 6,000 inputs it took what npm's `json5` takes, but for a key written with
escapes (`\\u0031a`), which it does not check.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from .shared import CannotRun, need

_CONFIGS: Final = ("base44/config.json", "base44/config.jsonc", "config.json", "config.jsonc")  # the first one counts
_APPS: Final = ("base44/.app.jsonc", "base44/.app.json", ".app.jsonc", ".app.json")
_TYPE: Final = re.compile(r"[A-Za-z0-9_-]+")


class NoProject(CannotRun):
    """There is no Base44 project."""


@dataclass(frozen=True)
class Project:
    """A Base44 project.

    Attributes:
        root: its folder.
        config: its `config.json` or `config.jsonc`.
        connectors: the integration types that it has a connector for, sorted.
        app_id: what `.app.jsonc` says, whatever the environment does; `None` without that file: it is not committed.
    """

    root: Path
    config: Path
    connectors: tuple[str, ...]
    app_id: str | None


def find_project(start: Path) -> Project:
    """The Base44 project that a folder is in. What else a project has (entities, functions) is not looked at.

    Args:
        start: where to begin; then its parents, up to the file system's root, which is left out as the tool does.

    Raises:
        NoProject: there is none.
        CannotRun: a file in it cannot be read, or is not as it must be; or to read it a library is missing.
    """
    root, config = locate(start)
    return Project(root, config, _connectors(_connectors_folder(config)), app_id_of(root))


def locate(start: Path) -> tuple[Path, Path]:
    """A project's folder and its configuration file: from a folder upward, the first that there is.

    Raises:
        NoProject: there is none.
    """
    start = start.absolute()
    for root in (start, *start.parents)[:-1]:
        config = next((root / name for name in _CONFIGS if (root / name).is_file()), None)
        if config is not None:
            return root, config
    raise NoProject(
        f"Project root not found: no base44/config.jsonc in {start} or above. Give the Base44 project's folder: "
        "--project DIR, or the DIR of relay init."
    )


def read_json5(path: Path) -> Any:
    """What a file of the project says. Whatever its name ends with, it can be JSON5.

    Raises:
        CannotRun: it is not valid, or it is not plain JSON and the library is not installed.
    """
    text = path.read_bytes().decode(errors="replace")
    try:
        return json.loads(text)  # what the tool itself writes: no library needed
    except (ValueError, RecursionError):
        json5 = need("json5", "types")
    try:
        return json5.loads(text)
    except (ValueError, RecursionError) as error:
        reason = re.sub(r"^<string>:(\d+) ", r"line \1: ", str(error))
        raise CannotRun(f"File contains invalid JSON: {path} ({reason})") from None


def _object(path: Path, what: str) -> dict[str, Any]:
    content = read_json5(path)
    if not isinstance(content, dict):
        raise CannotRun(f"Invalid {what} in {path}: it must be an object, {{…}}")
    return cast("dict[str, Any]", content)


def _connectors_folder(config: Path) -> Path:
    content = _object(config, "project configuration")
    if not isinstance(content.get("name"), str) or not content["name"]:
        raise CannotRun(f"Invalid project configuration in {config}: name must be a text, and not empty")
    folder = content.get("connectorsDir", "connectors")
    if not isinstance(folder, str):
        raise CannotRun(f"Invalid project configuration in {config}: connectorsDir must be a text")
    # As Node's `join`: an absolute path is taken for one below, and "a/.." is nothing, whatever "a" is.
    return Path(os.path.normpath(f"{config.parent}/{folder}"))


def functions_folder(config: Path) -> Path:
    """Where a project's functions are.

    Raises:
        CannotRun: its configuration cannot be read.
    """
    folder = _object(config, "project configuration").get("functionsDir")
    return config.parent / (folder if isinstance(folder, str) and folder else "functions")


def app_id_of(root: Path) -> str | None:
    """What `.app.jsonc` of a project says; `None` without that file.

    Raises:
        CannotRun: it cannot be read, or has no ID.
    """
    path = next((root / name for name in _APPS if (root / name).is_file()), None)
    if path is None:
        return None
    found = _object(path, "app configuration").get("id")
    if not isinstance(found, str) or not found:
        raise CannotRun(f"Invalid app configuration in {path}: id must be a text, and not empty")
    return found


def _connectors(folder: Path) -> tuple[str, ...]:
    if not folder.exists():
        return ()
    if not folder.is_dir():
        raise CannotRun(f"connectorsDir must be a folder, and {folder} is none")
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (".json", ".jsonc") and path.name[0] != "."]
    kinds = {path: _connector(path) for path in files if path.is_file()}  # what is broken is said before what is double
    found: dict[str, Path] = {}
    for path, kind in kinds.items():
        if kind in found:
            raise CannotRun(
                f'Duplicate connector type "{kind}": {found[kind]} and {path}. Remove one: there is one file a type.'
            )
        found[kind] = path
    return tuple(sorted(found))


def _connector(path: Path) -> str:
    content = _object(path, "connector file")
    kind, scopes = content.get("type"), content.get("scopes", [])
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise CannotRun(f"Invalid connector file in {path}: type must be a text of letters, digits, '-' and '_'")
    if not isinstance(scopes, list) or not all(isinstance(each, str) for each in cast("list[object]", scopes)):
        raise CannotRun(f"Invalid connector file in {path}: scopes must be a list of texts")
    return kind
